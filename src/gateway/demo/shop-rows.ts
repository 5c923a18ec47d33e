import { crc32 } from 'node:zlib'
import type { ShopTable } from './shop-schema.ts'
import { FIRST_NAMES, KEY_SERVICES, LAST_NAMES, PLACES, PRODUCTS, TICKETS } from './shop-words.ts'

export type ShopRow = Readonly<Record<string, unknown>>
export type ShopRows = Readonly<Record<ShopTable, readonly ShopRow[]>>

const CUSTOMERS = 500
const ORDERS = 1_400
const PAYMENTS = 2_000
const TICKET_COUNT = 240
const DAY_MS = 86_400_000
/** Prefixes that card networks and payment providers publish for tests, with the length of the number. */
const TEST_CARDS = [
  ['411111', 16],
  ['424242', 16],
  ['555555', 16],
  ['510510', 16],
  ['378282', 15],
  ['601111', 16],
] as const

/** The shop's rows, the same for the same seed and day. Every name, number and key is made up. */
export function shopRows(seed: number, now: number): ShopRows {
  const chance = new Chance(seed)
  const when = (days: number) => new Date(now - chance.below(days * 1_440) * 60_000).toISOString()
  const customers = Array.from({ length: CUSTOMERS }, (_, index) => customer(chance, index + 1, when(900)))
  const products = productRows(chance)
  const orders = Array.from({ length: ORDERS }, (_, index) => ({
    id: index + 1,
    customer_id: 1 + chance.below(CUSTOMERS),
    status: chance.pick(['paid', 'shipped', 'shipped', 'shipped', 'new', 'returned', 'cancelled']),
    placed_at: when(400),
  }))
  return {
    customers: customers.map(({ row }) => row),
    products,
    orders,
    order_items: orders.flatMap((order) => items(chance, order.id, products)),
    payments: Array.from({ length: PAYMENTS }, (_, index) => {
      const order = chance.pick(orders)
      const payer = customers[order.customer_id - 1]!
      return {
        id: index + 1,
        customer_id: order.customer_id,
        order_id: order.id,
        amount: ((chance.below(24_000) + 500) / 100).toFixed(2),
        card_number: payer.card,
        card_holder: payer.name.toUpperCase(),
        expires: payer.expires,
        status: chance.pick(['captured', 'captured', 'captured', 'captured', 'authorised', 'refunded', 'declined']),
        paid_at: when(400),
      }
    }),
    support_tickets: Array.from({ length: TICKET_COUNT }, (_, index) =>
      ticket(chance, index + 1, customers, when(200)),
    ),
    api_keys: Array.from({ length: 14 }, (_, index) => {
      const service = KEY_SERVICES[index % KEY_SERVICES.length]!
      return {
        id: index + 1,
        service,
        owner: chance.pick(['platform', 'storefront', 'billing', 'warehouse']),
        key: apiKey(chance, service),
        created_at: new Date(now - chance.below(700) * DAY_MS).toISOString(),
      }
    }),
  }
}

interface Customer {
  readonly row: ShopRow
  readonly name: string
  readonly email: string
  readonly phone: string
  readonly city: string
  readonly card: string
  readonly expires: string
}

function customer(chance: Chance, id: number, created: string): Customer {
  const first = chance.pick(FIRST_NAMES)
  const last = chance.pick(LAST_NAMES)
  const name = `${first} ${last}`
  const plain = `${first}.${last}`
    .normalize('NFD')
    .replace(/[^\w.]/g, '')
    .toLowerCase()
  const email = `${plain}${id}@example.${chance.pick(['com', 'org', 'net'])}`
  const [city, country] = chance.pick(PLACES)
  // 555-0100 to 555-0199 belong to nobody, in any North American area code.
  const phone = `+1 ${chance.pick(['212', '312', '415', '503', '617', '646'])} 555 01${String(chance.below(100)).padStart(2, '0')}`
  const [prefix, length] = chance.pick(TEST_CARDS)
  const expires = `${String(1 + chance.below(12)).padStart(2, '0')}/${27 + chance.below(5)}`
  const row = {
    id,
    full_name: name,
    email,
    phone,
    city,
    country,
    created_at: created,
    newsletter: chance.below(3) === 0,
  }
  return { row, name, email, phone, city, card: cardNumber(chance, prefix, length), expires }
}

function productRows(chance: Chance): readonly (ShopRow & { readonly id: number; readonly price: string })[] {
  let id = 0
  return PRODUCTS.flatMap(([category, names, price]) =>
    names.split('|').map((name) => ({
      id: ++id,
      name,
      category,
      price: (price * (0.7 + chance.below(60) / 100)).toFixed(2),
      stock: chance.below(400),
    })),
  )
}

function items(chance: Chance, order: number, products: readonly { id: number; price: string }[]): ShopRow[] {
  return Array.from({ length: 1 + chance.below(4) }, (_, index) => {
    const product = chance.pick(products)
    return {
      order_id: order,
      position: index + 1,
      product_id: product.id,
      quantity: 1 + chance.below(3),
      unit_price: product.price,
    }
  })
}

function ticket(chance: Chance, id: number, customers: readonly Customer[], opened: string): ShopRow {
  const index = chance.below(customers.length)
  const from = customers[index]!
  const [subject, body] = TICKETS[(id - 1) % TICKETS.length]!
  const filled: Record<string, string> = {
    order: `#${1 + chance.below(ORDERS)}`,
    email: from.email,
    phone: from.phone,
    name: from.name,
    city: from.city,
    card: from.card.replace(/(\d{4})(?=\d)/g, '$1 '),
    expires: from.expires,
    key: apiKey(chance, chance.pick(KEY_SERVICES)),
  }
  return {
    id,
    customer_id: index + 1,
    subject,
    body: body.replace(/\{(\w+)\}/g, (_, word: string) => filled[word] ?? ''),
    status: chance.pick(['open', 'waiting', 'closed', 'closed']),
    metadata: { channel: chance.pick(['mail', 'web', 'phone']), reply_to: from.email, priority: 1 + chance.below(3) },
    opened_at: opened,
  }
}

/** Digits after a test prefix, with the check digit of ISO/IEC 7812. */
export function cardNumber(chance: Chance, prefix: string, length: number): string {
  let digits = prefix
  while (digits.length < length - 1) digits += chance.below(10)
  let sum = 0
  for (let place = 0; place < digits.length; place++) {
    const digit = Number(digits[digits.length - 1 - place])
    const doubled = place % 2 === 0 ? digit * 2 : digit
    sum += doubled > 9 ? doubled - 9 : doubled
  }
  return digits + ((10 - (sum % 10)) % 10)
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyz'
const BASE62 = `0123456789${LETTERS.toUpperCase()}${LETTERS}`

/** Text in the shape of a provider's key; no provider has ever issued it. */
function apiKey(chance: Chance, service: string): string {
  switch (service) {
    case 'payments':
      return `sk_${'test'}_${chance.text(BASE62, 24)}`
    case 'storage':
      return `AKIA${chance.text('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', 16)}`
    case 'source control': {
      const body = chance.text(BASE62, 30)
      return `ghp_${body}${base62(crc32(body), 6)}`
    }
    case 'chat':
      return `xoxb-${chance.text('123456789', 12)}-${chance.text('123456789', 12)}-${chance.text(BASE62, 24)}`
    case 'mail':
      return `SG.${chance.text(BASE62, 22)}.${chance.text(BASE62, 43)}`
    default:
      return chance.text('0123456789abcdef', 40)
  }
}

function base62(value: number, length: number): string {
  let text = ''
  for (let rest = value; text.length < length; rest = Math.floor(rest / 62)) text = BASE62[rest % 62] + text
  return text
}

/** Mulberry32: a small, seeded source, for rows that are the same on every machine. Not for secrets. */
export class Chance {
  #state: number

  constructor(seed: number) {
    this.#state = seed
  }

  /** A whole number from 0 up to and without `limit`. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296) * limit)
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!
  }

  text(alphabet: string, length: number): string {
    return Array.from({ length }, () => alphabet[this.below(alphabet.length)]).join('')
  }
}
