import { luhn, luhnDigit } from '../checksums.ts'
import { isNationalNumber } from '../detect/national-numbers.ts'
import { BASE62, DIGITS, HEX, LOWER, Seeded } from './random.ts'

/** A text with one sensitive value in it, which `detector` has to find. */
export interface Positive {
  readonly detector: string
  readonly text: string
  readonly value: string
}

/** A text that looks sensitive and is not. */
export interface NearMiss {
  readonly kind: string
  readonly text: string
}

type Make = (random: Seeded) => string

const CARD_PREFIXES: readonly (readonly [string, number])[] = [
  ['4', 16],
  ['4', 16],
  ['51', 16],
  ['55', 16],
  ['2221', 16],
  ['34', 15],
  ['37', 15],
  ['6011', 16],
  ['65', 16],
  ['36', 14],
  ['3530', 16],
  ['62', 16],
  ['62', 19],
]

function card(random: Seeded): string {
  const [prefix, length] = random.pick(CARD_PREFIXES)
  const payload = prefix + random.of(DIGITS, length - prefix.length - 1)
  const digits = `${payload}${luhnDigit(payload)}`
  const separator = random.pick(['', '', ' ', '-', '.', '\u00a0', '\u2009', '\u2013', '\u200b'])
  if (length === 15) return [digits.slice(0, 4), digits.slice(4, 10), digits.slice(10)].join(separator)
  if (length === 14) return [digits.slice(0, 4), digits.slice(4, 10), digits.slice(10)].join(separator)
  if (random.next() < 0.1) return [...digits].map((digit) => String.fromCharCode(0xff10 + Number(digit))).join('')
  return digits.match(/.{1,4}/g)!.join(separator)
}

function iban(random: Seeded): string {
  const bodies: readonly string[] = [
    'DE##################',
    'GBAAAA##############',
    'FR##########***********##',
    'NLAAAA##########',
    'ES####################',
    'IT#A####################',
    'CH#################',
    'PL########################',
  ]
  const body = random.fill(random.pick(bodies).replace('FR', 'F\u0052')).replace('IT', 'IT').toUpperCase()
  const country = body.slice(0, 2)
  const account = country === 'IT' ? `${random.of('ABCDEFGH', 1)}${random.of(DIGITS, 22)}` : body.slice(2)
  const numeric = `${account}${country}00`.replace(/[A-Z]/g, (letter) => `${letter.charCodeAt(0) - 55}`)
  const check = 98n - (BigInt(numeric) % 97n)
  const whole = `${country}${check.toString().padStart(2, '0')}${account}`
  return random.pick([whole, whole.match(/.{1,4}/g)!.join(' ')])
}

function jwt(random: Seeded): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const header = part({ alg: random.pick(['HS256', 'RS256', 'ES256']), typ: 'JWT', kid: random.of(HEX, 8) })
  return `${header}.${part({ sub: random.of(DIGITS, 6), exp: 1_700_000_000 })}.${random.of(`${BASE62}-_`, 43)}`
}

function pem(random: Seeded): string {
  const label = random.pick([
    'RSA PRIVATE KEY',
    'EC PRIVATE KEY',
    'PRIVATE KEY',
    'OPENSSH PRIVATE KEY',
    'ENCRYPTED PRIVATE KEY',
    'PGP PRIVATE KEY BLOCK',
  ])
  const line = random.pick(['\n', '\r\n', '\\n'])
  const body = [1, 2, 3].map(() => random.of(`${BASE62}+/`, 64)).join(line)
  const end = random.next() < 0.2 ? '' : `${line}-----END ${label}-----`
  return `-----BEGIN ${label}-----${line}${body}${end}`
}

function email(random: Seeded): string {
  const local = random.pick(['ann.lee', 'bob+news', 'j_smith99', 'x', 'm\u00fcller', 'first.last'])
  const host = random.pick(['example.com', 'mail.example.co.uk', 'example.org', 'b\u00fccher.example', 'sub.domain.io'])
  return `${local}${random.of(LOWER, 2)}@${host}`
}

function phone(random: Seeded): string {
  const area = () => `${random.of('23456789', 1)}${random.of(DIGITS, 2)}`
  return random.pick<() => string>([
    () => `+1 ${area()} ${area()} ${random.of(DIGITS, 4)}`,
    () => `+1${area()}${area()}${random.of(DIGITS, 4)}`,
    () => `(${area()}) ${area()}-${random.of(DIGITS, 4)}`,
    () => `${area()}-${area()}-${random.of(DIGITS, 4)}`,
    () => `${area()}.${area()}.${random.of(DIGITS, 4)}`,
    () => `+44 20 7${random.of(DIGITS, 3)} ${random.of(DIGITS, 4)}`,
    () => `020 7${random.of(DIGITS, 3)} ${random.of(DIGITS, 4)}`,
    () => `07${random.of('45789', 1)}${random.of(DIGITS, 2)} ${random.of(DIGITS, 6)}`,
    () => `+49 30 ${random.of('123456789', 1)}${random.of(DIGITS, 6)}`,
    () => `+33 6 ${random.of(DIGITS, 2)} ${random.of(DIGITS, 2)} ${random.of(DIGITS, 2)} ${random.of(DIGITS, 2)}`,
    () => `06 ${random.of(DIGITS, 2)} ${random.of(DIGITS, 2)} ${random.of(DIGITS, 2)} ${random.of(DIGITS, 2)}`,
    () => `0049 30 ${random.of('123456789', 1)}${random.of(DIGITS, 6)}`,
  ])()
}

const MAX_ATTEMPTS = 100_000

/** Fills the template until the country's rule holds. */
function national(name: string, template: string, prefix = ''): Make {
  return (random) => {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const text = random.fill(template)
      if (isNationalNumber(name, text.replace(/\D/g, ''))) return prefix + text
    }
    throw new Error(`no ${name} looks like ${template}`)
  }
}

function birthDigits(random: Seeded, order: 'ymd' | 'dmy'): string {
  const two = (low: number, high: number) => `${low + random.below(high - low + 1)}`.padStart(2, '0')
  const [year, month, day] = [two(40, 99), two(1, 12), two(1, 28)]
  return order === 'ymd' ? year + month + day : day + month + year
}

/** As `national`, with a birth date where the template says `@`. */
function born(name: string, template: string, order: 'ymd' | 'dmy', prefix = ''): Make {
  return (random) => {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const text = random.fill(template).replace('@', birthDigits(random, order))
      if (isNationalNumber(name, text.replace(/\D/g, ''))) return prefix + text
    }
    throw new Error(`no ${name} looks like ${template}`)
  }
}

const dni: Make = (random) => {
  const digits = random.of(DIGITS, 8)
  return `${digits}${random.pick(['', '', '-'])}${'TRWAGMYFPDXBNJZSQVHLCKE'[Number(digits) % 23]}`
}
const nino: Make = (random) =>
  `${random.pick(['AB', 'CE', 'JM', 'PX', 'WA'])}${random.pick(['######', ' ## ## ## ']).replace(/#/g, () => random.of(DIGITS, 1))}${random.of('ABCD', 1)}`

/** Makers of values, and the detector that each belongs to. A value may bring the word that tells it. */
const MAKERS: readonly (readonly [detector: string, make: Make])[] = [
  ['credit_card', card],
  ['iban', iban],
  ['email', email],
  ['phone', phone],
  ['phone', (random) => `phone: ${random.of('123456789', 1)}${random.of(DIGITS, 9)}`],
  ['us_ssn', national('us_ssn', '###-##-####')],
  ['us_ssn', national('us_ssn', '#########', 'SSN ')],
  ['us_itin', national('us_itin', '9##-##-####')],
  ['ca_sin', national('ca_sin', '###-###-###')],
  ['ca_sin', national('ca_sin', '### ### ###', 'SIN: ')],
  ['uk_nhs', national('uk_nhs', '### ### ####', 'NHS number ')],
  ['uk_nino', nino],
  ['fr_nir', national('fr_nir', '1##05##########')],
  ['fr_nir', national('fr_nir', '2 ## 08 ## ### ### ##')],
  ['de_steuer_id', national('de_steuer_id', '## ### ### ###')],
  ['de_steuer_id', national('de_steuer_id', '###########', 'Steuer-ID: ')],
  ['nl_bsn', national('nl_bsn', '#########', 'BSN ')],
  ['be_nrn', born('be_nrn', '@-###.##', 'ymd', 'rijksregister ')],
  ['pl_pesel', born('pl_pesel', '@#####', 'ymd', 'PESEL ')],
  ['br_cpf', national('br_cpf', '###.###.###-##')],
  ['br_cpf', national('br_cpf', '###########', 'CPF ')],
  ['in_aadhaar', national('in_aadhaar', '#### #### ####')],
  ['in_aadhaar', national('in_aadhaar', '############', 'Aadhaar ')],
  ['au_tfn', national('au_tfn', '### ### ###', 'TFN ')],
  ['au_medicare', national('au_medicare', '#### ##### #', 'Medicare ')],
  ['se_personnummer', born('se_personnummer', '19@-####', 'ymd')],
  ['se_personnummer', born('se_personnummer', '@-####', 'ymd', 'personnummer ')],
  ['no_fodselsnummer', born('no_fodselsnummer', '@#####', 'dmy', 'fnr ')],
  ['dk_cpr', born('dk_cpr', '@-####', 'dmy', 'CPR ')],
  ['ch_ahv', national('ch_ahv', '756.####.####.##')],
  ['at_svnr', national('at_svnr', '#### ######', 'SVNR ')],
  ['ro_cnp', born('ro_cnp', '1@######', 'ymd', 'CNP ')],
  ['bg_egn', born('bg_egn', '@####', 'ymd', 'EGN ')],
  ['cz_rodne_cislo', born('cz_rodne_cislo', '@/####', 'ymd')],
  ['za_id', born('za_id', '@#######', 'ymd', 'South African ID ')],
  ['tr_kimlik', national('tr_kimlik', '###########', 'Kimlik ')],
  ['kr_rrn', born('kr_rrn', '@-#######', 'ymd')],
  ['jp_my_number', national('jp_my_number', '############', 'My Number ')],
  ['hr_oib', national('hr_oib', '###########', 'OIB ')],
  ['pt_nif', national('pt_nif', '#########', 'NIF ')],
  ['th_id', national('th_id', '#-####-#####-##-#')],
  ['ae_emirates_id', national('ae_emirates_id', '784-####-#######-#')],
  ['es_dni', dni],
  ['jwt', jwt],
  ['private_key', pem],
  [
    'aws_key',
    (random) => random.fill('AKIA').replace(/.*/, () => `AKIA${random.of('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', 16)}`),
  ],
  ['aws_key', (random) => `aws_secret_access_key = ${random.of(`${BASE62}/+`, 40)}`],
  ['gcp_key', (random) => `AIza${random.of(`${BASE62}_-`, 34)}Q`],
  ['azure_key', (random) => `AccountKey=${random.of(`${BASE62}/+`, 86)}==`],
  ['github_token', (random) => `${random.pick(['ghp_', 'gho_', 'ghs_'])}${random.of(BASE62, 36)}`],
  ['github_token', (random) => `github_pat_${random.of(BASE62, 22)}_${random.of(BASE62, 59)}`],
  ['gitlab_token', (random) => `glpat-${random.of(BASE62, 20)}`],
  ['slack_token', (random) => `xoxb-${random.of(DIGITS, 12)}-${random.of(DIGITS, 12)}-${random.of(BASE62, 24)}`],
  ['stripe_key', (random) => `${random.pick(['sk_live_', 'rk_live_', 'sk_test_'])}${random.of(BASE62, 24)}`],
  ['npm_token', (random) => `npm_${random.of(BASE62, 36)}`],
  ['sendgrid_key', (random) => `SG.${random.of(BASE62, 22)}.${random.of(BASE62, 43)}`],
  ['twilio_key', (random) => `SK${random.of(HEX, 32)}`],
  ['openai_key', (random) => `sk-proj-${random.of(BASE62, 48)}`],
  ['anthropic_key', (random) => `sk-ant-api03-${random.of(BASE62, 80)}`],
  ['huggingface_token', (random) => `hf_${random.of(BASE62, 34)}`],
  ['digitalocean_token', (random) => `dop_v1_${random.of(HEX, 64)}`],
  ['sallyport_token', (random) => `sps_${random.of(BASE62, 43)}`],
  ['connection_string', (random) => `postgres://app:${random.of(BASE62, 12)}@db.internal:5432/shop`],
  ['connection_string', (random) => `Server=db;Database=shop;User Id=app;Password=${random.of(BASE62, 12)};`],
  ['password', (random) => `password=${random.of(BASE62, 10)}`],
  ['password', (random) => `{"api_key": "${random.fill('a#A')}${random.of(BASE62, 20)}"}`],
  ['password', (random) => `DB_PASSWORD: "${random.of(BASE62, 9)}"`],
]

const TELLING =
  /^(?:[A-Za-z][A-Za-z -]*:? |[^=]*Password=|AccountKey=|aws_secret_access_key = |password=|DB_PASSWORD: "|\{"api_key": "|postgres:\/\/app:)/

/** The part of a made value that must not survive: without its telling word, and only the password of a connection. */
function sensitivePart(made: string, detector: string): string {
  if (detector === 'private_key') return made.replace(/^[^\n\\]*(?:\r?\n|\\n)/, '').slice(0, 60)
  if (['connection_string', 'password', 'azure_key', 'aws_key'].includes(detector))
    return made
      .replace(TELLING, '')
      .replace(/[";}]+$/, '')
      .replace(/@.*$/, '')
  return /^(?:phone|us_|ca_|uk_nhs|de_|nl_|be_|pl_|br_|in_|au_|se_|no_|dk_|at_|ro_|bg_|za_|tr_|jp_|hr_|pt_)/.test(
    detector,
  )
    ? made.replace(/^[A-Za-z][A-Za-z -]*:? /, '')
    : made
}

const FRAMES: readonly ((value: string) => string)[] = [
  (value) => value,
  (value) => `Please check ${value} and answer today.`,
  (value) => `note: ${value}`,
  (value) => `"${value}"`,
  (value) => `${value}, see the ticket`,
  (value) => `2024-05-06 07:08:09 INFO ${value}`,
  (value) => `id 1042 (${value})`,
]

export function positives(seed: number, perMaker: number): readonly Positive[] {
  const random = new Seeded(seed)
  return MAKERS.flatMap(([detector, make]) =>
    Array.from({ length: perMaker }, () => {
      const made = make(random)
      return { detector, text: random.pick(FRAMES)(made), value: sensitivePart(made, detector) }
    }),
  )
}

const WORDS =
  'the customer asked about late delivery of two blue chairs and wants money back before next week or a new one'.split(
    ' ',
  )
const prose = (random: Seeded, count: number) => Array.from({ length: count }, () => random.pick(WORDS)).join(' ')

const NEAR_MISSES: readonly (readonly [kind: string, make: Make])[] = [
  [
    'order number',
    (random) =>
      random.fill(
        random.pick([
          'ORD-2024-######',
          'order #########',
          '#######',
          'INV/2024/######',
          'SO-#####-###',
          'PO ##########',
          '2024####-####',
        ]),
      ),
  ],
  [
    'card that fails Luhn',
    (random) => {
      const digits = `4${random.of(DIGITS, 15)}`
      return luhn(digits) ? `${digits.slice(0, 15)}${(Number(digits[15]) + 1) % 10}` : digits
    },
  ],
  ['unknown issuer', (random) => random.fill('1###############')],
  ['decimal', (random) => random.fill('0.################')],
  ['uuid', (random) => random.fill('xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx')],
  ['uuid of digits', (random) => random.fill('########-####-4###-8###-############')],
  ['timestamp', (random) => random.fill('2024-0#-1# 0#:1#:2#.######+00')],
  [
    'epoch',
    (random) => random.fill(random.pick(['17########', '17###########', '17##############', '17#################'])),
  ],
  ['hash', (random) => random.of(HEX, random.pick([32, 40, 64]))],
  ['base64', (random) => Buffer.from(random.of(BASE62, 45)).toString('base64')],
  ['data uri', (random) => `data:image/png;base64,${random.of(`${BASE62}+/`, 120)}`],
  [
    'price',
    (random) => random.fill(random.pick(['$#,###.##', '### ### ###,## EUR', '#.###.###,##', 'total 1####.##'])),
  ],
  ['version', (random) => random.fill(random.pick(['v1.#.##', '10.##.####.##', 'lodash@4.17.##', 'node:20.##.#']))],
  [
    'phone-like id',
    (random) =>
      random.fill(
        random.pick([
          'item 4155550###',
          'SKU 415-5550-###',
          'part 02##-####-##',
          'ref 1######### closed',
          'lot 33-1##-####',
        ]),
      ),
  ],
  [
    'barcode',
    (random) => random.fill(random.pick(['978-3-16-######-#', '1Z999AA1##########', '9400 1000 0000 0000 #### ##'])),
  ],
  ['date range', (random) => random.fill('2024-0#-1# - 2024-1#-0#')],
  ['coordinates', (random) => random.fill('52.########, 13.########')],
  ['numbers', (random) => random.fill('## ## ### # #### ## # ### ##')],
  [
    'mention',
    (random) =>
      random.fill(
        random.pick([
          '@aaaaaa said hi',
          'logo@2x.png',
          'git@github.com:aaaa/aaaa.git',
          'meet @ 5.30',
          'aaaa@localhost',
        ]),
      ),
  ],
  [
    'url',
    (random) =>
      random.fill(
        random.pick([
          'https://example.com:8443/a/b?id=######',
          'http://aaaa.example.org/x@y',
          'postgres://localhost:5432/shop',
          'https://example.com/sk-cube-grid-container-wide',
        ]),
      ),
  ],
  [
    'prose on passwords',
    (random) =>
      random.pick([
        'Password: must be at least eight characters',
        'the password is required',
        'password=',
        'password: null',
        '"password": "********"',
        'password=$DB_PASSWORD',
        'reset your password: click here',
        'token: required',
        'secret: true',
      ]),
  ],
  [
    'identifier',
    (random) =>
      random.fill(
        random.pick([
          'aaaa_aaaaaa_aaaaa_id_##',
          'npm_config_registry',
          'sk-fading-circle',
          'hf_transfer',
          'xoxo',
          'AKIA',
          'ghp_short',
          'pk_live_aaaa',
          'SG.example',
          'dapifoo',
        ]),
      ),
  ],
  ['public key', () => '-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----'],
  ['dotted name', (random) => random.fill('com.example.aaaaaaa.aaaaaaa.Aaaaaaaa')],
  [
    'DNI with a wrong letter',
    (random) => {
      const digits = random.of(DIGITS, 8)
      return `${digits}${'TRWAGMYFPDXBNJZSQVHLCKE'[(Number(digits) + 1) % 23]}`
    },
  ],
  ['IBAN with wrong digits', (random) => random.fill('DE00##################')],
  [
    'SSN that cannot be',
    (random) => random.pick([random.fill('000-##-####'), random.fill('666-##-####'), random.fill('###-00-####')]),
  ],
  [
    'log line',
    (random) => random.fill('127.0.0.1 - - [06/May/2024:07:08:09 +0000] "GET /a/######## HTTP/1.1" 200 #####'),
  ],
  [
    'sql',
    (random) => random.fill('select id, total from orders where id = ######### and created > 1700000000 limit 10'),
  ],
  ['prose', (random) => prose(random, 20)],
  [
    'prose with numbers',
    (random) => `${prose(random, 5)} ${random.fill('####')} ${prose(random, 4)} ${random.fill('##.## kg ###')}`,
  ],
  ['snowflake', (random) => random.fill('1#################')],
  ['tracking list', (random) => random.fill('10######, 10######, 10######')],
  ['address', (random) => random.fill('### Main Street, Apt ##, 9####-####')],
  ['array', (random) => random.fill('{1####,2####,3####,4####}')],
]

export function nearMisses(seed: number, perMaker: number): readonly NearMiss[] {
  const random = new Seeded(seed)
  return NEAR_MISSES.flatMap(([kind, make]) => Array.from({ length: perMaker }, () => ({ kind, text: make(random) })))
}

/** Believable rows without anything sensitive, for speed. */
export function cleanRows(seed: number, count: number): readonly string[] {
  const random = new Seeded(seed)
  return Array.from({ length: count }, (_each, index) =>
    random.pick([
      `${index}`,
      prose(random, 12),
      random.fill('2024-0#-1# 0#:1#:2#'),
      random.fill('###.##'),
      'shipped',
      prose(random, 3),
    ]),
  )
}
