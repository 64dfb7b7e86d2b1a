/** Saved kernel tables, laid out here by hand, so that nothing measured has made them. */
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const HEADER = 'Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n'
const STATES = ['ESTABLISHED', 'ESTABLISHED', 'ESTABLISHED', 'FIN_WAIT', 'TIME_WAIT', 'SYN_RECV', 'CLOSE']
const LINES_AT_ONCE = 10_000

/** `mixed` has 10 % IPv6, 10 % templates and all states; the other two have established connections of one address family. */
export type TableMix = 'mixed' | 'ipv4' | 'ipv6'

/** Writes `/proc/net/ip_vs_conn` with this number of connections to a temporary folder that this process removes; returns its path. */
export function writeKernelTable(connections: number, mix: TableMix = 'mixed'): string {
  const folder = mkdtempSync(join(tmpdir(), 'ipvs-sync-bench-'))
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, `ip_vs_conn-${connections}`)
  const file = openSync(path, 'w')
  writeSync(file, HEADER)
  for (let first = 0; first < connections; first += LINES_AT_ONCE) {
    let text = ''
    for (let i = first; i < Math.min(first + LINES_AT_ONCE, connections); i++) text += lineOf(i, mix)
    writeSync(file, text)
  }
  closeSync(file)
  return path
}

function lineOf(i: number, mix: TableMix): string {
  const isIpv6 = mix === 'ipv6' || (mix === 'mixed' && i % 10 === 3)
  const isTemplate = mix === 'mixed' && i % 10 === 7
  const isUdp = mix === 'mixed' && i % 5 === 1
  const address = (net: number, host: number): string =>
    isIpv6
      ? `fd00:000${net}:0000:0000:0000:0000:${hex(host >>> 16, 4)}:${hex(host & 0xffff, 4)}`.toLowerCase()
      : hex((9 + net) * 0x1000000 + host, 8)
  // Two lines never have the same key: a client has 7 ports, a template none.
  const client = address(1, isTemplate ? i : Math.floor(i / 7))
  const clientPort = hex(isTemplate ? 0 : 1024 + (i % 60_000), 4)
  const server = address(2, 1 + (i % 16))
  const stateName = isTemplate ? 'NONE' : isUdp ? 'UDP' : mix === 'mixed' ? STATES[i % STATES.length]! : STATES[0]!
  const ports = isUdp ? ['0035', '0035'] : ['0050', '1F90']
  const expires = String(30 + (i % 800)).padStart(7)
  return `${isUdp ? 'UDP' : 'TCP'} ${client} ${clientPort} ${address(3, 0x64)} ${ports[0]} ${server} ${ports[1]} ${stateName.padEnd(11)} ${expires}\n`
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0').toUpperCase()
}
