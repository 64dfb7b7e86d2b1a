/** Datagrams lost of a burst of 3,600 full ones, which come while the backup stands still: sync_sock_size 4 MiB, or `default`. */
import { execFileSync } from 'node:child_process'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { SyncBackup } from 'ipvs-sync'
import { given, print } from './timing.js'

const BURST = 3600
const { variant, seconds: port } = given()
const backup = new SyncBackup({
  syncid: 7,
  peers: [{ address: '127.0.0.1', port }],
  sysctls: variant === 'default' ? {} : { syncSockSize: 4_194_304 }
})
backup.on('notice', ({ message }) => console.log(message))
await backup.start()
const filler = fileURLToPath(new URL('fill.js', import.meta.url))
execFileSync(process.execPath, [filler, String(port), '1', String(BURST), '40000', '0'])
await wait(500)
print(BURST - backup.counters().received[0]![1])
await backup.close()
