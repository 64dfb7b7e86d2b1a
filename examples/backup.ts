// A backup: keeps what masters announce, and says so. Run it in one terminal and examples/master.ts in another.
//   node .build/examples/backup.js [INTERFACE]      lo by default; Ctrl-C ends it
import { SyncBackup } from 'ipvs-sync'

const ending = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => ending.abort())

const [mcastInterface = 'lo'] = process.argv.slice(2)
const backup = new SyncBackup({ mcastInterface, syncid: 7, signal: ending.signal })

backup.on('listening', (where) => console.log(`listening: ${where}`))
backup.on('connection', ({ change, connection }) => {
  const { protocol, client, destination, state, expires } = connection
  console.log(
    `${change}: ${protocol} ${client.address}:${client.port} -> ${destination.address}, ${state}, ${expires} s`
  )
})
backup.on('expired', ({ connection }) => console.log(`expired: ${connection.client.address}:${connection.client.port}`))
backup.on('problem', ({ problem, from }) => console.log(`from ${from.address}: ${problem.message}`))
backup.on('notice', ({ message }) => console.log(message))
backup.on('error', (error) => console.error(error.message))
backup.on('close', () => console.log(`closed with ${backup.table.size} connections`))

await backup.start()
