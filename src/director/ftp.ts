/**
 * The FTP helper: data connections that a control connection announces (`ip_vs_ftp`).
 *
 * @module
 */
import { parseAddress } from '../addresses.js'
import type { TimestampMs } from '../units.js'
import { FLAG } from '../wire/constants.js'
import { PROTOCOL } from '../wire/protocols.js'
import { WORDS, type Connection } from './connection.js'
import type { Lifetimes } from './lifetimes.js'
import { newConnection, setDestination } from './opener.js'
import { Packet } from './packet.js'
import { TCP_STATE, type StateTimeouts } from './transitions.js'

/** A data connection that a line of FTP announces. */
export interface FtpData {
  /** Who listens: `server` after PASV and EPSV, `client` after PORT and EPRT. */
  readonly listener: 'server' | 'client'
  /** IPv4 word of the listener's address; undefined where the line names none (EPSV) or another family. */
  readonly address: number | undefined
  readonly port: number
}

const { TCP } = PROTOCOL
const FTP_PORT = 21
/** Bytes of a line that are read. */
const MAX_LINE = 256
const SIX_NUMBERS = /(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3})/
const EXTENDED = /\(\|\|\|(\d{1,5})\|\)/
const EXTENDED_PORT = /^EPRT \|[12]\|([\da-fA-F.:]+)\|(\d{1,5})\|/i

/** Reads what a server's reply announces: 227 (PASV) and 229 (EPSV). */
export function passiveData(payload: Uint8Array | undefined): FtpData | undefined {
  const line = lineOf(payload)
  if (line.startsWith('227 ')) return fromNumbers(line, 'server')
  const [, port] = (line.startsWith('229 ') ? EXTENDED.exec(line) : null) ?? []
  return port === undefined ? undefined : { listener: 'server', address: undefined, port: Number(port) & 0xffff }
}

/** Reads what a client's command announces: PORT and EPRT. */
export function activeData(payload: Uint8Array | undefined): FtpData | undefined {
  const line = lineOf(payload)
  if (/^PORT /i.test(line)) return fromNumbers(line, 'client')
  const [, address, port] = EXTENDED_PORT.exec(line) ?? []
  if (address === undefined) return undefined
  const words = [0, 0, 0, 0]
  const family = parseAddress(address, words)
  return { listener: 'client', address: family === 4 ? words[0]! : undefined, port: Number(port) & 0xffff }
}

function fromNumbers(line: string, listener: FtpData['listener']): FtpData | undefined {
  const numbers = SIX_NUMBERS.exec(line)?.slice(1).map(Number)
  if (numbers === undefined || numbers.some((number) => number > 255)) return undefined
  const [a, b, c, d, high, low] = numbers as [number, number, number, number, number, number]
  return { listener, address: (a << 24) | (b << 16) | (c << 8) | d, port: (high << 8) | low }
}

function lineOf(payload: Uint8Array | undefined): string {
  if (payload === undefined || payload.length === 0) return ''
  let line = ''
  for (const byte of payload.subarray(0, MAX_LINE)) {
    if (byte === 13 || byte === 10) break
    line += String.fromCharCode(byte)
  }
  return line
}

/** The data connection that FTP announced, in state LISTEN under the control connection. */
export function openFtpData(
  control: Connection,
  data: FtpData | undefined,
  lifetimes: Lifetimes,
  timeouts: StateTimeouts,
  now: TimestampMs
): void {
  const { server } = control
  const isFtp =
    data !== undefined &&
    server !== undefined &&
    control.protocol === TCP &&
    control.virtualPort === FTP_PORT &&
    control.state === TCP_STATE.ESTABLISHED &&
    (control.flags & FLAG.FORWARDING) === 0
  if (!isFtp) return
  const request = new Packet()
  request.family = control.family
  request.protocol = TCP
  request.source = control.client
  request.destination = control.virtual
  if (control.words !== undefined) {
    request.sourceWords.set(control.words.subarray(WORDS.CLIENT, WORDS.CLIENT + 4))
    request.destinationWords.set(control.words.subarray(WORDS.VIRTUAL, WORDS.VIRTUAL + 4))
  }
  const isServer = data.listener === 'server'
  request.sourcePort = isServer ? 0 : data.port
  request.destinationPort = isServer ? data.port : control.virtualPort - 1
  if (lifetimes.store.find(request, TCP, request.sourcePort, request.destinationPort, false) !== undefined) return
  const connection = newConnection(request, false)
  connection.flags = FLAG.NFCT | (isServer ? FLAG.NO_CPORT : 0)
  setDestination(connection, server, isServer ? data.port : control.destinationPort - 1)
  lifetimes.add(connection, server, now)
  lifetimes.control(connection, control)
  connection.state = TCP_STATE.LISTEN
  connection.timeoutMs = timeouts.tcp[TCP_STATE.LISTEN]!
  lifetimes.restart(connection, now)
}
