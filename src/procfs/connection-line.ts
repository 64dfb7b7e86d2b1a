/**
 * A line of `/proc/net/ip_vs_conn` or `ip_vs_conn_sync`, read by the header's names: vendors add columns
 * (`ip_vs_conn_seq_show`, `ip_vs_conn_sync_seq_show`; docs/protocol.md section 11).
 *
 * @module
 */

import { formatIpv4, formatIpv6 } from '../addresses.js'
import { IpvsSyncError } from '../errors.js'
import type { Endpoint, PersistenceEngine } from '../wire/connection.js'
import { protocolName, protocolNumber, stateNumber } from '../wire/protocols.js'

/** What a kernel's table shows of a connection. */
export interface ProcConnection {
  readonly family: 'ipv4' | 'ipv6'
  /** As in `Connection`: `TCP`, `AH`, `99`. */
  readonly protocol: string
  readonly client: Endpoint
  readonly virtual: Endpoint
  /** Its address may be of the other family. */
  readonly destination: Endpoint
  /** As in `Connection`; undefined where the kernel prints `ERR!` for a state that it does not name. */
  readonly state: string | undefined
  /** Client port 0 with a template's state: the table does not show the flag itself. */
  readonly template: boolean
  /** Only in `ip_vs_conn_sync`. */
  readonly origin?: 'LOCAL' | 'SYNC'
  /** Seconds left. */
  readonly expires: number
  readonly engine?: PersistenceEngine
}

/** Reads a line; undefined for one that is damaged. */
export type ConnectionParser = (line: string) => ProcConnection | undefined

const REQUIRED = ['Pro', 'FromIP', 'FPrt', 'ToIP', 'TPrt', 'DestIP', 'DPrt', 'State', 'Expires']

/** Whether a line is the header of a table of connections. */
export function isConnectionHeader(line: string): boolean {
  const names = line.trim().split(/\s+/)
  return REQUIRED.every((name) => names.includes(name))
}

/**
 * Makes a parser for the lines below a header.
 *
 * @param header - The table's first line.
 * @throws IpvsSyncError `ERR_IO` where a column that is needed is missing.
 */
export function connectionParser(header: string): ConnectionParser {
  if (!isConnectionHeader(header)) {
    throw new IpvsSyncError('ERR_IO', `not a table of connections: its first line lacks ${REQUIRED.join(' ')}`)
  }
  const names = header.trim().split(/\s+/)
  const at = Object.fromEntries(names.map((name, index) => [name, index]))
  const fixed = names.filter((name) => name !== 'PEName' && name !== 'PEData').length
  return (line) => {
    const fields = line.trim().split(/\s+/)
    return fields.length < fixed ? undefined : parseFields((name) => fields[at[name] ?? -1] ?? '', rawData(line, at))
  }
}

/** Engine data is printed raw and comes last: white space in it is part of it. */
function rawData(line: string, at: Readonly<Record<string, number>>): string {
  const column = at['PEData']
  if (column === undefined) return ''
  return new RegExp(`^\\s*(?:\\S+\\s+){${column - 1}}\\S+ (.*)$`, 's').exec(line)?.[1] ?? ''
}

function parseFields(field: (name: string) => string, data: string): ProcConnection | undefined {
  const protocol = parseProtocol(field('Pro'))
  const client = parseEndpoint(field('FromIP'), field('FPrt'))
  const virtual = parseEndpoint(field('ToIP'), field('TPrt'))
  const destination = parseEndpoint(field('DestIP'), field('DPrt'))
  const [name, expires, origin] = [field('State'), Number(field('Expires')), field('Origin')]
  if (protocol === undefined || !client || !virtual || !destination || !Number.isInteger(expires)) return undefined
  const template = isTemplate(protocol, client.port, name)
  const state = parseState(protocol, template, name)
  if (state === null) return undefined
  return {
    family: client.address.includes(':') ? 'ipv6' : 'ipv4',
    protocol: protocolName(protocol),
    client,
    virtual,
    destination,
    state,
    template,
    ...((origin === 'LOCAL' || origin === 'SYNC') && { origin }),
    expires,
    ...(field('PEName') !== '' && {
      engine: { name: field('PEName'), data: Buffer.from(data, 'latin1').toString('hex') }
    })
  }
}

/** A name, or `IP_51` for a protocol that the kernel has no name for. */
function parseProtocol(text: string): number | undefined {
  return protocolNumber(text.replace(/^IP_/, ''))
}

function isTemplate(protocol: number, clientPort: number, state: string): boolean {
  if (protocol === 0) return true
  return clientPort === 0 && (state === 'NONE' || state === 'ASSURED')
}

/** The state's name as `Connection` has it, undefined for `ERR!`, null for one that does not exist. */
function parseState(protocol: number, template: boolean, name: string): string | undefined | null {
  if (name === 'ERR!') return protocol === 50 || protocol === 51 ? '0' : undefined
  return stateNumber(protocol, template, name) === undefined ? null : name
}

function parseEndpoint(address: string, port: string): Endpoint | undefined {
  if (!/^[\dA-F]{4}$/i.test(port)) return undefined
  const words = parseHexAddress(address)
  if (words === undefined) return undefined
  return { address: words.length === 1 ? formatIpv4(words[0]!) : formatIpv6(words), port: parseInt(port, 16) }
}

/**
 * The words of an address as the kernel prints it: 8 hex digits, or 8 groups of 4 (in square brackets in `ip_vs`).
 *
 * @returns undefined for anything else.
 */
export function parseHexAddress(text: string): number[] | undefined {
  if (/^[\dA-F]{8}$/i.test(text)) return [parseInt(text, 16) | 0]
  const groups = text.replace(/^\[|\]$/g, '').split(':')
  if (groups.length !== 8 || !groups.every((group) => /^[\da-f]{4}$/i.test(group))) return undefined
  return [0, 2, 4, 6].map((i) => parseInt(groups[i]! + groups[i + 1]!, 16) | 0)
}
