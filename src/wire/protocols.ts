/**
 * Protocols by number and name, their states and the states' timeouts: docs/protocol.md section 6.
 *
 * @module
 */

/** IP protocol numbers that the wire knows. */
export const PROTOCOL = { IP: 0, ICMP: 1, TCP: 6, UDP: 17, ESP: 50, AH: 51, ICMPV6: 58, SCTP: 132 } as const

interface State {
  readonly name: string
  readonly seconds: number
}

/** `NAME seconds` of each state, by number; what a kernel prints in /proc/net/ip_vs_conn and waits by default. */
function states(text: string): readonly State[] {
  return text.split(' · ').map((item) => {
    const [name = '', seconds] = item.split(' ')
    return { name, seconds: Number(seconds) }
  })
}

const TCP_STATES = states(
  'NONE 2 · ESTABLISHED 900 · SYN_SENT 120 · SYN_RECV 60 · FIN_WAIT 120 · TIME_WAIT 120 · CLOSE 10 · CLOSE_WAIT 60 · LAST_ACK 30 · LISTEN 120 · SYNACK 120'
)
const UDP_STATES = states('UDP 300')
const SCTP_STATES = states(
  'NONE 2 · INIT1 4 · INIT 61 · C-SENT 61 · C-REPLIED 61 · C-WAIT 61 · COOKIE 61 · C-ECHOED 61 · ESTABLISHED 900 · S-SENT 61 · S-RECEIVED 61 · S-ACK-SENT 61 · REJECTED 4 · CLOSED 61'
)
/** AH and ESP have one state, without a name or a timeout. */
const ONE_STATE = states('0 180')

/** A template's states. */
const TEMPLATE_STATES: readonly string[] = ['NONE', 'ASSURED']

/** Timeout of an entry whose state has none, in seconds. */
export const DEFAULT_TIMEOUT = 180

const STATES = new Map<number, readonly State[]>([
  [PROTOCOL.TCP, TCP_STATES],
  [PROTOCOL.UDP, UDP_STATES],
  [PROTOCOL.SCTP, SCTP_STATES],
  [PROTOCOL.AH, ONE_STATE],
  [PROTOCOL.ESP, ONE_STATE]
])

const NAMES = new Map<number, string>([
  [PROTOCOL.IP, 'IP'],
  [PROTOCOL.ICMP, 'ICMP'],
  [PROTOCOL.TCP, 'TCP'],
  [PROTOCOL.UDP, 'UDP'],
  [PROTOCOL.ESP, 'ESP'],
  [PROTOCOL.AH, 'AH'],
  [PROTOCOL.ICMPV6, 'ICMPv6'],
  [PROTOCOL.SCTP, 'SCTP']
])
const NUMBERS = new Map([...NAMES].map(([number, name]) => [name, number]))

/** States of each protocol by number, 0 for one that receivers do not know: read by the hot path. */
const STATE_COUNTS = Uint8Array.from({ length: 256 }, (_, protocol) => STATES.get(protocol)?.length ?? 0)

/** Names of protocols, as `Connection.protocol` has them. */
export const PROTOCOL_NAMES: readonly string[] = [...NAMES.values()]

/** Returns the names of a protocol's states, or a template's, by number; empty for a protocol that receivers do not know. */
export function stateNames(protocol: number, template: boolean): readonly string[] {
  return template ? TEMPLATE_STATES : STATE_TABLE[protocol]!
}

/** How many states a protocol has; 0 for one that receivers do not know. */
export function stateCount(protocol: number): number {
  return STATE_COUNTS[protocol]!
}

/** Name of each protocol by number: read for every decoded connection. */
const NAME_TABLE: readonly string[] = Array.from({ length: 256 }, (_, number) => NAMES.get(number) ?? String(number))

/** Returns a protocol's name, or its number as text. */
export function protocolName(protocol: number): string {
  return NAME_TABLE[protocol]!
}

/** A protocol's number by its name or by its number as text; undefined for what is neither. */
export function protocolNumber(name: string): number | undefined {
  return NUMBERS.get(name) ?? numberOf(name, 255)
}

/** Names of each protocol's states by number. */
const STATE_TABLE: readonly (readonly string[])[] = Array.from({ length: 256 }, (_, protocol) =>
  (STATES.get(protocol) ?? []).map(({ name }) => name)
)

/** Returns a state's name, or its number as text. */
export function stateName(protocol: number, template: boolean, state: number): string {
  return (template ? TEMPLATE_STATES : STATE_TABLE[protocol]!)[state] ?? String(state)
}

/** A state's number by its name or by its number as text; undefined for what is neither. */
export function stateNumber(protocol: number, template: boolean, name: string): number | undefined {
  const known = template
    ? TEMPLATE_STATES.indexOf(name)
    : (STATES.get(protocol)?.findIndex((state) => state.name === name) ?? -1)
  return known >= 0 ? known : numberOf(name, 65535)
}

/** What a kernel waits in a state by default, in seconds; 180 where there is no table (templates, AH, ESP, unknown). */
export function stateTimeout(protocol: number, template: boolean, state: number): number {
  return (template ? undefined : STATES.get(protocol)?.[state]?.seconds) ?? DEFAULT_TIMEOUT
}

function numberOf(text: string, most: number): number | undefined {
  return /^(0|[1-9]\d{0,4})$/.test(text) && Number(text) <= most ? Number(text) : undefined
}
