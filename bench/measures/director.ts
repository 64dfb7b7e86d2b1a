/**
 * Nanoseconds for one packet through the director's model with so many live connections, by kind of traffic: `tcp` (NAT,
 * both directions), `udp`, `sctp`, `persistent` (templates), `announcing` (a master at each packet) and `opening` (each
 * packet opens a connection that the next round reuses). `memory` prints bytes of heap a connection instead.
 */
import { Director, packetFromValue, type Packet, type PacketValue } from 'ipvs-sync/director'
import { MasterEngine } from 'ipvs-sync/engine'
import { given, nanoseconds, print } from './timing.js'

const { variant, seconds, connections } = given()
const VIRTUAL = { address: '10.1.0.100', port: 80 }
const SERVER = { address: '10.2.0.2', port: 8080 }
const protocol = variant === 'udp' ? 'UDP' : variant === 'sctp' ? 'SCTP' : 'TCP'
const master = new MasterEngine({ syncid: 7, settings: { syncQlenMax: 1_000_000 } })
const director = new Director({
  services: [
    {
      protocol,
      virtual: VIRTUAL,
      scheduler: 'rr',
      servers: [{ ...SERVER, forwarding: 'MASQ' }],
      persistence: variant === 'persistent' ? { timeout: 3600, prefix: 24 } : undefined
    }
  ],
  settings: { sloppySctp: 1, ...(variant === 'announcing' && { syncThreshold: [0, 1] as const }) },
  ...(variant === 'announcing' && { master })
})

function client(number: number): { readonly address: string; readonly port: number } {
  const host = Math.floor(number / 50_000)
  return { address: `10.${9 + (host >> 8)}.${host & 255}.7`, port: 1024 + (number % 50_000) }
}

function packed(number: number, isReply: boolean, flags: PacketValue['flags']): Packet {
  const [source, destination] = isReply ? [SERVER, client(number)] : [client(number), VIRTUAL]
  return packetFromValue({ protocol, source, destination, ...(flags && { flags }), chunks: [0] })
}

const before = heap()
let now = 1000
for (let number = 0; number < connections; number++) director.handlePacket(packed(number, false, ['SYN']), now)
if (variant === 'memory') {
  print((heap() - before) / director.size)
} else {
  const flags = variant === 'opening' ? (['RST'] as const) : (['ACK'] as const)
  const packets = Array.from({ length: connections }, (_, at) => {
    // In an order that no cache foresees.
    const number = (at * 7919) % connections
    return [packed(number, false, flags), packed(number, variant !== 'opening', ['SYN'])] as const
  })
  const run = (): void => {
    for (const [first, second] of packets) {
      now += 0.001
      director.handlePacket(first, now)
      director.handlePacket(second, now)
    }
    while (master.pollTransmit() !== undefined);
  }
  print(nanoseconds(run, 2 * connections, seconds))
}

function heap(): number {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}
