import type { TableConnection } from 'ipvs-sync'
import { isIPv6 } from 'node:net'
import { kernelAddress, plainText, type KernelRow } from './kernel-table.js'

const NAMED = new Set(['TCP', 'UDP', 'SCTP', 'ICMP', 'ICMPv6', 'IP'])
const NUMBERS: Readonly<Record<string, string>> = { AH: '51', ESP: '50' }
/** The kernel computes milliseconds in 32 bits. */
const WRAP_MS = 0x100000000

/** Connections of ours in the kernel's own writing, so that the two can be held side by side. */
export function asKernelRows(connections: Iterable<TableConnection>, column?: 'engine'): KernelRow[] {
  const rows = Array.from(connections, asKernelRow)
  return column === undefined ? rows.map((row) => ({ ...row, engine: '' })) : rows
}

function asKernelRow(connection: TableConnection): KernelRow {
  const { client, virtual, destination, origin } = connection
  const protocol = NAMED.has(connection.protocol)
    ? connection.protocol
    : `IP_${NUMBERS[connection.protocol] ?? connection.protocol}`
  const [from, to] = [kernelAddress(addressBytes(client.address)), kernelAddress(addressBytes(virtual.address))]
  return {
    key: `${protocol} ${from} ${port(client.port)} ${to} ${port(virtual.port)}`,
    protocol,
    client: from,
    clientPort: client.port,
    virtual: to,
    virtualPort: virtual.port,
    destination: kernelAddress(addressBytes(destination.address)),
    destinationPort: destination.port,
    state: stateName(connection),
    origin,
    expires: Math.floor(((connection.expires * 1000) % WRAP_MS) / 1000),
    engine:
      connection.engine === undefined
        ? ''
        : plainText(`${connection.engine.name} ${Buffer.from(connection.engine.data, 'hex').toString('latin1')}`)
  }
}

/** States without a name print as `ERR!`; so do AH's and ESP's. */
function stateName({ state }: TableConnection): string {
  return /^\d+$/.test(state) ? 'ERR!' : state
}

function port(number: number): string {
  return number.toString(16).toUpperCase().padStart(4, '0')
}

/** The bytes of an address in text; RFC 5952's `::` and an IPv4 tail included. */
export function addressBytes(text: string): Uint8Array {
  if (!isIPv6(text)) return Uint8Array.from(text.split('.'), Number)
  const [head = '', tail] = text.replace(/[\d.]+\.[\d.]+$/, ipv4Groups).split('::')
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'))
  const [before, after] = [groups(head), groups(tail ?? '')]
  const middle = new Array<string>(8 - before.length - after.length).fill('0')
  const numbers = [...before, ...middle, ...after].map((group) => Number.parseInt(group, 16))
  return Uint8Array.from(numbers.flatMap((group) => [group >> 8, group & 0xff]))
}

/** An address in text: eight groups, or dotted. */
export function addressText(bytes: readonly number[]): string {
  if (bytes.length === 4) return bytes.join('.')
  return Array.from({ length: 8 }, (_, group) => ((bytes[2 * group]! << 8) | bytes[2 * group + 1]!).toString(16)).join(
    ':'
  )
}

function ipv4Groups(text: string): string {
  const [a = 0, b = 0, c = 0, d = 0] = text.split('.').map(Number)
  return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`
}
