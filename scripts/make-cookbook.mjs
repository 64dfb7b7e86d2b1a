// Makes the captures of docs/cookbook.md: six minutes of a master, what its backup received, and the table of each at the end.
// The messages are encoded by lib/; the captures are written here, byte by byte.
//   node scripts/make-cookbook.mjs     writes test/fixtures/cookbook/
import { Buffer } from 'node:buffer'
import { mkdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { encodeMessage } from '../lib/wire/index.js'

const folder = fileURLToPath(new URL('../test/fixtures/cookbook/', import.meta.url))
const START = Date.parse('2026-11-24T10:00:00Z') / 1000
const SECONDS = 360
/** The backup's clock is ahead by so much. */
const AHEAD = 0.25
const WEB = { address: '198.51.100.10', port: 443 }
const DNS = { address: '198.51.100.10', port: 53 }
const SERVERS = ['10.0.0.11', '10.0.0.12', '10.0.0.13']

const master = []
const backup = []
const tables = { master: new Map(), backup: new Map() }

/** A connection of version 1: TCP to the web service unless it says otherwise. */
function connection(client, port, server, changes = {}) {
  const kind = { family: 'ipv4', protocol: 'TCP', forwarding: 'DROUTE', flags: [], state: 'ESTABLISHED', timeout: 900 }
  const ends = { client: { address: client, port }, virtual: WEB, destination: { address: SERVERS[server], port: 443 } }
  return { ...kind, fwmark: 0, ...ends, ...changes }
}

/** Adds a message to both captures, or to the master's alone where the backup lost it. */
function announce(second, connections, { isLost = false, sender = 1, syncid = 5, damage = () => undefined } = {}) {
  const payload = encodeMessage({ version: 1, syncid, connections })
  damage(payload)
  master.push(packet(second, sender, payload))
  if (!isLost) backup.push(packet(second + AHEAD, sender, payload))
  for (const one of connections) {
    const key = JSON.stringify([one.protocol, one.client, one.virtual])
    if (syncid === 5) tables.master.set(key, one)
    if (syncid === 5 && !isLost) tables.backup.set(key, one)
  }
}

// Every 2 s a new client, and the one before it closes; two clients with a template each.
const LOST = [138, 190, 191, 262, 330]
for (let second = 0; second < SECONDS; second += 2) {
  // The link was down for 24 s.
  if (second > 70 && second < 94) continue
  const number = second / 2
  const connections = [connection('192.0.2.' + (10 + (number % 40)), 40_000 + number, number % 3)]
  if (number > 0)
    connections.push(
      connection('192.0.2.' + (10 + ((number - 1) % 40)), 40_000 + number - 1, (number - 1) % 3, {
        state: 'FIN_WAIT',
        flags: ['INACTIVE'],
        timeout: 120
      })
    )
  if (number % 30 === 0)
    connections.push(
      connection('192.0.2.7', 0, 1, { flags: ['TEMPLATE'], state: 'ASSURED', timeout: 300 }),
      connection('192.0.2.8', 5353, 2, { protocol: 'UDP', virtual: DNS, state: 'UDP', timeout: 300 })
    )
  announce(second + 0.1, connections, { isLost: LOST.includes(second) || LOST.includes(second + 1) })
}
// One client comes back after its connection closed, and another server takes it.
announce(12.5, [connection('192.0.2.77', 51_000, 0)])
announce(40.5, [connection('192.0.2.77', 51_000, 0, { state: 'CLOSE', flags: ['INACTIVE'], timeout: 10 })])
announce(220.5, [connection('192.0.2.77', 51_000, 2)])
// One client that the backup never received, and one whose record it refuses: the state does not exist.
announce(190.5, [connection('192.0.2.88', 52_000, 1)], { isLost: true })
announce(230.5, [connection('192.0.2.99', 53_000, 1)], { damage: (payload) => payload.set([0, 99], 8 + 8) })
// A second pair of directors uses the group with another syncid.
for (const second of [100.5, 200.5, 300.5])
  announce(second, [connection('203.0.113.9', 40_000, 0)], { sender: 9, syncid: 9 })
// What the master holds and has not announced yet: fewer packets than the threshold.
tables.master.set('new', connection('192.0.2.120', 54_000, 0))
tables.backup.delete(JSON.stringify(['TCP', { address: '192.0.2.99', port: 53_000 }, WEB]))

mkdirSync(folder, { recursive: true })
writeFileSync(folder + 'master.pcap', capture(master))
writeFileSync(folder + 'backup.pcap', capture(backup))
writeFileSync(folder + 'master.ip_vs_conn', table(tables.master))
writeFileSync(folder + 'backup.ip_vs_conn', table(tables.backup))

/** An Ethernet frame with a UDP datagram to the group. */
function packet(second, host, payload) {
  const bytes = Buffer.alloc(42)
  bytes.set([0x01, 0x00, 0x5e, 0x00, 0x00, 0x51, 0x02, 0, 0, 0, 0, host, 0x08, 0x00, 0x45])
  bytes.writeUInt16BE(28 + payload.length, 16)
  bytes.set([1, 17], 22)
  bytes.set([10, 9, 0, host, 224, 0, 0, 81], 26)
  bytes.writeUInt16BE(40_404, 34)
  bytes.writeUInt16BE(8848, 36)
  bytes.writeUInt16BE(8 + payload.length, 38)
  return { second, bytes: Buffer.concat([bytes, payload]) }
}

function capture(packets) {
  const head = Buffer.alloc(24)
  head.writeUInt32LE(0xa1b2c3d4)
  head.writeUInt16LE(2, 4)
  head.writeUInt16LE(4, 6)
  head.writeUInt32LE(65_535, 16)
  head.writeUInt32LE(1, 20)
  const records = packets
    .sort((one, other) => one.second - other.second)
    .map(({ second, bytes }) => {
      const record = Buffer.alloc(16)
      record.writeUInt32LE(START + Math.floor(second))
      record.writeUInt32LE(Math.round((second % 1) * 1e6), 4)
      record.writeUInt32LE(bytes.length, 8)
      record.writeUInt32LE(bytes.length, 12)
      return Buffer.concat([record, bytes])
    })
  return Buffer.concat([head, ...records])
}

/** As /proc/net/ip_vs_conn prints it. */
function table(connections) {
  const hex = (address) => Buffer.from(address.split('.').map(Number)).toString('hex').toUpperCase()
  const end = ({ address, port }) => `${hex(address)} ${port.toString(16).toUpperCase().padStart(4, '0')}`
  const lines = [...connections.values()].map(
    ({ protocol, client, virtual, destination, state, timeout }) =>
      `${protocol} ${end(client)} ${end(virtual)} ${end(destination)} ${state.padEnd(11)} ${String(timeout).padStart(7)}`
  )
  return ['Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData', ...lines, ''].join('\n')
}
