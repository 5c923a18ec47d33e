import type { MaskInstruction } from '../../kernel/index.ts'
import { DETECTORS } from '../detect/catalogue.ts'
import { Masker } from '../masker.ts'
import { nearMisses, positives } from './corpus.ts'

export interface DetectorScore {
  readonly detector: string
  readonly positives: number
  readonly found: number
  /** Hits in texts that only look sensitive. */
  readonly falseHits: number
  readonly precision: number
  readonly recall: number
  readonly missed: readonly string[]
  readonly falseTexts: readonly string[]
}

const KEY = Buffer.alloc(32, 7)

function redacting(...detect: readonly string[]): readonly MaskInstruction[] {
  return [{ rule: 'measure', mask: 'redact', columns: [], detect }]
}

/** Each detector alone over its own positives and over all near misses. */
export function measure(seed: number, perMaker: number): readonly DetectorScore[] {
  const masker = new Masker({ key: KEY })
  const labelled = positives(seed, perMaker)
  const misses = nearMisses(seed + 1, perMaker)
  const grouped = new Set(DETECTORS.flatMap(({ members }) => members ?? [])) // the optional ones are in no group
  const names = DETECTORS.filter(({ name }) => grouped.has(name)).map(({ name }) => name)
  return names
    .map((detector) => {
      const scanner = masker.scanner(redacting(detector))!
      const own = labelled.filter((positive) => positive.detector === detector)
      const missed = own.filter(({ text, value }) => {
        const after = scanner.scanText(text)
        return after === text || after.includes(value)
      })
      const falseTexts = misses.filter(({ text }) => scanner.scanText(text) !== text).map(({ text }) => text)
      const found = own.length - missed.length
      return {
        detector,
        positives: own.length,
        found,
        falseHits: falseTexts.length,
        precision: found + falseTexts.length === 0 ? 1 : found / (found + falseTexts.length),
        recall: own.length === 0 ? 1 : found / own.length,
        missed: missed.map(({ text }) => text),
        falseTexts,
      }
    })
    .filter(({ positives: count, falseHits }) => count > 0 || falseHits > 0)
}
