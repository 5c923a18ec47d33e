import { entropy } from '../checksums.ts'
import { type DetectorInfo, type Finder, isLetterOrDigit, type Report, type View, wordsBefore } from './detector.ts'
import { TRAIT } from './traits.ts'

interface KeyShape {
  readonly detector: string
  /** What it starts with, exactly; found first, in one search for all. */
  readonly prefix: string
  readonly alphabet: Uint8Array
  /** How many characters of the alphabet follow the prefix. */
  readonly min: number
  readonly max: number
}

const TITLES: readonly (readonly [name: string, title: string])[] = [
  ['aws_key', 'AWS access key id, and secret access key near a telling word'],
  ['gcp_key', 'Google API key, OAuth token and client secret'],
  ['azure_key', 'Azure storage key, shared access signature and client secret'],
  ['github_token', 'GitHub token'],
  ['gitlab_token', 'GitLab token'],
  ['slack_token', 'Slack token and webhook'],
  ['stripe_key', 'Stripe secret key'],
  ['npm_token', 'npm or PyPI token'],
  ['sendgrid_key', 'SendGrid API key'],
  ['twilio_key', 'Twilio API key'],
  ['openai_key', 'OpenAI-style API key'],
  ['anthropic_key', 'Anthropic API key'],
  ['huggingface_token', 'Hugging Face token'],
  ['digitalocean_token', 'DigitalOcean token'],
  ['sallyport_token', "Sallyport's own token"],
  [
    'service_token',
    "Other services' tokens: Shopify, Vault, Databricks, Grafana, Linear, Notion, Telegram, age and more",
  ],
]

const BASE62 = alphabet('')
const BASE64URL = alphabet('_-')
const WORD = alphabet('_')
const DOTTED = alphabet('_-.')
const PERCENT = alphabet('-.%')
const BASE64 = alphabet('+/=_-')
const PATH = alphabet('/_-')
const DASHED = alphabet('-')

/** Shapes are published by the services, or collected by the gitleaks and secretlint projects. */
const SHAPES: readonly KeyShape[] = [
  ...keys('aws_key', 'AKIA ASIA ABIA ACCA', BASE62, 16),
  ...keys('gcp_key', 'AIza', BASE64URL, 35, 39),
  ...keys('gcp_key', 'ya29.', DOTTED, 20, 2048),
  ...keys('gcp_key', 'GOCSPX-', BASE64URL, 24, 40),
  ...keys('github_token', 'ghp_ gho_ ghu_ ghs_ ghr_', BASE62, 36, 255),
  ...keys('github_token', 'github_pat_', WORD, 36, 255),
  ...keys('gitlab_token', 'glpat- gldt- glrt- glptt- glcbt- glft- glsoat- gloas- glagent-', DOTTED, 20, 255),
  ...keys('slack_token', 'xoxa- xoxb- xoxe- xoxo- xoxp- xoxr- xoxs- xoxc- xoxd- xoxe. xapp-', PERCENT, 10, 512),
  ...keys(
    'slack_token',
    'hooks.slack.com/services/ hooks.slack.com/workflows/ hooks.slack.com/triggers/',
    PATH,
    20,
    255,
  ),
  ...keys('stripe_key', 'sk_live_ rk_live_ sk_test_ rk_test_', BASE62, 10, 255),
  ...keys('stripe_key', 'whsec_', BASE64, 24, 255),
  ...keys('npm_token', 'npm_', BASE62, 36),
  ...keys('npm_token', 'pypi-AgE', BASE64URL, 50, 1024),
  ...keys('sendgrid_key', 'SG.', DOTTED, 40, 128),
  ...keys('twilio_key', 'SK AC', BASE62, 32),
  ...keys('anthropic_key', 'sk-ant-', BASE64URL, 20, 255),
  ...keys('openai_key', 'sk-', BASE64URL, 20, 255),
  ...keys('huggingface_token', 'hf_ api_org_', BASE62, 30, 64),
  ...keys('digitalocean_token', 'dop_v1_ doo_v1_ dor_v1_', BASE62, 64),
  ...keys('sallyport_token', 'sps_', BASE62, 32, 64),
  ...keys('service_token', 'shpat_ shpca_ shppa_ shpss_', BASE62, 32),
  ...keys('service_token', 'sq0atp- sq0csp-', BASE64URL, 22, 64),
  ...keys('service_token', 'hvs. hvb. hvr.', BASE64URL, 24, 512),
  ...keys('service_token', 'dapi', DASHED, 32, 34),
  ...keys('service_token', 'glsa_ glc_', BASE64, 32, 512),
  ...keys('service_token', 'lin_api_', BASE62, 32, 64),
  ...keys('service_token', 'ntn_', BASE62, 40, 64),
  ...keys('service_token', 'secret_', BASE62, 43),
  ...keys('service_token', 'AGE-SECRET-KEY-1', BASE62, 58),
  ...keys('service_token', 'PMAK-', DASHED, 59),
  ...keys('service_token', 'NRAK-', BASE62, 27),
  ...keys('service_token', 'pscale_tkn_ pscale_pw_ pscale_oauth_', DOTTED, 32, 128),
  ...keys('service_token', 'sbp_', BASE62, 40),
  ...keys('service_token', 'tskey-', DASHED, 20, 128),
  ...keys('service_token', 'dp.pt. dp.st. dp.ct. dp.sa. dp.scim. dp.audit.', DOTTED, 40, 128),
  ...keys('service_token', 'key-', BASE62, 32),
  ...keys('service_token', 'EAAA', BASE64URL, 60),
  ...keys('service_token', 'figd_', BASE64URL, 40, 64),
  ...keys('service_token', 'xai-', BASE62, 60, 128),
  ...keys('service_token', 'gsk_', BASE62, 40, 64),
  ...keys('service_token', 'r8_', BASE62, 37),
  ...keys('service_token', 'ATATT3', BASE64, 60, 255),
]

/** One shape for each of the prefixes; without `max` the length is exact. */
function keys(detector: string, prefixes: string, letters: Uint8Array, min: number, max = min): KeyShape[] {
  return prefixes.split(' ').map((prefix) => ({ detector, prefix, alphabet: letters, min, max }))
}

function alphabet(extra: string): Uint8Array {
  const table = new Uint8Array(256)
  for (let code = 0; code < 128; code++) if (isLetterOrDigit(code)) table[code] = 1
  for (const character of extra) table[character.charCodeAt(0)] = 1
  return table
}

/** Shapes by the first character of their prefix; longer prefixes first, so that `sk-ant-` is not taken for `sk-`. */
const byFirst: (readonly KeyShape[] | undefined)[] = new Array(256).fill(undefined)
for (const shape of SHAPES.toSorted((a, b) => b.prefix.length - a.prefix.length)) {
  const first = shape.prefix.charCodeAt(0)
  byFirst[first] = [...(byFirst[first] ?? []), shape]
}
const MIN_ENTROPY = 2

/** Keys that only their neighbourhood tells. */
const SECRET_ACCESS_KEY = /(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/]{40}(?![A-Za-z0-9+/=_-])/g
const AWS_WORDS = /aws|secret[ _-]?(?:access[ _-]?)?key|secretaccesskey|AKIA|ASIA/i
const STORAGE_KEY = /(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{86}==/g
const AZURE_WORDS = /account[ _-]?key|shared[ _-]?access|azure|storage/i
const SHARED_ACCESS = /(?<=[?&;]sig=)[A-Za-z0-9%+/]{40,80}(?:%3D|=){0,2}/gi
const CLIENT_SECRET = /(?<![A-Za-z0-9_~.-])[A-Za-z0-9_~.]{3}\dQ~[A-Za-z0-9_~.-]{31,34}(?![A-Za-z0-9_~-])/g
const TELEGRAM = /(?<![A-Za-z0-9])\d{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])/g
const HEX = /^[0-9a-f]+$/i
/** Short prefixes that would be met by chance. */
const HEX_KEYS = new Set(['SK', 'AC', 'key-'])
/** Class names such as `sk-cube-grid-container` are no keys. */
const LOOKS_RANDOM = /\d/

export const serviceKeyFinder: Finder = {
  detectors: TITLES.map(
    ([name, title]): DetectorInfo => ({
      name,
      title,
      description: 'By its published prefix, alphabet and length.',
      checksum: false,
      secret: true,
    }),
  ),
  possible: (traits) => (traits & (TRAIT.long | TRAIT.letter)) === (TRAIT.long | TRAIT.letter),
  find(view, wanted, report) {
    findPrefixed(view.text, wanted, report)
    const told = (name: string, mark: string, shape: RegExp, allowed: (value: string, at: number) => boolean) => {
      if (!wanted.has(name) || !view.text.includes(mark)) return
      for (const match of view.text.matchAll(shape))
        if (allowed(match[0], match.index)) report(name, match.index, match.index + match[0].length)
    }
    told(
      'aws_key',
      '',
      SECRET_ACCESS_KEY,
      (value, at) => !HEX.test(value) && entropy(value) > 4 && AWS_WORDS.test(wordsNear(view, at)),
    )
    told('azure_key', '==', STORAGE_KEY, (_value, at) => AZURE_WORDS.test(wordsBefore(view, at)))
    told('azure_key', '=', SHARED_ACCESS, () => true)
    told('azure_key', 'Q~', CLIENT_SECRET, () => true)
    told('service_token', ':AA', TELEGRAM, () => true)
  },
}

/** One walk over the text for all prefixes; a letter or digit before a prefix makes it a part of a word. */
function findPrefixed(text: string, wanted: ReadonlySet<string>, report: Report): void {
  let inWord = false
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    const shapes = inWord ? undefined : byFirst[code]
    inWord = isLetterOrDigit(code)
    const shape = shapes?.find(({ prefix }) => text.startsWith(prefix, at))
    if (shape === undefined || !wanted.has(shape.detector)) continue
    const end = keyEnd(text, at + shape.prefix.length, shape)
    if (end < 0) continue
    report(shape.detector, at, end)
    at = end - 1
    inWord = true
  }
}

function keyEnd(text: string, start: number, { alphabet: letters, min, max, prefix }: KeyShape): number {
  let end = start
  while (end < text.length && end - start <= max && letters[text.charCodeAt(end)] === 1) end++
  if (end - start > max) {
    if (min === max) return -1
    end = start + max
  }
  while (end > start && !isLetterOrDigit(text.charCodeAt(end - 1)) && text[end - 1] !== '=') end-- // the sentence's own dot
  const body = text.slice(start, end)
  if (body.length < min || (prefix === 'sk-' && !LOOKS_RANDOM.test(body))) return -1
  if (HEX_KEYS.has(prefix) && !HEX.test(body)) return -1
  return entropy(body) < MIN_ENTROPY ? -1 : end
}

const NEAR_CHARACTERS = 120

/** Key id and secret often stand together, in either order. */
function wordsNear(view: View, at: number): string {
  return `${view.hint.words} ${view.text.slice(Math.max(0, at - NEAR_CHARACTERS), at + NEAR_CHARACTERS)}`
}
