// Listens to a group and prints every change.   node examples/listen.mjs [INTERFACE]
import { SyncBackup } from 'ipvs-sync'

const [mcastInterface = 'lo'] = process.argv.slice(2)
const backup = new SyncBackup({ mcastInterface, syncid: 7 })

const print = ({ change, connection }) => {
  const { protocol, client, virtual, destination, state } = connection
  console.log(
    `${change} ${protocol} ${client.address}:${client.port} ${virtual.address} ${destination.address} ${state}`
  )
}
backup.on('connection', print).on('expired', print)
backup.on('listening', (where) => console.log(`listening on ${where}`))
process.once('SIGTERM', () => backup.close())
await backup.start()
