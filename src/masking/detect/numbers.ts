import { cardDetector, findCards } from './cards.ts'
import type { Finder } from './detector.ts'
import { digitRuns } from './digit-runs.ts'
import { findNationalNumbers, nationalNumberDetectors } from './national-numbers.ts'
import { findPhones, phoneDetector } from './phone.ts'
import { TRAIT } from './traits.ts'

const MIN_DIGITS = 9

/** Everything that is told by its digits shares one walk over the digit groups. */
export const numberFinder: Finder = {
  detectors: [cardDetector, phoneDetector, ...nationalNumberDetectors],
  possible: (traits) => (traits & TRAIT.number) !== 0,
  find(view, wanted, report) {
    const cards = wanted.has(cardDetector.name)
    const phones = wanted.has(phoneDetector.name)
    for (const run of digitRuns(view.text, MIN_DIGITS)) {
      if (cards) findCards(run, report)
      if (phones) findPhones(view, run, report)
      findNationalNumbers(view, run, wanted, report)
    }
  },
}
