// Saves a table and restores it into another one.   node .build/examples/restore.js
import { ConnectionTable } from 'ipvs-sync'

const now = 1000
const table = new ConnectionTable()
const ends = { client: { address: '198.51.100.9', port: 40_000 }, virtual: { address: '203.0.113.80', port: 80 } }
const kind = { family: 'ipv4', protocol: 'TCP', state: 'ESTABLISHED', forwarding: 'MASQ', flags: [] } as const
table.set({ ...kind, ...ends, destination: { address: '10.0.0.11', port: 8080 }, timeout: 900 }, now)
const saved = [...table.snapshot(Date.now())]

const restored = new ConnectionTable()
const report = restored.restore(saved, { now, wallClock: Date.now() })
console.log(`loaded ${report.loaded} connection, ${report.expired} had expired`)
for (const { client, expires } of restored) console.log(`${client.address}: ${expires} s remaining`)
