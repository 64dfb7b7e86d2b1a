// The heart of an HA tool: a director that listens as backup, and takes over as master with the table it has learned.
// A real tool would call takeOver() when VRRP says so; here it does after SECONDS.
//   node .build/examples/ha-tool.js [INTERFACE] [SECONDS]
import { setTimeout as wait } from 'node:timers/promises'
import { SyncBackup, SyncMaster } from 'ipvs-sync'

const [mcastInterface = 'lo', seconds = '5'] = process.argv.slice(2)
const syncid = 7

const backup = new SyncBackup({ mcastInterface, syncid, accept: ['127.0.0.0/8'], maxConnections: 100_000 })
let learned = 0
backup.on('connection', ({ change }) => {
  if (change === 'created') learned++
})
backup.on('problem', ({ problem }) => console.log(`ignored: ${problem.code} ${problem.message}`))
backup.on('error', (error) => console.error(error.message))
await backup.start()
console.log('backup: listening')

await wait(Number(seconds) * 1000)
await takeOver()

/** From backup to master: the same table is now announced to the new backup. */
async function takeOver(): Promise<void> {
  await backup.close()
  console.log(`backup: learned ${learned} connections; taking over`)
  const master = new SyncMaster({ mcastInterface, syncid, table: backup.table })
  master.on('error', (error) => console.error(error.message))
  await master.start()
  const announced = await master.announceTable()
  console.log(`master: announced ${announced} connections`)
  await master.close()
}
