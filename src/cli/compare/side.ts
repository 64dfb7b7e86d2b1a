/**
 * One side of a comparison: what a capture, JSON Lines or a table of connections says.
 *
 * @module
 */

import { createHash } from 'node:crypto'
import { formatIpv4, formatIpv6, parseAddress } from '../../addresses.js'
import { compressionOf } from '../../capture/formats.js'
import { readCapture } from '../../capture/read-capture.js'
import { IpvsSyncError } from '../../errors.js'
import { decompress } from '../../files/capture-file.js'
import type { Connection, Endpoint } from '../../wire/connection.js'
import { decodeMessage } from '../../wire/decode-message.js'
import type { Problem } from '../../wire/problems.js'
import { protocolNumber, stateNumber, stateTimeout } from '../../wire/protocols.js'
import { endpointText } from '../../wire/terminal-text.js'
import type { Range } from '../decode/ports-option.js'

/** A message of one side. */
export interface SideMessage {
  /** Equal for the same bytes sent to the same port. */
  readonly digest: string
  /** Milliseconds since 1970; undefined where it is not known. */
  readonly ms: number | undefined
  readonly sender: string
  readonly port: number
  /** Keys of its connections. */
  readonly keys: readonly string[]
}

/** The last that one side says of a connection. */
export interface SideConnection {
  readonly client: Endpoint
  readonly destination: string
  readonly state: string
  /** When it was announced, in milliseconds; undefined in a table. */
  readonly ms: number | undefined
  /** Full timeout, in milliseconds. */
  readonly timeoutMs: number
  /** Code of the problem for which a receiver refused the record. */
  readonly refusedFor: string | undefined
}

/** One side. */
export interface Side {
  readonly name: string
  /** Whether it holds messages, so that the two sides' messages can be compared. */
  readonly hasMessages: boolean
  readonly messages: readonly SideMessage[]
  readonly connections: ReadonlyMap<string, SideConnection>
  /** When its last message came, in milliseconds. */
  readonly endMs: number | undefined
}

/** Gathers a side. */
class Gatherer {
  readonly messages: SideMessage[] = []
  readonly connections = new Map<string, SideConnection>()
  hasMessages = false
  endMs: number | undefined

  message(
    { sender, port, ms, digest }: Omit<SideMessage, 'keys'>,
    connections: readonly Connection[],
    problems: readonly Problem[]
  ): void {
    this.hasMessages = true
    this.endMs = ms ?? this.endMs
    this.messages.push({ sender, port, ms, digest, keys: connections.map(keyOf) })
    for (const [number, connection] of connections.entries()) {
      const refused = problems.find(({ connection: at, severity }) => at === number && severity === 'skip')
      this.connection(connection, ms, refused?.code)
    }
  }

  connection(connection: Connection, ms: number | undefined, refusedFor?: string): void {
    const { client, destination, state, timeout } = connection
    this.connections.set(keyOf(connection), {
      client,
      destination: endpointText(destination),
      state,
      ms,
      timeoutMs: (timeout === undefined || timeout === 0 ? defaultTimeout(connection) : timeout) * 1000,
      refusedFor
    })
  }
}

/**
 * Reads a side.
 *
 * @param name - What to call it in errors.
 * @throws {IpvsSyncError} `ERR_IO` or `ERR_CAPTURE` where it is not a capture, JSON Lines or a table.
 */
export async function readSide(
  name: string,
  chunks: AsyncIterable<Uint8Array>,
  ports: readonly Range[]
): Promise<Side> {
  const gatherer = new Gatherer()
  const { start, all } = await withStart(chunks)
  if (isText(start)) {
    let number = 0
    let isJson: boolean | undefined
    for await (const line of linesOf(all)) {
      number++
      if (line.trim() === '') continue
      isJson ??= line.trimStart().startsWith('{')
      if (isJson) readJson(line, `${name}:${number}`, gatherer)
      else if (!/^(Pro |pro |IPVS )/.test(line)) {
        const connection = parseTableLine(line)
        if (connection === undefined) {
          const accepted = 'a capture, JSON Lines, /proc/net/ip_vs_conn or ipvsadm -Lnc'
          throw new IpvsSyncError(
            'ERR_IO',
            `${name}:${number}: expected ${accepted}, got ${JSON.stringify(line.slice(0, 40))}`
          )
        }
        gatherer.connection(connection, undefined)
      }
    }
  } else
    for await (const item of readCapture(all, { ports, decompress }))
      if (item.kind === 'datagram') {
        const { payload, wireLength, time, source, destination } = item
        const { connections, problems } = decodeMessage(payload, { wireLength })
        const digest = `${destination.port} ${createHash('sha1').update(payload).digest('base64')}`
        gatherer.message(
          { digest, ms: time?.ms, sender: source.address, port: destination.port },
          connections,
          problems
        )
      }
  const { messages, connections, hasMessages, endMs } = gatherer
  return { name, messages, connections, hasMessages, endMs }
}

async function withStart(
  chunks: AsyncIterable<Uint8Array>
): Promise<{ start: Uint8Array; all: AsyncIterable<Uint8Array> }> {
  const iterator = chunks[Symbol.asyncIterator]()
  const first = await iterator.next()
  const start = first.done === true ? new Uint8Array(0) : first.value
  async function* all(): AsyncGenerator<Uint8Array> {
    yield start
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) yield next.value
  }
  return { start, all: all() }
}

/** No capture, and no compressed file, begins with four printable characters. */
function isText(start: Uint8Array): boolean {
  const head = start.subarray(0, 4)
  if (compressionOf(head) !== undefined) return false
  return head.length > 0 && head.every((byte) => (byte >= 0x20 && byte < 0x7f) || byte === 0x0a || byte === 0x0d)
}

async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop()!
    yield* lines
  }
  if (rest !== '') yield rest
}

interface JsonMessage {
  readonly time?: string | null
  readonly source?: Endpoint
  readonly destination?: Endpoint
  readonly connections?: readonly Connection[]
  readonly problems?: readonly Problem[]
  readonly change?: string
}

/** A message of `decode --format json`, or a connection. */
function readJson(line: string, where: string, gatherer: Gatherer): void {
  try {
    const value = JSON.parse(line) as JsonMessage
    if (value.connections === undefined) {
      if (value.change === 'expired') gatherer.connections.delete(keyOf(value as unknown as Connection))
      else gatherer.connection(value as unknown as Connection, undefined)
      return
    }
    const { time, source, destination, connections, problems = [] } = value
    const port = destination?.port ?? 0
    const digest = `${port} ${JSON.stringify(connections)}`
    const ms = typeof time === 'string' ? Date.parse(time) : undefined
    gatherer.message({ digest, ms, sender: source?.address ?? '-', port }, connections, problems)
  } catch (cause) {
    throw new IpvsSyncError('ERR_IO', `${where}: expected a message or connection in JSON, got an unreadable line`, {
      cause
    })
  }
}

/**
 * A line of /proc/net/ip_vs_conn, /proc/net/ip_vs_conn_sync or `ipvsadm -Lnc`; undefined where it is something else.
 */
export function parseTableLine(line: string): Connection | undefined {
  const words = line.trim().split(/\s+/)
  const isListing = /^\d+:\d\d(:\d\d)?$/.test(words[1] ?? '')
  const [protocol = '', state, ...ends] = isListing
    ? [words[0], words[2], words[3], words[4], words[5]].map((word) => word ?? '')
    : [words[0], words[7], `${words[1]} ${words[2]}`, `${words[3]} ${words[4]}`, `${words[5]} ${words[6]}`].map(
        (word) => word ?? ''
      )
  const [client, virtual, destination] = ends.map(isListing ? parseListed : parseProc)
  if (client === undefined || virtual === undefined || destination === undefined || state === undefined)
    return undefined
  const family = destination.address.includes(':') ? 'ipv6' : 'ipv4'
  return { family, protocol, client, virtual, destination, forwarding: 'MASQ', flags: [], state }
}

/** `10.0.0.1:80`, `[fd00::1]:80`. */
function parseListed(text: string): Endpoint | undefined {
  const [, bracketed, plain = '', port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(text) ?? []
  const address = canonical(bracketed ?? plain)
  return address === undefined ? undefined : { address, port: Number(port) }
}

/** `0A000001 0050`: hex; IPv6 as eight groups, in brackets or not. */
function parseProc(text: string): Endpoint | undefined {
  const [, word = '', port = ''] = /^(\S+) ([0-9A-F]{4})$/.exec(text) ?? []
  const address = /^[0-9A-F]{8}$/.test(word) ? formatIpv4(parseInt(word, 16)) : canonical(word.replace(/[[\]]/g, ''))
  return address === undefined ? undefined : { address, port: parseInt(port, 16) }
}

function canonical(text: string): string | undefined {
  const words = [0, 0, 0, 0]
  const family = parseAddress(text, words)
  if (family === 0) return undefined
  return family === 4 ? formatIpv4(words[0]!) : formatIpv6(words)
}

/** What makes a connection the same on both sides. */
export function keyOf({ protocol, client, virtual }: Connection): string {
  return `${protocol} ${endpointText(client)} > ${endpointText(virtual)}`
}

function defaultTimeout({ protocol, state, flags }: Connection): number {
  const number = protocolNumber(protocol) ?? 0
  const isTemplate = flags.includes('TEMPLATE')
  return stateTimeout(number, isTemplate, stateNumber(number, isTemplate, state) ?? 0)
}
