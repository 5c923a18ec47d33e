import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Pair {
  readonly cert: string
  readonly key: string
}

/** Certificates of a throw-away authority, made by the `openssl` command in a folder of their own. */
export class Certificates {
  readonly folder = mkdtempSync(join(tmpdir(), 'sallyport-certificates-'))
  readonly authority: Pair
  #count = 0

  constructor() {
    this.authority = this.#make(['-subj', '/CN=Sallyport test authority', '-addext', 'keyUsage=keyCertSign'])
  }

  /** @param names - As in `subjectAltName`, e.g. `DNS:localhost,IP:127.0.0.1`. */
  server(names = 'DNS:localhost,IP:127.0.0.1', more: readonly string[] = []): Pair {
    const ca = ['-CA', join(this.folder, '0.pem'), '-CAkey', join(this.folder, '0.key')]
    return this.#make([...ca, '-subj', '/CN=server', '-addext', `subjectAltName=${names}`, ...more])
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }

  #make(options: readonly string[]): Pair {
    const cert = join(this.folder, `${this.#count}.pem`)
    const key = join(this.folder, `${this.#count}.key`)
    this.#count++
    const kind = options.includes('-newkey') ? [] : ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']
    const command = ['req', '-x509', '-nodes', '-days', '1', ...kind, '-keyout', key, '-out', cert, ...options]
    execFileSync('openssl', command, { stdio: 'pipe' })
    return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') }
  }
}
