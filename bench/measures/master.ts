/**
 * Nanoseconds of `MasterEngine.handlePacket` for a packet of a known connection: `sent` (every one is due), `not-sent`
 * (fresh, no retries), `loop` (the same loop without the call, to be taken off).
 */
import { MasterEngine } from 'ipvs-sync/engine'
import { ConnectionTable } from 'ipvs-sync'
import { MessageReader, stateNumber } from 'ipvs-sync/wire'
import { makeMessages } from '../input.js'
import { given, nanoseconds, print } from './timing.js'

const { variant, seconds, connections } = given()
const ESTABLISHED = stateNumber(6, false, 'ESTABLISHED')!
/** Every packet meets a threshold of 0 in a period of 1; a period of 1000 lets hardly one pass. */
const syncThreshold: [number, number] = variant === 'sent' ? [0, 1] : [3, 100_000_000]
const table = new ConnectionTable({ maxConnections: connections })
const engine = new MasterEngine({
  syncid: 7,
  table,
  settings: {
    syncVersion: 1,
    syncThreshold,
    syncRefreshPeriod: 0,
    syncRetries: 0,
    syncPersistMode: 0,
    syncPorts: 1,
    syncQlenMax: 1e6
  }
})
const slots: number[] = []
const reader = new MessageReader()
for (const message of makeMessages(connections)) {
  reader.read(message)
  const { count } = reader.rows
  for (let i = 0; i < count; i++) slots.push(table.add(reader.rows, i, 1000))
}
// A packet more than the threshold: from here on the answer is always the same.
for (const slot of slots) table.setPackets(slot, 10)

let now = 1_000_000
let sink = 0

function packets(): void {
  for (const slot of slots) sink += engine.handlePacket(slot, ESTABLISHED, now)
  now += 10
  while (engine.pollTransmit() !== undefined) sink++
}

function loop(): void {
  for (const slot of slots) sink += slot & ESTABLISHED
  now += 10
  while (engine.pollTransmit() !== undefined) sink++
}

print(nanoseconds(variant === 'loop' ? loop : packets, slots.length, seconds))
const { connectionsSent } = engine.counters().channels.reduce(
  (sum, channel) => ({
    connectionsSent: sum.connectionsSent + channel.connectionsSent
  }),
  { connectionsSent: 0 }
)
if (variant === 'sent' ? connectionsSent < slots.length : connectionsSent > 0)
  throw new Error(`sent ${connectionsSent}`)
if (sink === 0.5) console.error(sink)
