import { type Finder, wordsBefore } from './detector.ts'
import { TRAIT } from './traits.ts'

const NAME = 'date_of_birth'
const DATE = /(?<!\d)(?:(?:19|20)\d{2}[-/.][01]?\d[-/.][0-3]?\d|[0-3]?\d[-/.][0-3]?\d[-/.](?:19|20)?\d{2})(?!\d)/g
const WORDS = /\bdob\b|\bd\.o\.b|birth|\bborn\b|geburt|geboren|\bgeb\b|naissance|nacimiento|nascita/i

export const birthDateFinder: Finder = {
  detectors: [
    {
      name: NAME,
      title: 'Date of birth',
      description: 'A date shortly after a word for birth. Not part of a group.',
      checksum: false,
      secret: false,
    },
  ],
  possible: (traits, hint) =>
    (traits & TRAIT.digit) !== 0 &&
    (traits & (TRAIT.dash | TRAIT.slash | TRAIT.dot)) !== 0 &&
    ((traits & TRAIT.letter) !== 0 || hint.words !== ''),
  find(view, _wanted, report) {
    for (const match of view.text.matchAll(DATE))
      if (WORDS.test(wordsBefore(view, match.index))) report(NAME, match.index, match.index + match[0].length)
  },
}
