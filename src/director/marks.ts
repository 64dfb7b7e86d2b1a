/**
 * Firewall marks by filters: what a firewall before the director would set.
 *
 * @module
 */
import { formatIpv4, formatIpv6, networkHolds, parseNetwork } from '../addresses.js'
import { IpvsSyncError } from '../errors.js'
import { PROTOCOL } from '../wire/protocols.js'
import type { Packet } from './packet.js'

type Test = (packet: Packet) => boolean

const ACCEPTED =
  'N=FILTER, where FILTER is "src|dst host ADDRESS", "src|dst net NETWORK", "tcp|udp|sctp" or "[tcp|udp|sctp] src|dst port PORT,…", joined by "and"'
const PROTOCOLS: Readonly<Record<string, number>> = { tcp: PROTOCOL.TCP, udp: PROTOCOL.UDP, sctp: PROTOCOL.SCTP }
const TERM = /^(?:(tcp|udp|sctp)(?: |$))?(?:(src|dst) (host|net|port) (\S+))?$/
const MAX_MARK = 2 ** 32 - 1

/**
 * Reads filters such as `5=dst host 10.0.1.101 and tcp dst port 80,443`. The last one that matches sets the mark.
 *
 * @returns The mark of a packet; 0 where no filter matches.
 * @throws IpvsSyncError `ERR_CONFIG`.
 */
export function parseMarks(texts: readonly string[]): (packet: Packet) => number {
  const rules = texts.map((text: string): { readonly mark: number; readonly tests: readonly Test[] } => {
    const [, number, filter] = /^(0x[\da-f]{1,8}|\d{1,10})=(.+)$/i.exec(text.trim()) ?? []
    const mark = Number(number)
    if (filter === undefined || !(mark <= MAX_MARK)) throw refusal(text)
    return {
      mark: mark | 0,
      tests: filter.split(/\s+and\s+/).flatMap((term) => {
        const [, protocol, side, kind, value] = TERM.exec(term.trim().replace(/\s+/g, ' ')) ?? []
        const tests: Test[] = []
        if (protocol !== undefined) tests.push((packet) => packet.protocol === PROTOCOLS[protocol])
        if (side !== undefined && value !== undefined)
          tests.push(kind === 'port' ? portTest(side, value, text) : networkTest(side, value, text))
        if (tests.length === 0) throw refusal(text)
        return tests
      })
    }
  })
  return (packet) => rules.reduce((mark, rule) => (rule.tests.every((test) => test(packet)) ? rule.mark : mark), 0)
}

function portTest(side: string, value: string, text: string): Test {
  const ports = value.split(',').map((port) => (/^\d{1,5}$/.test(port) ? Number(port) : NaN))
  if (ports.some((port) => !(port <= 65_535))) throw refusal(text)
  return side === 'src'
    ? (packet) => ports.includes(packet.sourcePort)
    : (packet) => ports.includes(packet.destinationPort)
}

function networkTest(side: string, value: string, text: string): Test {
  const network = parseNetwork(value)
  if (network === undefined) throw refusal(text)
  return ({ family, source, destination, sourceWords, destinationWords }) => {
    const isSource = side === 'src'
    const address =
      family === 4 ? formatIpv4(isSource ? source : destination) : formatIpv6(isSource ? sourceWords : destinationWords)
    return networkHolds(network, address)
  }
}

function refusal(text: string): IpvsSyncError {
  return new IpvsSyncError('ERR_CONFIG', `--mark: expected ${ACCEPTED}, got ${JSON.stringify(text)}`, { field: 'mark' })
}
