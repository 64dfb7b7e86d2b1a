// Announces connections of a program's own.   node .build/examples/announce.js [INTERFACE]
import { SyncMaster } from 'ipvs-sync'

const [mcastInterface = 'lo'] = process.argv.slice(2)
const master = new SyncMaster({ mcastInterface, syncid: 7 })
await master.start()
const ends = { client: { address: '198.51.100.9', port: 40_000 }, virtual: { address: '203.0.113.80', port: 80 } }
const kind = { family: 'ipv4', protocol: 'TCP', state: 'ESTABLISHED', forwarding: 'MASQ', flags: [] } as const
const announced = master.announce({ ...kind, ...ends, destination: { address: '10.0.0.11', port: 8080 } })
console.log(announced ? 'announced' : 'refused')
await master.close()
