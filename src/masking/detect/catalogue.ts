import { GatewayError } from '../../kernel/index.ts'
import type { DetectorInfo, Finder } from './detector.ts'
import { emailFinder } from './email.ts'

export const FINDERS: readonly Finder[] = [emailFinder]

const single: readonly DetectorInfo[] = FINDERS.flatMap((finder) => finder.detectors)

/** Every name that a policy's `detect` may hold. */
export const DETECTORS: readonly DetectorInfo[] = [...single]

const byName = new Map(DETECTORS.map((detector) => [detector.name, detector]))

export function isSecret(name: string): boolean {
  return byName.get(name)?.secret ?? false
}

/** @throws GatewayError `policy.invalid` - a name is unknown. */
export function expandDetectors(names: readonly string[]): readonly string[] {
  const expanded = new Set<string>()
  for (const name of names) {
    const detector = byName.get(name)
    if (detector === undefined)
      throw new GatewayError('policy.invalid', `There is no detector ${JSON.stringify(name)}.`)
    for (const member of detector.members ?? [name]) expanded.add(member)
  }
  return [...expanded]
}
