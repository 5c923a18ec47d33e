import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'

export interface Certificates {
  readonly ca: string
  readonly otherCa: string
  readonly cert: string
  readonly key: string
}

/** Files of a certificate authority, a server's certificate for `localhost`, and an authority that signed nothing. */
export function makeCertificates(folder: string): Certificates {
  const at = (name: string) => path.join(folder, name)
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const key = (name: string) => [
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-keyout',
    at(name),
  ]
  for (const name of ['ca', 'other'])
    openssl(
      'req',
      '-x509',
      ...key(`${name}.key`),
      '-subj',
      `/CN=Test ${name}`,
      '-days',
      '30',
      '-out',
      at(`${name}.pem`),
    )
  openssl('req', '-new', ...key('server.key'), '-subj', '/CN=localhost', '-out', at('server.csr'))
  writeFileSync(at('names'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\n')
  const signing = ['-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-days', '30']
  openssl('x509', '-req', '-in', at('server.csr'), ...signing, '-extfile', at('names'), '-out', at('server.pem'))
  return { ca: at('ca.pem'), otherCa: at('other.pem'), cert: at('server.pem'), key: at('server.key') }
}
