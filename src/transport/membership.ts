/**
 * Verifies that an interface is a member of a multicast group, from /proc/net/igmp and /proc/net/igmp6. A membership can be
 * lost without a trace: an interface that is moved to another network namespace and back keeps its index and address.
 *
 * @module
 */

import type { NetworkSystem } from './system.js'

/**
 * Returns whether an interface of this host is a member of a group.
 *
 * @returns undefined where the system does not report it.
 */
export function isMember(
  system: NetworkSystem,
  name: string,
  family: 'ipv4' | 'ipv6',
  group: string
): boolean | undefined {
  const text = system.readText(family === 'ipv4' ? '/proc/net/igmp' : '/proc/net/igmp6')
  if (text === undefined) return undefined
  if (family === 'ipv4') {
    // A line names an interface (`3<TAB>eth1 :`), and those below it its groups, as words in the byte order of the host.
    const bytes = group.split('.').map((byte) => Number(byte).toString(16).padStart(2, '0'))
    const words = [bytes.join(''), [...bytes].reverse().join('')]
    let inside = false
    for (const line of text.toLowerCase().split('\n').slice(1)) {
      const [first = '', second = ''] = line.trim().split(/\s+/)
      if (/^\d/.test(line)) inside = second.replace(/:$/, '') === name.toLowerCase()
      else if (inside && words.includes(first)) return true
    }
    return false
  }
  // Each line has an index, an interface and a group of 32 hexadecimal digits.
  // Returns the 32 digits of an IPv6 address without an embedded IPv4 one: `ff02::51`.
  const [head = '', tail] = group.toLowerCase().split('::')
  const words = (text: string): string[] =>
    text
      .split(':')
      .filter((word) => word !== '')
      .map((word) => word.padStart(4, '0'))
  const [left, right] = [words(head), words(tail ?? '')]
  const digits = [...left, ...Array.from({ length: 8 - left.length - right.length }, () => '0000'), ...right].join('')
  return text.split('\n').some((line) => {
    const [, device, word] = line.trim().split(/\s+/)
    return device === name && word?.toLowerCase() === digits
  })
}
