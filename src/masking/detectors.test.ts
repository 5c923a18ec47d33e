import { expect, test } from 'vitest'
import { DETECTORS } from './detect/catalogue.ts'
import { isNationalNumber } from './detect/national-numbers.ts'
import { Masker } from './masker.ts'
import { nearMisses, positives } from './test/corpus.ts'
import { measure } from './test/measure.ts'

const masker = new Masker({ key: Buffer.alloc(32, 7) })
const all = masker.scanner([{ rule: 'all', mask: 'redact', columns: [], detect: ['personal', 'secret'] }])!
const only = (detector: string) => masker.scanner([{ rule: 'one', mask: 'redact', columns: [], detect: [detector] }])!

test('the labelled corpus: precision and recall of every detector', () => {
  const scores = measure(20_240_506, 60)
  expect(scores.length).toBeGreaterThan(50)
  for (const score of scores) {
    expect(score.recall, `${score.detector} missed ${score.missed[0]}`).toBeGreaterThanOrEqual(0.97)
    expect(score.precision, `${score.detector} took ${score.falseTexts[0]}`).toBeGreaterThanOrEqual(0.95)
  }
})

test('the labelled corpus with everything switched on', () => {
  const labelled = positives(7, 40)
  const found = labelled.filter(({ text, value }) => !all.scanText(text).includes(value)).length
  const misses = nearMisses(8, 120)
  const taken = misses.filter(({ text }) => all.scanText(text) !== text).map(({ text }) => text)
  expect(found / labelled.length).toBeGreaterThanOrEqual(0.97)
  expect(found / (found + taken.length), taken.slice(0, 5).join('\n')).toBeGreaterThanOrEqual(0.98)
})

// Published examples, so that the rules are not only checked against themselves.
test.each([
  ['ca_sin', '046454286'],
  ['uk_nhs', '9434765870'],
  ['fr_nir', '255081416802538'],
  ['de_steuer_id', '36574261809'],
  ['nl_bsn', '111222333'],
  ['be_nrn', '85073003328'],
  ['pl_pesel', '44051401359'],
  ['br_cpf', '11144477735'],
  ['in_aadhaar', '234123412346'],
  ['au_tfn', '123456782'],
  ['au_medicare', '2123456701'],
  ['se_personnummer', '8803200016'],
  ['no_fodselsnummer', '15108695088'],
  ['ch_ahv', '7569217076985'],
  ['at_svnr', '1237010180'],
  ['ro_cnp', '1630615123457'],
  ['bg_egn', '7523169263'],
  ['cz_rodne_cislo', '7103192745'],
  ['za_id', '7503305044089'],
  ['tr_kimlik', '17291716060'],
  ['kr_rrn', '9710139019902'],
  ['jp_my_number', '621498320257'],
  ['hr_oib', '33392005961'],
  ['pt_nif', '501964843'],
  ['il_id', '039337423'],
  ['th_id', '1234545678781'],
])('%s knows the published example %s and refuses its neighbour', (name, digits) => {
  expect(isNationalNumber(name, digits)).toBe(true)
  const at = name === 'au_medicare' ? 8 : digits.length - 1 // Medicare cards end with an issue number
  const next = (Number(digits[at]) + 1) % 10
  expect(isNationalNumber(name, digits.slice(0, at) + next + digits.slice(at + 1))).toBe(false)
})

test.each([
  ['es_dni', '12345678Z'],
  ['es_dni', 'X1234567L'],
  ['uk_nino', 'AB 12 34 56 C'],
  ['it_codice_fiscale', 'RCCMNL83S18D969H'],
  ['mx_curp', 'BOXW310820HNERXN09'],
  ['cn_resident_id', '360426199101010071'],
  ['sg_nric', 'S1234567D'],
  ['fi_hetu', '131052-308T'],
  ['ie_pps', 'PPS 6433435F'],
  ['cl_rut', '76.086.428-5'],
  ['tw_id', 'A123456789'],
  ['iban', 'MT84 MALT 0110 0001 2345 MTLC AST0 01S'],
  ['credit_card', '5555 5555 5555 4444'],
  ['credit_card', '3782-822463-10005'],
  ['credit_card', '4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1'],
  ['credit_card', '4111 1111 1111 1111 12/26 123'],
  ['credit_card', 'card4111111111111111'],
  ['credit_card', '\u0664\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661'],
  ['credit_card', '4111\u00ad1111\ufeff1111\u20601111'],
  ['email', 'j\u00f6rg@b\u00fccher.example'],
  ['email', 'ann\uff20example.com'],
  ['connection_string', 'redis://:p@ss/w0rd@cache:6379/0'],
  ['connection_string', 'host=db user=app password=s3cr3t dbname=shop'],
  ['private_key', 'x -----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00AA\n\nMIIE'],
  ['jwt', 'Authorization: Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.'],
  ['azure_key', 'https://a.blob.core.windows.net/c?sv=2022&sig=abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG%3D'],
  ['service_token', 'bot 123456789:AAabcdefghijklmnopqrstuvwxyz0123456'],
  ['ip_address', 'from 192.0.2.17 port 22'],
  ['ip_address', '2001:db8::1:2:3'],
  ['mac_address', '00:1a:2b:3c:4d:5e'],
  ['date_of_birth', 'born 1984-03-02'],
])('%s is found in %s', (detector, text) => {
  expect(only(detector).scanText(text)).toContain('[redacted]')
})

test('a number is told by the name of its column or key', () => {
  const scanner = only('national_id')
  expect(scanner.scan(Buffer.from('44051401359'))).toBeUndefined()
  expect(scanner.scan(Buffer.from('44051401359'), 'customer_pesel')?.toString()).toBe('[redacted]')
  expect(only('password').scan(Buffer.from('hunter2'), 'dbPassword')?.toString()).toBe('[redacted]')
})

test('names are unique, and groups hold known names only', () => {
  const names = DETECTORS.map(({ name }) => name)
  expect(new Set(names).size).toBe(names.length)
  for (const { members } of DETECTORS) for (const member of members ?? []) expect(names).toContain(member)
})

test('no time grows faster than the text: long runs of every trigger', () => {
  for (const piece of [
    '4111 ',
    '-----BEGIN RSA PRIVATE KEY-----',
    'eyJ',
    '://a:',
    '@',
    'a@b.',
    '+1 ',
    'password=',
    'sk-',
    'GB82',
    '1.',
    'ssn ',
    ':',
    'A1',
    'sig=',
  ])
    for (const detect of ['personal', 'secret', 'ip_address', 'mac_address', 'date_of_birth'])
      expect(only(detect).scanText(piece.repeat(Math.ceil(200_000 / piece.length))).length).toBeGreaterThan(0)
})
