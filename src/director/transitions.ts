/**
 * State machines of TCP and SCTP as tables: what a segment or a chunk does to a connection.
 *
 * @module
 */
import { PROTOCOL, stateTimeout } from '../wire/protocols.js'

/** Which column of a state machine applies to a packet. */
export const COLUMN = {
  /** From the client, and the director sees replies. */
  IN: 0,
  /** From the real server. */
  OUT: 1,
  /** From the client, and no reply passes the director. */
  ONLY: 2
} as const

/** TCP's events. */
export const TCP_EVENT = { SYN: 0, FIN: 1, ACK: 2, RST: 3, NONE: 4 } as const
/** TCP's flags as bits of the header's fourteenth byte. */
export const TCP_FLAG = { FIN: 1, SYN: 2, RST: 4, ACK: 16 } as const
/** States of TCP that the director's rules name. */
export const TCP_STATE = {
  NONE: 0,
  ESTABLISHED: 1,
  SYN_SENT: 2,
  SYN_RECV: 3,
  FIN_WAIT: 4,
  TIME_WAIT: 5,
  CLOSE: 6,
  LISTEN: 9,
  SYNACK: 10
} as const
/** States of SCTP that the director's rules name. */
export const SCTP_STATE = { INIT1: 1, INIT: 2, ESTABLISHED: 8, CLOSED: 13 } as const
/** SCTP's events. */
export const SCTP_EVENT = {
  DATA: 0,
  INIT: 1,
  INIT_ACK: 2,
  COOKIE_ECHO: 3,
  COOKIE_ACK: 4,
  SHUTDOWN: 5,
  SHUTDOWN_ACK: 6,
  SHUTDOWN_COMPLETE: 7,
  ERROR: 8,
  ABORT: 9
} as const
/** Chunk types of SCTP (RFC 9260) that the director tells apart. */
export const CHUNK = { INIT: 1, ABORT: 6, COOKIE_ECHO: 10, COOKIE_ACK: 11 } as const

const TCP_STATES = 11
const TCP_EVENTS = 4
const SCTP_STATES = 14
const SCTP_EVENTS = 10

/** Rows: states. Columns: S F A R of IN, then OUT, then ONLY; `.` keeps the state. */
const NORMAL = `
3 6 1 6  2 5 1 6  3 6 1 6
. 7 . 6  . 4 . 6  . 4 . 6
1 . . 6  . . . .  1 . . 6
. 5 1 .  . 5 1 6  . 5 1 .
3 5 . 6  2 . . 6  3 . . 6
3 . . 6  2 . . .  3 . . 6
3 . . .  2 . . .  3 . . .
3 . . 6  2 5 . 6  3 . . 6
3 . 6 .  2 . . 6  3 . 6 .
3 . . .  . . 1 6  3 . . .
3 5 1 3  3 5 1 6  3 5 1 6`

const SECURE = `
3 6 1 6  2 5 1 6  10 6 1 6
. 7 . 6  . 4 . 6  . 4 . 6
1 . . 6  . . . .  1 . . 6
. 5 3 .  10 5 1 6  . 5 1 .
3 5 . 6  2 . . 6  10 . . 6
3 . . 6  2 . . .  10 . . 6
3 . . .  2 . . .  10 . . .
3 . . 6  2 5 . 6  10 . . 6
3 . 6 .  2 . . 6  10 . 6 .
3 . . .  . . 1 6  10 . . .
10 10 10 6  10 5 1 6  10 5 1 6`

/** The next state by `(column * states + state) * events + event`. */
function tcpTable(text: string): Uint8Array {
  const table = new Uint8Array(3 * TCP_STATES * TCP_EVENTS)
  const rows = text.trim().split('\n')
  for (const [state, row] of rows.entries()) {
    for (const [at, cell] of row.split(/\s+/).entries()) {
      const column = Math.floor(at / TCP_EVENTS)
      table[(column * TCP_STATES + state) * TCP_EVENTS + (at % TCP_EVENTS)] = cell === '.' ? state : Number(cell)
    }
  }
  return table
}

const TCP_NORMAL = tcpTable(NORMAL)
const TCP_SECURE = tcpTable(SECURE)

/** For each event, IN | OUT | ONLY: `states > next`, several apart by `;`. States that are not named stay. */
const SCTP_RULES = [
  '0>8 | 0>8 | 0,5>8',
  '0>1;1,12,13>2 | 0-4,6,7,9-13>5 | 0>1;1,3-5,12,13>2',
  '0-2>5;5>6 | 0-2>3 | 0-5>7',
  '1>2;0,3>4 | 0-6>7 | 0-5>8',
  '0,7>8 | 0-7>8 | 0,3,4,6,7>8',
  '0,8>10 | 0-8>9 | 0,8>10',
  '1>2;0,9,11>13 | 0-4,9,10>11 | 1>2;0,8,9,11>13',
  '0-2,11>13 | 0>13 | 0-4,10,11>13',
  '0,7>13 | 0-4>13 | 0>13',
  '5>12;0-4,6-12>13 | 1>12;0,2-12>13 | 5>12;0-4,6-12>13'
]

function sctpTable(): Uint8Array {
  const table = Uint8Array.from(
    { length: 3 * SCTP_STATES * SCTP_EVENTS },
    (_, index) => Math.floor(index / SCTP_EVENTS) % SCTP_STATES
  )
  for (const [event, rules] of SCTP_RULES.entries()) {
    for (const [column, text] of rules.split(' | ').entries()) {
      for (const rule of text.split(';')) {
        const [states = '', next] = rule.split('>')
        for (const range of states.split(',')) {
          const [first, last = first] = range.split('-')
          for (let state = Number(first); state <= Number(last); state++)
            table[(column * SCTP_STATES + state) * SCTP_EVENTS + event] = Number(next)
        }
      }
    }
  }
  return table
}

const SCTP_TABLE = sctpTable()

/** The event of a segment by its flags; `NONE` for a segment without SYN, FIN, ACK and RST. */
export function tcpEvent(flags: number): number {
  if ((flags & TCP_FLAG.RST) !== 0) return TCP_EVENT.RST
  if ((flags & TCP_FLAG.SYN) !== 0) return TCP_EVENT.SYN
  if ((flags & TCP_FLAG.FIN) !== 0) return TCP_EVENT.FIN
  return (flags & TCP_FLAG.ACK) !== 0 ? TCP_EVENT.ACK : TCP_EVENT.NONE
}

/** The state after a segment. A segment without flags closes, whatever the state. */
export function tcpNext(isSecure: boolean, column: number, state: number, event: number): number {
  if (event === TCP_EVENT.NONE) return TCP_STATE.CLOSE
  return (isSecure ? TCP_SECURE : TCP_NORMAL)[(column * TCP_STATES + state) * TCP_EVENTS + event]!
}

const EVENT_OF_CHUNK = new Uint8Array(256)
for (const [chunk, event] of [
  [1, SCTP_EVENT.INIT],
  [2, SCTP_EVENT.INIT_ACK],
  [10, SCTP_EVENT.COOKIE_ECHO],
  [11, SCTP_EVENT.COOKIE_ACK],
  [7, SCTP_EVENT.SHUTDOWN],
  [8, SCTP_EVENT.SHUTDOWN_ACK],
  [14, SCTP_EVENT.SHUTDOWN_COMPLETE],
  [9, SCTP_EVENT.ERROR],
  [6, SCTP_EVENT.ABORT]
] as const)
  EVENT_OF_CHUNK[chunk] = event

/**
 * The event of an SCTP packet.
 *
 * @param chunks - The type of its first chunk, and that of the second in bits 8…15.
 */
export function sctpEvent(chunks: number): number {
  const first = chunks & 0xff
  const isCookie = first === CHUNK.COOKIE_ECHO || first === CHUNK.COOKIE_ACK
  return isCookie && chunks >>> 8 === CHUNK.ABORT ? SCTP_EVENT.ABORT : EVENT_OF_CHUNK[first]!
}

/** The state after an SCTP event. */
export function sctpNext(column: number, state: number, event: number): number {
  return SCTP_TABLE[(column * SCTP_STATES + state) * SCTP_EVENTS + event]!
}

/** States of TCP that count as active connections of the real server. */
export const TCP_ACTIVE = (1 << 1) | (1 << 2) | (1 << 3) | (1 << 10)

/** Timeouts that `ipvsadm --set` changes, in seconds; 0 keeps the present one. */
export interface Timeouts {
  /** Of ESTABLISHED. */
  readonly tcp?: number
  /** Of FIN_WAIT. */
  readonly tcpFin?: number
  /** Of UDP. */
  readonly udp?: number
}

/** The timeouts of every state, in milliseconds. */
export class StateTimeouts {
  readonly tcp: Float64Array = timeoutsOf(PROTOCOL.TCP, TCP_STATES)
  readonly sctp: Float64Array = timeoutsOf(PROTOCOL.SCTP, SCTP_STATES)
  udp: number = stateTimeout(PROTOCOL.UDP, false, 0) * 1000

  /** Takes new timeouts, as `ipvsadm --set` does: connections take them at their next packet. */
  set({ tcp = 0, tcpFin = 0, udp = 0 }: Timeouts): void {
    if (tcp > 0) this.tcp[TCP_STATE.ESTABLISHED] = tcp * 1000
    if (tcpFin > 0) this.tcp[TCP_STATE.FIN_WAIT] = tcpFin * 1000
    if (udp > 0) this.udp = udp * 1000
  }
}

function timeoutsOf(protocol: number, count: number): Float64Array {
  return Float64Array.from({ length: count }, (_, state) => stateTimeout(protocol, false, state) * 1000)
}
