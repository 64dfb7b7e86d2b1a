// A master: announces a few made-up connections as a kernel would, and ends. Run examples/backup.ts first.
//   node .build/examples/master.js [INTERFACE]      lo by default
import { SyncMaster, type ConnectionChange } from 'ipvs-sync'

const [mcastInterface = 'lo'] = process.argv.slice(2)
await using master = new SyncMaster({ mcastInterface, syncid: 7 })
master.on('listening', (where) => console.log(`sending: ${where}`))
master.on('error', (error) => console.error(error.message))
await master.start()

/** One client's connection, in a state, after so many of its packets. */
function connection(client: number, state: string, packets: number): ConnectionChange {
  return {
    family: 'ipv4',
    protocol: 'TCP',
    client: { address: `198.51.100.${client}`, port: 40_000 },
    virtual: { address: '203.0.113.80', port: 80 },
    destination: { address: `10.0.0.${11 + (client % 3)}`, port: 8080 },
    forwarding: 'MASQ',
    flags: state === 'ESTABLISHED' ? [] : ['INACTIVE'],
    state,
    packets
  }
}

for (let client = 1; client <= 5; client++) {
  // Every packet is considered; what comes back says why it was announced, or why not.
  const answers = [
    master.handleConnection(connection(client, 'SYN_RECV', 1)),
    master.handleConnection(connection(client, 'ESTABLISHED', 2)),
    master.handleConnection(connection(client, 'ESTABLISHED', 3))
  ]
  console.log(`198.51.100.${client}: ${answers.join(', ')}`)
}
console.log(`end of the first: ${master.handleConnection(connection(1, 'FIN_WAIT', 4))}`)
// Leaving the block closes the master, which sends what it holds.
