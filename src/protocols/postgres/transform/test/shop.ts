import type { MaskInstruction } from '../../../../kernel/index.ts'
import { Masker } from '../../../../masking/index.ts'
import { CatalogSnapshot, type Column, type Relation } from '../../catalog.ts'
import type { FieldDescription, Format } from '../../messages.ts'
import { OID, type TypeInfo } from '../../types.ts'

/** A catalogue without a server: `public.payments`, and one in another schema. */
export const PAYMENTS = 20_000
export const PAIR = 20_010

const payments: Relation = relation(PAYMENTS, 'public', 'payments', ['id', 'card', 'note', 'amount', 'due', 'extra'])
const archive: Relation = relation(20_001, 'archive', 'payments', ['id', 'card'])
const customers: Relation = relation(20_002, 'public', 'customers', ['id', 'email', 'city'])
const types: readonly TypeInfo[] = [{ oid: PAIR, name: 'public.pair', category: 'composite' }]

export const shop = new CatalogSnapshot(1, 'fixed', {
  relations: new Map([payments, archive, customers].map((each) => [each.oid, each])),
  types: new Map(types.map((each) => [each.oid, each])),
  functions: new Map(),
  definitions: new Map(),
  viewUses: new Map(),
  parents: new Map(),
  children: new Map(),
  generatedFrom: new Map(),
})

function relation(oid: number, schema: string, name: string, names: readonly string[]): Relation {
  const columns: Column[] = names.map((column, index) => ({
    attribute: index + 1,
    name: column,
    typeOid: OID.text,
    generated: false,
  }))
  return { oid, schema, name, kind: 'r', columns }
}

export const masker = new Masker({ key: Buffer.alloc(32, 7) })

export function maskColumns(mask: MaskInstruction['mask'], ...columns: string[]): MaskInstruction {
  return { rule: `${mask} rule`, mask, columns, detect: [] }
}

export const DETECT_CARDS: MaskInstruction = {
  rule: 'found cards',
  mask: 'redact',
  columns: [],
  detect: ['credit_card'],
}

/** A result column. `attribute` 0 stands for a computed one. */
export function field(name: string, typeOid: number, format: Format = 0, attribute = 0): FieldDescription {
  const tableOid = attribute === 0 ? 0 : PAYMENTS
  return { name, tableOid, attribute, typeOid, typeSize: -1, typeModifier: -1, format }
}

/** The `card` column of payments, whatever type it shall have. */
export function card(typeOid: number, format: Format = 0): FieldDescription {
  return field('card', typeOid, format, 2)
}

/** A binary array of one dimension. */
export function binaryArray(elementOid: number, elements: readonly (Buffer | null)[]): Buffer {
  const header = Buffer.alloc(20)
  header.writeInt32BE(1, 0)
  header.writeInt32BE(elements.includes(null) ? 1 : 0, 4)
  header.writeUInt32BE(elementOid, 8)
  header.writeInt32BE(elements.length, 12)
  header.writeInt32BE(1, 16)
  return Buffer.concat([header, ...elements.map(lengthPrefixed)])
}

export function binaryComposite(fields: readonly (readonly [number, Buffer | null])[]): Buffer {
  return Buffer.concat([int32(fields.length), ...fields.flatMap(([oid, value]) => [int32(oid), lengthPrefixed(value)])])
}

export function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

function lengthPrefixed(value: Buffer | null): Buffer {
  return value === null ? int32(-1) : Buffer.concat([int32(value.length), value])
}
