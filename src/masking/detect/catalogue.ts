import { GatewayError } from '../../kernel/index.ts'
import { birthDateFinder } from './birth-date.ts'
import { connectionFinder } from './connection.ts'
import type { DetectorInfo, Finder } from './detector.ts'
import { emailFinder } from './email.ts'
import { ibanFinder } from './iban.ts'
import { jwtFinder } from './jwt.ts'
import { nationalCodeDetectors, nationalCodeFinder } from './national-codes.ts'
import { nationalNumberDetectors } from './national-numbers.ts'
import { networkFinder } from './network.ts'
import { numberFinder } from './numbers.ts'
import { passwordFinder } from './password.ts'
import { privateKeyFinder } from './private-key.ts'
import { serviceKeyFinder } from './service-keys.ts'

export const FINDERS: readonly Finder[] = [
  numberFinder,
  nationalCodeFinder,
  ibanFinder,
  emailFinder,
  jwtFinder,
  privateKeyFinder,
  serviceKeyFinder,
  connectionFinder,
  passwordFinder,
  networkFinder,
  birthDateFinder,
]

const singles: readonly DetectorInfo[] = FINDERS.flatMap((finder) => finder.detectors)
const names = (detectors: readonly DetectorInfo[]) => detectors.map(({ name }) => name)
const nationalIds = names([...nationalNumberDetectors, ...nationalCodeDetectors])
const secrets = names(singles.filter(({ secret }) => secret))

function group(name: string, title: string, members: readonly string[]): DetectorInfo {
  const description = `Stands for ${members.join(', ')}.`
  return { name, title, description, checksum: false, secret: false, members }
}

/** Every name that a policy's `detect` may hold: single detectors, and groups of them. */
export const DETECTORS: readonly DetectorInfo[] = [
  ...singles,
  group('national_id', 'All national identity and tax numbers', nationalIds),
  group('service_key', 'Keys and tokens of cloud, code hosting and other services', names(serviceKeyFinder.detectors)),
  group('secret', 'Everything that opens something', secrets),
  group('personal', 'Payment, contact and identity numbers of persons', [
    'credit_card',
    'iban',
    'email',
    'phone',
    ...nationalIds,
  ]),
]

const byName = new Map(DETECTORS.map((detector) => [detector.name, detector]))

export function isSecret(name: string): boolean {
  return byName.get(name)?.secret ?? false
}

/** @throws GatewayError `policy.invalid` - a name is unknown. */
export function expandDetectors(detect: readonly string[]): readonly string[] {
  const expanded = new Set<string>()
  for (const name of detect) {
    const detector = byName.get(name)
    if (detector === undefined)
      throw new GatewayError('policy.invalid', `There is no detector ${JSON.stringify(name)}.`)
    for (const member of detector.members ?? [name]) expanded.add(member)
  }
  return [...expanded]
}
