import { BackupEngine, MasterEngine } from 'ipvs-sync/engine'
import type { Cannon } from '../harness/cannon.js'
import { compareTables } from '../harness/kernel-table.js'
import type { Lab } from '../harness/lab.js'
import { messageV0, messageV1, readRecords, recordV0, recordV1, type WireRecord } from '../harness/message.js'
import { asKernelRows } from '../harness/our-table.js'
import { sctp, SCTP, TCP, tcp, udp, type Path } from '../harness/packet.js'
import type { Random } from '../harness/random.js'
import type { Scenario } from '../harness/scenario.js'

// What /proc does not show of a backup's connections (flags, sequence data, firewall mark, packet counter) a kernel tells
// when it becomes the master and its clients go on: it announces them again. So must ours, from the same messages.

/** A backup sets a connection's packet counter to the first; so it is announced again with the fifth packet. */
const THRESHOLD = [2, 5] as const
const PACKETS = 6
/** Longer than a kernel's open buffer lives. */
const FLUSH_MS = 3400
const FROM = { address: '10.9.0.254', port: 40000 }
const METHODS = [0, 1, 2, 3, 4]
const SETTINGS = {
  syncThreshold: THRESHOLD,
  syncRefreshPeriod: 0,
  syncRetries: 0,
  syncPersistMode: 0,
  syncPorts: 1,
  syncQlenMax: 10_000
} as const
/** A kernel looks at packets at all only where there is a service. These have no real server: nothing is bound to one. */
const UNUSED = ['-A -t 10.1.0.101:1 -s rr', '-A -t [fd00:1::100]:1 -s rr']
const NO_CPORT = 0x800
/** One bit each: NOOUTPUT, INACTIVE, and each sequence flag. */
const FLAGS = [0x80, 0x100, 0x200, 0x400]
/** Bits that a backup does not take from the wire; the upper ones are of version 1. */
const STRANGE = [0, 0x20, 0x40, 0x4000, 0x8000, 0x10000, 0x80000000]

/** A connection: the messages that tell of it, one after the other, and the packet that its client continues with. */
interface Told {
  readonly version: 0 | 1
  /** Whether the kernel hears of it from us, and not by the messages that we got. */
  readonly relayed: boolean
  readonly messages: readonly Uint8Array[]
  readonly packet: Uint8Array
  /** The real server's port: one for each connection. */
  readonly realPort: number
  readonly state: number
  /** Whether any message had sequence data. */
  readonly sequences: boolean
}

export const scenario: Scenario = {
  title: 'what a backup learned and nobody sees: two backups become masters, and say the same',
  timeLimit: 120,
  async run(lab) {
    const cannon = await lab.director(UNUSED)
    lab.sysctl('director', { 'net.ipv4.vs.sync_threshold': THRESHOLD.join(' '), 'net.ipv4.vs.sync_version': 0 })
    lab.backup('director')
    const ours = new BackupEngine({
      syncid: 7,
      flagChecks: lab.kernel.generation,
      maxConnections: 10_000,
      settings: SETTINGS
    })
    const told = population(lab.random)
    const datagrams = await tell(lab, ours, told)
    await lab.pause(300)
    const kernel = lab.table('director')
    const disagreements = compareTables(kernel, asKernelRows(ours.table))
    if (kernel.length !== told.length) disagreements.push(`the kernel holds ${kernel.length} of ${told.length}`)
    lab.stop('director', 'backup')
    lab.master('director')
    for (const version of [0, 1] as const) disagreements.push(...(await goOn(lab, cannon, ours, told, version)))
    return {
      datagrams,
      compared: 3 * told.length,
      disagreements,
      notes: [
        `${told.length} connections, told in ${datagrams} messages, announced again in version 0 and in version 1`
      ]
    }
  }
}

/** Every combination of method and flags, in both versions, by both ways. */
function population(random: Random): Told[] {
  const all: Told[] = []
  for (const version of [0, 1] as const)
    for (const relayed of [false, true])
      for (const method of METHODS)
        for (let mask = 0; mask < 1 << FLAGS.length; mask++) {
          const flags = FLAGS.reduce((sum, bit, place) => sum | (mask & (1 << place) ? bit : 0), method)
          all.push(connection(random, all.length, version, relayed, flags))
        }
  return all
}

function connection(random: Random, number: number, version: 0 | 1, relayed: boolean, flags: number): Told {
  const ipv6 = version === 1 && number % 4 === 0
  // By NAT a kernel learns the client's port from its first packet: that is a director's part, and none of ours.
  const open = number % 16 === 5 && (flags & 7) !== 0
  const path = pathOf(number, ipv6)
  const [protocol, state] = (
    [
      [6, 1],
      [17, 0],
      [132, 8]
    ] as const
  )[number % 3]!
  let sequences = false
  const message = (bits: number): Uint8Array => {
    const fields = {
      protocol,
      state,
      flags: (bits | (open ? NO_CPORT : 0) | random.pick(STRANGE)) >>> 0,
      client: path.from,
      cport: open ? 0 : path.fromPort,
      virtual: path.to,
      vport: path.toPort,
      dport: path.fromPort,
      destination: ipv6 ? wide(2, 2) : [10, 2, 0, 2],
      fwmark: random.word(),
      timeout: 600 + random.below(1000)
    }
    // In version 1 neither the flags nor the data ask for the other.
    const given = version === 0 ? (bits & 0x600) !== 0 : random.chance(60)
    const sequence = given ? Array.from({ length: 6 }, random.word) : []
    sequences ||= given
    if (version === 0) return messageV0([recordV0({ ...fields, sequence })])
    return messageV1([recordV1({ ...fields, parameters: given ? parameter(sequence) : [] })])
  }
  const first = message(flags)
  // A second time with all else turned round: an entry that is there keeps most of what it has.
  const messages = number % 3 === 1 ? [first, message(flags ^ (0x783 & random.word()))] : [first]
  const packet = protocol === 6 ? tcp(path, TCP.ACK) : protocol === 17 ? udp(path) : sctp(path, SCTP.DATA)
  return { version, relayed, messages, packet, realPort: path.fromPort, state, sequences }
}

function pathOf(number: number, ipv6: boolean): Path {
  const host = 0x200 + number
  const ports = { fromPort: 2000 + number, toPort: 80 }
  if (ipv6) return { from: wide(1, host), to: wide(1, 0x100), ...ports }
  return { from: [10, 1, host >> 8, host & 0xff], to: [10, 1, 0, 100], ...ports }
}

function wide(net: number, tail: number): number[] {
  return [0xfd, 0, 0, net, ...new Array<number>(10).fill(0), tail >> 8, tail & 0xff]
}

/** Sequence data as docs/protocol.md section 4 has them: big-endian. */
function parameter(words: readonly number[]): number[] {
  return [1, 24, ...words.flatMap((word) => [word >>> 24, (word >> 16) & 0xff, (word >> 8) & 0xff, word & 0xff])]
}

/** Ours gets every message; the kernel gets them too, or what our master makes of ours. Returns how many were sent. */
async function tell(lab: Lab, ours: BackupEngine, told: readonly Told[]): Promise<number> {
  let sent = 0
  const send = async (bytes: Uint8Array): Promise<void> => {
    sent++
    await lab.announce(bytes)
  }
  for (const { version, relayed, messages, realPort } of told)
    for (const bytes of messages) {
      ours.handleDatagram(bytes, FROM, Date.now())
      if (!relayed) await send(bytes)
      else for (const again of announcement(ours, version, slotsOf(ours).get(realPort)!)) await send(again)
    }
  return sent
}

function announcement(ours: BackupEngine, version: 0 | 1, slot: number): Uint8Array[] {
  const master = new MasterEngine({ syncid: 7, settings: { ...SETTINGS, syncVersion: version }, table: ours.table })
  master.announceSlots([slot], Date.now())
  return transmitted(master)
}

function transmitted(master: MasterEngine): Uint8Array[] {
  const messages: Uint8Array[] = []
  master.close(Date.now())
  for (let message = master.pollTransmit(); message !== undefined; message = master.pollTransmit())
    messages.push(message.bytes)
  return messages
}

/** Where our table has them, by the real server's port. */
function slotsOf({ table }: BackupEngine): ReadonlyMap<number, number> {
  return new Map([...table.slots()].map((slot) => [table.connection(slot).destination.port, slot]))
}

/** The clients go on: what each of the two masters announces, in order. */
async function goOn(
  lab: Lab,
  cannon: Cannon,
  ours: BackupEngine,
  told: readonly Told[],
  version: 0 | 1
): Promise<string[]> {
  lab.sysctl('director', { 'net.ipv4.vs.sync_version': version })
  const socket = await lab.syncSocket()
  socket.take()
  const master = new MasterEngine({ syncid: 7, settings: { ...SETTINGS, syncVersion: version }, table: ours.table })
  const slots = slotsOf(ours)
  for (const { packet, state, realPort } of told)
    for (let count = 0; count < PACKETS; count++) {
      await cannon.fromClient(packet)
      master.handlePacket(slots.get(realPort)!, state, Date.now())
    }
  await lab.pause(FLUSH_MS)
  // A kernel sends what its memory held before for data that it never received; up to a fix, in version 1, for all data. Ours are zeros.
  const unknown = new Set(told.filter(({ sequences }) => !sequences).map(({ realPort }) => realPort))
  const isGarbage = ({ destinationPort }: WireRecord): boolean =>
    unknown.has(destinationPort) || (version === 1 && lab.kernel.generation === 'legacy')
  const known = (record: WireRecord): WireRecord => (isGarbage(record) ? withoutSequence(record) : record)
  const kernel = socket
    .take()
    .flatMap(({ bytes }) => readRecords(bytes))
    .map((record) => show(known(record)))
  const own = transmitted(master)
    .flatMap(readRecords)
    .map((record) => show(known(record)))
  const expected = told.filter(({ packet }) => version === 1 || packet[0]! >> 4 === 4).length
  const lines = Array.from({ length: Math.max(kernel.length, own.length) }, (_, index) => index)
    .filter((index) => kernel[index] !== own[index])
    .map(
      (index) => `version ${version}, record ${index}: kernel ${kernel[index] ?? 'none'}, ours ${own[index] ?? 'none'}`
    )
  if (kernel.length !== expected)
    lines.push(`version ${version}: the kernel announced ${kernel.length}, not ${expected}`)
  return lines
}

function withoutSequence(record: WireRecord): WireRecord {
  return { ...record, sequence: record.sequence.map(() => 0) }
}

/** All but the timeout, which a packet sets anew, and which the table showed. */
function show(record: WireRecord): string {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
  return [
    record.protocol,
    `${hex(record.client)}:${record.clientPort}`,
    `${hex(record.virtual)}:${record.virtualPort}`,
    `${hex(record.destination)}:${record.destinationPort}`,
    `flags ${record.flags.toString(16)} state ${record.state} fwmark ${record.fwmark} sequence ${record.sequence.join()}`
  ].join(' ')
}
