/**
 * Quality and speed of the content detectors, as JSON on standard output.
 *
 *   npx tsx bench/detectors.ts
 */
import { Masker } from '../src/masking/index.ts'
import { cleanRows, nearMisses, positives } from '../src/masking/test/corpus.ts'
import { measure } from '../src/masking/test/measure.ts'

const SAMPLES_PER_MAKER = 200
const ROUNDS = 7

const masker = new Masker({ key: Buffer.alloc(32, 7) })
const scanner = masker.scanner([{ rule: 'bench', mask: 'redact', columns: [], detect: ['personal', 'secret'] }])!

/** The best of several rounds; the first ones warm up. */
function megabytesPerSecond(cells: readonly Buffer[]): { megabytesPerSecond: number; nanosecondsPerCell: number } {
  const bytes = cells.reduce((sum, cell) => sum + cell.length, 0)
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now()
    for (const cell of cells) scanner.scan(cell)
    best = Math.min(best, performance.now() - start)
  }
  return {
    megabytesPerSecond: Number((bytes / 1e3 / best).toFixed(1)),
    nanosecondsPerCell: Math.round((best * 1e6) / cells.length),
  }
}

const buffers = (texts: readonly string[]) => texts.map((text) => Buffer.from(text))
const scores = measure(1, SAMPLES_PER_MAKER)
const found = scores.reduce((sum, score) => sum + score.found, 0)
const total = scores.reduce((sum, score) => sum + score.positives, 0)
const falseHits = scores.reduce((sum, score) => sum + score.falseHits, 0)
const clean = cleanRows(3, 100_000)

process.stdout.write(
  `${JSON.stringify(
    {
      detectors: scores.map(({ missed, falseTexts, ...score }) => ({
        ...score,
        precision: Number(score.precision.toFixed(4)),
        recall: Number(score.recall.toFixed(4)),
      })),
      overall: {
        precision: Number((found / (found + falseHits)).toFixed(4)),
        recall: Number((found / total).toFixed(4)),
      },
      speed: {
        clean: megabytesPerSecond(buffers(clean)),
        cleanLong: megabytesPerSecond(buffers(Array.from({ length: 2000 }, () => clean.slice(0, 200).join(' ')))),
        nearMisses: megabytesPerSecond(buffers(nearMisses(4, 500).map(({ text }) => text))),
        dense: megabytesPerSecond(buffers(positives(5, 200).map(({ text }) => text))),
      },
    },
    null,
    2,
  )}\n`,
)
