import { entropy } from '../checksums.ts'
import { type DetectorInfo, type Finder, type View, wordsBefore } from './detector.ts'
import { TRAIT } from './traits.ts'

interface KeyShape {
  readonly detector: string
  /** What it starts with, exactly; found first, in one search for all. */
  readonly prefix: string
  /** The whole key, matched where the prefix stands. */
  readonly shape: RegExp
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

/** Shapes are published by the services, or collected by the gitleaks and secretlint projects. Bounded throughout. */
const SHAPES: readonly KeyShape[] = [
  ...['AKIA', 'ASIA', 'ABIA', 'ACCA'].map((prefix) => key('aws_key', prefix, /[A-Z]{4}[A-Z0-9]{16}(?![A-Za-z0-9])/y)),
  key('gcp_key', 'AIza', /AIza[A-Za-z0-9_-]{35}/y),
  key('gcp_key', 'ya29.', /ya29\.[A-Za-z0-9_-]{20,2048}/y),
  key('gcp_key', 'GOCSPX-', /GOCSPX-[A-Za-z0-9_-]{28}/y),
  ...['ghp_', 'gho_', 'ghu_', 'ghs_', 'ghr_'].map((prefix) =>
    key('github_token', prefix, /gh[pousr]_[A-Za-z0-9]{36,255}/y),
  ),
  key('github_token', 'github_pat_', /github_pat_[A-Za-z0-9_]{36,255}/y),
  ...['glpat-', 'gldt-', 'glrt-', 'glptt-', 'glcbt-', 'glft-', 'glsoat-', 'gloas-', 'glagent-'].map((prefix) =>
    key('gitlab_token', prefix, /gl[a-z]{2,5}-[A-Za-z0-9_.-]{20,255}/y),
  ),
  ...['xoxa-', 'xoxb-', 'xoxe-', 'xoxo-', 'xoxp-', 'xoxr-', 'xoxs-', 'xoxc-', 'xoxd-', 'xoxe.', 'xapp-'].map((prefix) =>
    key('slack_token', prefix, /x(?:ox[a-z]|app)[.-][A-Za-z0-9%.-]{10,255}/y),
  ),
  key('slack_token', 'hooks.slack.com/', /hooks\.slack\.com\/(?:services|workflows|triggers)\/[A-Za-z0-9_/-]{20,255}/y),
  ...['sk_live_', 'rk_live_', 'sk_test_', 'rk_test_'].map((prefix) =>
    key('stripe_key', prefix, /[sr]k_(?:live|test)_[A-Za-z0-9]{10,255}/y),
  ),
  key('stripe_key', 'whsec_', /whsec_[A-Za-z0-9+/=]{24,255}/y),
  key('npm_token', 'npm_', /npm_[A-Za-z0-9]{36}(?![A-Za-z0-9])/y),
  key('npm_token', 'pypi-', /pypi-AgE[A-Za-z0-9_-]{50,1024}/y),
  key('sendgrid_key', 'SG.', /SG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,64}/y),
  key('twilio_key', 'SK', /SK[0-9a-f]{32}(?![A-Za-z0-9])/y),
  key('twilio_key', 'AC', /AC[0-9a-f]{32}(?![A-Za-z0-9])/y),
  key('anthropic_key', 'sk-ant-', /sk-ant-[A-Za-z0-9_-]{20,255}/y),
  key('openai_key', 'sk-', /sk-(?!ant-)(?:[a-z0-9]{2,8}-)?[A-Za-z0-9_-]{20,255}/y),
  key('huggingface_token', 'hf_', /hf_[A-Za-z0-9]{30,64}(?![A-Za-z0-9])/y),
  key('huggingface_token', 'api_org_', /api_org_[A-Za-z0-9]{30,64}(?![A-Za-z0-9])/y),
  ...['dop_v1_', 'doo_v1_', 'dor_v1_'].map((prefix) => key('digitalocean_token', prefix, /do[opr]_v1_[0-9a-f]{64}/y)),
  ...['sallyport_', 'sp_', 'spt_'].map((prefix) =>
    key('sallyport_token', prefix, /(?:sallyport|spt?)_[A-Za-z0-9_-]{24,255}/y),
  ),
  ...['shpat_', 'shpca_', 'shppa_', 'shpss_'].map((prefix) =>
    key('service_token', prefix, /shp[a-z]{2}_[0-9a-fA-F]{32}/y),
  ),
  ...['sq0atp-', 'sq0csp-'].map((prefix) => key('service_token', prefix, /sq0[a-z]{3}-[A-Za-z0-9_-]{22,64}/y)),
  ...['hvs.', 'hvb.', 'hvr.'].map((prefix) => key('service_token', prefix, /hv[sbr]\.[A-Za-z0-9_-]{24,512}/y)),
  key('service_token', 'dapi', /dapi[0-9a-f]{32}(?:-\d)?(?![A-Za-z0-9])/y),
  ...['glsa_', 'glc_'].map((prefix) => key('service_token', prefix, /gl(?:sa|c)_[A-Za-z0-9+/=_]{32,512}/y)),
  key('service_token', 'lin_api_', /lin_api_[A-Za-z0-9]{32,64}/y),
  key('service_token', 'ntn_', /ntn_[A-Za-z0-9]{40,64}/y),
  key('service_token', 'secret_', /secret_[A-Za-z0-9]{43}(?![A-Za-z0-9])/y),
  key('service_token', 'AGE-SECRET-KEY-1', /AGE-SECRET-KEY-1[A-Z0-9]{58}/y),
  key('service_token', 'PMAK-', /PMAK-[0-9a-f]{24}-[0-9a-f]{34}/y),
  key('service_token', 'NRAK-', /NRAK-[A-Z0-9]{27}/y),
  key('service_token', 'pscale_', /pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.-]{32,128}/y),
  key('service_token', 'sbp_', /sbp_[0-9a-f]{40}/y),
  key('service_token', 'tskey-', /tskey-[a-z]{2,10}-[A-Za-z0-9-]{16,128}/y),
  key('service_token', 'dp.', /dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9._-]{40,128}/y),
  key('service_token', 'key-', /key-[0-9a-f]{32}(?![A-Za-z0-9])/y),
  key('service_token', 'EAAA', /EAAA[A-Za-z0-9_-]{60}(?![A-Za-z0-9])/y),
  key('service_token', 'figd_', /figd_[A-Za-z0-9_-]{40,64}/y),
  key('service_token', 'xai-', /xai-[A-Za-z0-9]{60,128}/y),
  key('service_token', 'gsk_', /gsk_[A-Za-z0-9]{40,64}/y),
  key('service_token', 'r8_', /r8_[A-Za-z0-9]{37}(?![A-Za-z0-9])/y),
  key('service_token', 'ATATT3', /ATATT3[A-Za-z0-9_=-]{60,255}/y),
]

function key(detector: string, prefix: string, shape: RegExp): KeyShape {
  return { detector, prefix, shape }
}

const byPrefix = new Map(SHAPES.map((shape) => [shape.prefix, shape]))
const literal = (prefix: string) => prefix.replace(/[.*+?^$()[\]{}|\\/-]/g, '\\$&')
/** Longer prefixes first, so that `sk-ant-` is not taken for `sk-`. */
export const ANY_PREFIX = new RegExp(
  `(?<![A-Za-z0-9])(?:${[...byPrefix.keys()]
    .sort((a, b) => b.length - a.length)
    .map(literal)
    .join('|')})`,
  'g',
)
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
    for (const match of view.text.matchAll(ANY_PREFIX)) {
      const { detector, shape } = byPrefix.get(match[0])!
      if (!wanted.has(detector)) continue
      shape.lastIndex = match.index
      const found = shape.exec(view.text)
      if (found !== null && entropy(found[0].slice(match[0].length)) >= MIN_ENTROPY)
        report(detector, match.index, match.index + found[0].length)
    }
    const told = (name: string, shape: RegExp, allowed: (value: string, at: number) => boolean) => {
      if (!wanted.has(name)) return
      for (const match of view.text.matchAll(shape))
        if (allowed(match[0], match.index)) report(name, match.index, match.index + match[0].length)
    }
    told(
      'aws_key',
      SECRET_ACCESS_KEY,
      (value, at) => !HEX.test(value) && entropy(value) > 4 && AWS_WORDS.test(wordsNear(view, at)),
    )
    told('azure_key', STORAGE_KEY, (_value, at) => AZURE_WORDS.test(wordsBefore(view, at)))
    told('azure_key', SHARED_ACCESS, () => true)
    told('azure_key', CLIENT_SECRET, () => true)
    told('service_token', TELEGRAM, () => true)
  },
}

const NEAR_CHARACTERS = 120

/** Key id and secret often stand together, in either order. */
function wordsNear(view: View, at: number): string {
  return `${view.hint.words} ${view.text.slice(Math.max(0, at - NEAR_CHARACTERS), at + NEAR_CHARACTERS)}`
}
