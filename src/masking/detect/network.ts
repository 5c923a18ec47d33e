import validator from 'validator'
import type { Finder } from './detector.ts'
import { TRAIT } from './traits.ts'

const IPV4 = /(?<![A-Za-z0-9.])(?:\d{1,3}\.){3}\d{1,3}(?![A-Za-z0-9]|\.\d)/g
const IPV6 = /(?<![A-Za-z0-9:.])[0-9A-Fa-f:]{2,39}(?:\.\d{1,3}){0,3}(?![A-Za-z0-9:])/g
const MAC = /(?<![A-Za-z0-9:-])[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![A-Za-z0-9:-])/g

export const networkFinder: Finder = {
  detectors: [
    {
      name: 'ip_address',
      title: 'IP address',
      description: 'IPv4 and IPv6 addresses. Not part of a group: logs are full of harmless ones.',
      checksum: false,
      secret: false,
    },
    {
      name: 'mac_address',
      title: 'Hardware address',
      description: 'Six pairs of hexadecimal digits with : or -. Not part of a group.',
      checksum: false,
      secret: false,
    },
  ],
  possible: (traits) => (traits & (TRAIT.dot | TRAIT.colon | TRAIT.dash)) !== 0,
  find({ text }, wanted, report) {
    const each = (name: string, shape: RegExp, valid: (value: string) => boolean) => {
      if (!wanted.has(name)) return
      for (const match of text.matchAll(shape))
        if (valid(match[0])) report(name, match.index, match.index + match[0].length)
    }
    each('ip_address', IPV4, (value) => validator.isIP(value, 4))
    each('ip_address', IPV6, (value) => value.split(':').length > 3 && validator.isIP(value, 6))
    each('mac_address', MAC, () => true)
  },
}
