/**
 * Reads a saved kernel table as an agent does, three times into one table. `first` and `later` are milliseconds of processor
 * time of the first and the third read; `held` is the longest time in milliseconds that the event loop was held by any.
 * Arguments: variant, file, connections.
 */
import { ConnectionTable } from 'ipvs-sync'
import { KernelMirror } from '#lib/agent/kernel.js'
import { LoopProbe } from './loop-probe.js'
import { print, processorTime } from './timing.js'

const [variant = '', connectionsFile = '', count = ''] = process.argv.slice(2)
const table = new ConnectionTable({ maxConnections: Number(count) })
const clock = {
  now: () => performance.now(),
  after: (delay: number, action: () => void) => {
    const timer = setTimeout(action, delay)
    return () => clearTimeout(timer)
  }
}
const mirror = new KernelMirror({
  table,
  clock,
  files: { connections: connectionsFile, services: '/dev/null', status: '/dev/null' },
  limit: 600_000,
  onLook: () => undefined,
  onRows: () => Promise.resolve()
})
// The probe's timer would cost some of what is measured.
const probe = variant === 'held' ? new LoopProbe() : undefined
const spent: number[] = []
for (let look = 0; look < 3; look++) {
  const begin = processorTime()
  const found = await mirror.look()
  spent.push(processorTime() - begin)
  if (found !== Number(count) || table.size !== found) throw new Error(`${found} read, ${table.size} in the table`)
}
print(probe === undefined ? spent[variant === 'first' ? 0 : 2]! : await probe.end())
