// Carries messages over a transport of one's own: here a network in memory, in virtual time.   node .build/examples/own-transport.js
import { MemoryNetwork, SyncBackup, SyncMaster } from 'ipvs-sync'

const network = new MemoryNetwork()
const backup = new SyncBackup({ syncid: 7, transport: network.open('10.9.0.2') })
const master = new SyncMaster({ syncid: 7, transport: network.open('10.9.0.1') })
await Promise.all([backup.start(), master.start()])
const ends = { client: { address: '198.51.100.9', port: 40_000 }, virtual: { address: '203.0.113.80', port: 80 } }
const kind = { family: 'ipv4', protocol: 'TCP', state: 'ESTABLISHED', forwarding: 'MASQ', flags: [] } as const
master.announce({ ...kind, ...ends, destination: { address: '10.0.0.11', port: 8080 } })
await master.close()
network.advance(network.now)
console.log(`the backup holds ${backup.size} connection`)
await backup.close()
