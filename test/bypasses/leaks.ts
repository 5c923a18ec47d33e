/** Values that must not come out. No part of them stands in any statement of these tests. */
export const CARDS = ['4539578763621486', '4716258050958645', '5425233430109903']
export const SECRETS = ['QXJZKVWPHD', 'WVKQZJXGTB', 'ZHXWQPKJVM']
export const SALARIES = ['839174625', '728461935', '961538274']

/** What stays of a card after `last4` is no leak; six digits of the rest are. */
const SHOWN_DIGITS = 4
const WINDOW = 5

function windows(value: string, size: number): string[] {
  return Array.from({ length: value.length - size + 1 }, (_, at) => value.slice(at, at + size))
}

const NEEDLES: readonly string[] = [
  ...CARDS.flatMap((card) => windows(card.slice(0, -SHOWN_DIGITS), 6)),
  ...SECRETS.flatMap((secret) => windows(secret, WINDOW)),
  ...SALARIES.flatMap((salary) => windows(salary, WINDOW)),
]

function spellings(needle: string): string[] {
  const bytes = Buffer.from(needle)
  const shifted = [0, 1, 2].map((pad) =>
    Buffer.concat([Buffer.alloc(pad), bytes])
      .toString('base64')
      .slice(pad === 0 ? 0 : pad + 1, -4),
  )
  return [
    needle,
    [...needle].reverse().join(''),
    bytes.toString('hex'),
    [...bytes].map((byte) => `%${byte.toString(16)}`).join(''),
    [...bytes].map((byte) => byte.toString(8)).join('\\'),
    [...bytes].map(String).join(','),
    [...needle].join(','),
    [...needle].join(' '),
    [...needle].join(''),
    ...shifted.filter((text) => text.length >= 5),
  ].map((text) => text.toLowerCase())
}

const FORMS = new Map(NEEDLES.map((needle) => [needle, [...new Set(spellings(needle))]]))
const INTEGERS = SALARIES.map(Number)

function binaryNumbers(salary: number): Buffer[] {
  const [i4, i8, f8] = [Buffer.alloc(4), Buffer.alloc(8), Buffer.alloc(8)]
  i4.writeInt32BE(salary)
  i8.writeBigInt64BE(BigInt(salary))
  f8.writeDoubleBE(salary)
  return [i4, i8, f8]
}

/** The first part of a protected value that stands in the bytes, in any of many spellings. */
export function leakIn(bytes: Buffer, cells: readonly (Buffer | undefined)[] = []): string | undefined {
  const text = [
    bytes.toString('latin1'),
    // One character, or its code, in each row.
    cells.map((cell) => cell?.toString('latin1') ?? '').join(''),
    cells.map((cell) => characterOf(cell)).join(''),
  ]
    .join('\n')
    .toLowerCase()
  for (const [needle, forms] of FORMS)
    for (const form of forms) if (text.includes(form)) return `${needle} as ${JSON.stringify(form)}`
  for (const salary of INTEGERS)
    if (binaryNumbers(salary).some((form) => bytes.includes(form))) return `${salary} in binary`
  return undefined
}

function characterOf(cell: Buffer | undefined): string {
  const code = Number(cell?.toString('latin1'))
  return Number.isInteger(code) && code > 31 && code < 127 ? String.fromCharCode(code) : ''
}
