import { sharedServices } from '../harness/model-services.js'
import { Director, packetFromValue, type PacketValue } from 'ipvs-sync/director'
import { MasterEngine } from 'ipvs-sync/engine'
import type { Cannon } from '../harness/cannon.js'
import { addressText } from '../harness/our-table.js'
import type { Lab } from '../harness/lab.js'
import { readRecords } from '../harness/message.js'
import { sctp, tcp, udp, type Path } from '../harness/packet.js'
import { show } from '../harness/same-traffic.js'
import type { Scenario } from '../harness/scenario.js'

/** Longer than a kernel's open buffer lives (2 s and a wake-up). */
const FLUSH_MS = 3400
/** Packets between two comparisons: a dump of /proc is slow. */
const BATCH = 200
const BATCHES = 4

const SETTINGS = [{ sync_threshold: '0 1', sloppy_tcp: 0, conn_reuse_mode: 1, secure_tcp: 0, drop_packet: 0 }] as const

export const scenario: Scenario = {
  title: "random packets through a kernel's director and the model: states, destinations, timers and records",
  timeLimit: 100,
  async run(lab) {
    const services = sharedServices()
    const cannon = await lab.director(services.commands)
    const socket = await lab.syncSocket()
    lab.master('director')
    const disagreements: string[] = []
    const notes: string[] = []
    let [compared, datagrams] = [0, 0]
    for (const [index, settings] of SETTINGS.entries()) {
      lab.sysctl(
        'director',
        Object.fromEntries(Object.entries(settings).map(([name, value]) => [`net.ipv4.vs.${name}`, value]))
      )
      lab.sh('director', 'ipvsadm -C')
      lab.services('director', services.commands)
      await lab.pause(FLUSH_MS)
      socket.take()
      const numbers = settings.sync_threshold.split(' ').map(Number)
      const values = {
        syncThreshold: [numbers[0]!, numbers[1]!] as const,
        sloppyTcp: settings.sloppy_tcp,
        connReuseMode: settings.conn_reuse_mode,
        secureTcp: settings.secure_tcp,
        dropPacket: settings.drop_packet
      }
      const master = new MasterEngine({ syncid: 7, settings: { ...values, syncQlenMax: 1_000_000 } })
      const model = new Director({ services: services.options, settings: values, master })
      const batches = BATCHES
      for (let batch = 0; batch < batches; batch++) {
        await play(lab, cannon, model, index)
        const differences = compare(lab, model)
        compared += model.size
        disagreements.push(...differences.slice(0, 8).map((line) => `settings ${index}, batch ${batch}: ${line}`))
      }
      await lab.pause(FLUSH_MS)
      const heard = socket.take()
      datagrams += heard.length
      const kernel = heard.flatMap(({ bytes }) => readRecords(bytes)).map(show)
      master.close(Date.now())
      const ours: string[] = []
      for (let sent = master.pollTransmit(); sent !== undefined; sent = master.pollTransmit())
        ours.push(...readRecords(sent.bytes).map(show))
      const at = kernel.findIndex((line, place) => line !== ours[place])
      if (at >= 0 || kernel.length !== ours.length)
        disagreements.push(
          `settings ${index}: record ${at} of ${kernel.length} and ${ours.length}: kernel ${kernel[at]}, model ${ours[at]}`
        )
      notes.push(
        `settings ${index}: ${batches * BATCH} packets, ${kernel.length} records, ${model.size} entries at the end`
      )
      compared += kernel.length
    }
    return { datagrams, compared, disagreements, notes }
  }
}

interface Draw {
  readonly bytes: Uint8Array
  readonly value: PacketValue
  readonly isReply: boolean
}

async function play(lab: Lab, cannon: Cannon, model: Director, index: number): Promise<void> {
  for (let number = 0; number < BATCH; number++) {
    const drawn = draw(lab, model, index)
    const at = Date.now()
    await (drawn.isReply ? cannon.fromServer(drawn.bytes) : cannon.fromClient(drawn.bytes))
    // The kernel handles what is sent on its loopback before the send returns, or shortly after.
    if (number % 20 === 19) await lab.pause(4)
    model.handlePacket(packetFromValue(drawn.value), at)
  }
  await lab.pause(150)
}

const TCP_FLAGS = [2, 2, 2, 16, 16, 16, 16, 17, 17, 4, 18, 0] as const
const NAMES = [
  [1, 'FIN'],
  [2, 'SYN'],
  [4, 'RST'],
  [16, 'ACK']
] as const
const CHUNKS = [0, 0, 1, 1, 2, 3, 6, 7, 8, 9, 10, 11, 14] as const

/** A packet of a small population of clients, so that connections meet many packets; every third is a reply. */
function draw(lab: Lab, model: Director, index: number): Draw {
  const { random } = lab
  const protocol = random.pick(['TCP', 'TCP', 'TCP', 'UDP', 'SCTP'] as const)
  const live = random.chance(35)
    ? [...model.connections()].filter(({ client, forwarding }) => client.port !== 0 && forwarding === 'MASQ')
    : []
  const flags = random.pick(TCP_FLAGS)
  const chunk = random.pick(CHUNKS)
  if (live.length > 0) {
    const { destination, client, protocol: own } = random.pick(live)
    const path = {
      from: bytesOf(destination.address),
      fromPort: destination.port,
      to: bytesOf(client.address),
      toPort: client.port
    }
    return { ...make(own as typeof protocol, path, flags, chunk), isReply: true }
  }
  const toPort = random.pick(PORTS[protocol])
  const path = {
    from: [10, 1, 20 + index, 1 + random.below(6)],
    fromPort: 3000 + random.below(12),
    to: [10, 1, 0, 100],
    toPort
  }
  return { ...make(protocol, path, flags, chunk), isReply: false }
}

const PORTS = { TCP: [80, 81, 82, 83, 84, 85], UDP: [53, 54], SCTP: [60, 61] } as const

function make(protocol: 'TCP' | 'UDP' | 'SCTP', path: Path, flags: number, chunk: number): Omit<Draw, 'isReply'> {
  const ends = {
    protocol,
    source: { address: addressText(path.from), port: path.fromPort },
    destination: { address: addressText(path.to), port: path.toPort }
  }
  if (protocol === 'UDP') return { bytes: udp(path), value: ends }
  if (protocol === 'SCTP') return { bytes: sctp(path, chunk), value: { ...ends, chunks: [chunk] } }
  return {
    bytes: tcp(path, flags),
    value: { ...ends, flags: NAMES.filter(([bit]) => (flags & bit) !== 0).map(([, name]) => name) }
  }
}

function bytesOf(address: string): number[] {
  return address.split('.').map(Number)
}

/** The kernel's table and servers against the model's. */
function compare(lab: Lab, model: Director): string[] {
  model.handleTimeout(Date.now())
  const kernel = new Map(
    lab
      .table('director')
      .map((row) => [
        `${row.protocol} ${row.client}:${row.clientPort} ${row.virtual}:${row.virtualPort}`,
        { text: `${row.destination}:${row.destinationPort} ${row.state}`, expires: row.expires }
      ])
  )
  const ours = new Map(
    [...model.connections()].map(({ protocol, client, virtual, destination, state, expires }) => [
      `${protocol} ${hex(client.address)}:${client.port} ${hex(virtual.address)}:${virtual.port}`,
      { text: `${hex(destination.address)}:${destination.port} ${state}`, expires }
    ])
  )
  const lines: string[] = []
  for (const key of new Set([...kernel.keys(), ...ours.keys()])) {
    const [one, other] = [kernel.get(key), ours.get(key)]
    if (one === undefined || other === undefined) {
      // A kernel's timers are late by up to an eighth of their length: what has just expired is no difference.
      const isEnding = other === undefined ? one!.expires > 1e6 || one!.expires <= 1 : other.expires <= 1
      if (!isEnding) lines.push(`${key}: kernel ${rowText(one)}, model ${rowText(other)}`)
    } else if (one.text !== other.text || Math.abs(one.expires - other.expires) > 1)
      lines.push(`${key}: kernel ${rowText(one)}, model ${rowText(other)}`)
  }
  return lines
}

function rowText(row: { readonly text: string; readonly expires: number } | undefined): string {
  return row === undefined ? 'absent' : `${row.text} ${row.expires} s`
}

function hex(address: string): string {
  return bytesOf(address)
    .map((byte) => byte.toString(16).toUpperCase().padStart(2, '0'))
    .join('')
}
