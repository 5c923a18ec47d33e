import { GatewayError, principalLabel, type SessionInfo } from '../../kernel/index.ts'
import { isAdminSetting } from '../../sql/index.ts'

/**
 * Encodings in which every byte below 0x80 is ASCII wherever it stands. The others (SJIS, BIG5, GBK, UHC, GB18030,
 * JOHAB, SHIFT_JIS_2004) can hide a quote or backslash inside a character, so text in them cannot be judged.
 */
const ASCII_SAFE_ENCODINGS = new Set(
  (
    'UTF8 UNICODE SQLASCII LATIN1 LATIN2 LATIN3 LATIN4 LATIN5 LATIN6 LATIN7 LATIN8 LATIN9 LATIN10 ISO88591 ISO88595 ' +
    'ISO88596 ISO88597 ISO88598 KOI8 KOI8R KOI8U WIN866 WIN874 WIN1250 WIN1251 WIN1252 WIN1253 WIN1254 WIN1255 WIN1256 ' +
    'WIN1257 WIN1258 EUCJP EUCCN EUCKR EUCTW EUCJIS2004 MULEINTERNAL WIN WINDOWS1252 WINDOWS1251 ALT ABC TCVN VSCII'
  ).split(' '),
)

/** As PostgreSQL's `clean_encoding_name`: letters and digits only, folded. */
function cleanEncodingName(name: string): string {
  return name.replace(/[^A-Za-z0-9]/g, '').toUpperCase()
}

export function isUtf8(encoding: string): boolean {
  const clean = cleanEncodingName(encoding)
  return clean === 'UTF8' || clean === 'UNICODE'
}

/** Settings that nobody may change through the gateway, and why. */
const FIXED_SETTINGS: Readonly<Record<string, string>> = {
  application_name: 'it carries the identity, actor and session id to the target',
}

/** Only the values under which the gateway and the target read the same text the same way. */
const READING_SETTINGS: Readonly<Record<string, readonly string[]>> = {
  standard_conforming_strings: ['on', 'true', 'yes', '1', 't', 'y', 'tr', 'tru', 'ye'],
}

/**
 * Judges a change of a setting, whichever way it is made (SET, set_config, start-up packet, `options`).
 *
 * @param name - `*` where it cannot be told: then the relay waits for the target's own report of its settings.
 * @param value - undefined where it is not a constant.
 * @returns the refusal, or undefined.
 */
export function refuseSetting(name: string, value: string | undefined): GatewayError | undefined {
  const setting = name.toLowerCase()
  const fixed = FIXED_SETTINGS[setting]
  if (fixed !== undefined)
    return new GatewayError('sql.setting', `The setting "${setting}" cannot be changed here: ${fixed}.`, {
      hint: 'Leave this setting out; everything else in the session works without it.',
    })
  const allowed = READING_SETTINGS[setting]
  if (allowed !== undefined && (value === undefined || !allowed.includes(value.toLowerCase())))
    return new GatewayError(
      'sql.setting',
      `The setting "${setting}" must stay "${allowed[0]}": otherwise the target would read string literals differently from how they are judged.`,
      {
        hint: "Write backslash escapes as E'...' strings instead.",
      },
    )
  if (setting === 'client_encoding' || setting === 'names')
    if (value === undefined || !ASCII_SAFE_ENCODINGS.has(cleanEncodingName(value)))
      return new GatewayError(
        'sql.encoding',
        `Text in the client encoding "${value ?? '?'}" cannot be judged safely.`,
        {
          hint: 'Use UTF8.',
        },
      )
  return undefined
}

/** `-c name=value`, `-cname=value` and `--name=value`, split as the server's `pg_split_opts` does. */
export function parseOptions(options: string): readonly (readonly [string, string])[] {
  const words: string[] = []
  for (const match of options.matchAll(/(?:\\[\s\S]|[^\s\\])+/g)) words.push(match[0].replace(/\\([\s\S])/g, '$1'))
  const settings: (readonly [string, string])[] = []
  for (let at = 0; at < words.length; at++) {
    const word = words[at] as string
    const text =
      word === '-c'
        ? words[++at]
        : word.startsWith('--')
          ? word.slice(2)
          : word.startsWith('-c')
            ? word.slice(2)
            : undefined
    const equals = text?.indexOf('=') ?? -1
    if (text === undefined || equals <= 0)
      throw new GatewayError('pg.unsupported', 'The start-up options hold something else than "-c name=value".', {
        hint: 'Write PGOPTIONS as "-c name=value" settings.',
      })
    settings.push([text.slice(0, equals).replaceAll('-', '_').toLowerCase(), text.slice(equals + 1)])
  }
  return settings
}

/** Start-up parameters that are the gateway's business and do not travel. */
const OWN_PARAMETERS = new Set(['user', 'database', 'application_name', 'options', 'replication'])

/** Settings that would widen what a session may do, so a start-up packet may not carry them. */
const START_UP_REFUSED = new Set([
  'role',
  'session_authorization',
  'session_replication_role',
  'default_transaction_read_only',
  'transaction_read_only',
])

/**
 * What the target gets in its start-up packet: the client's settings, each judged, and the gateway's own on top.
 *
 * @throws GatewayError `sql.setting`, `sql.encoding`, `pg.unsupported`
 */
export function targetStartupParameters(
  client: ReadonlyMap<string, string>,
  session: SessionInfo,
): Map<string, string> {
  const settings = new Map<string, string>()
  for (const [name, value] of client)
    if (!OWN_PARAMETERS.has(name) && !name.startsWith('_pq_.')) settings.set(name.toLowerCase(), value)
  for (const [name, value] of parseOptions(client.get('options') ?? ''))
    if (name !== 'application_name') settings.set(name, value)
  for (const [name, value] of settings) {
    if (START_UP_REFUSED.has(name))
      throw new GatewayError('sql.setting', `The start-up parameter "${name}" cannot be set through the gateway.`)
    if (isAdminSetting(name) && session.level !== 'admin')
      throw new GatewayError('access.level', `The start-up parameter "${name}" needs admin access.`, {
        hint: 'Leave it out.',
      })
    const refusal = refuseSetting(name, value)
    if (refusal !== undefined) throw refusal
  }
  if (!settings.has('client_encoding')) settings.set('client_encoding', 'UTF8')
  settings.set('standard_conforming_strings', 'on')
  if (session.level === 'read') settings.set('default_transaction_read_only', 'on')
  settings.set('application_name', applicationName(session))
  return settings
}

const APPLICATION_NAME_BYTES = 63 // NAMEDATALEN - 1

/** `sallyport s_… alice via claude-code`: printable ASCII, cut to what the target keeps; the session id is never cut. */
export function applicationName(session: SessionInfo): string {
  const printable = principalLabel(session.principal).replace(/[^\x20-\x7e]/g, '?')
  return `sallyport ${session.id} ${printable}`.slice(0, APPLICATION_NAME_BYTES)
}
