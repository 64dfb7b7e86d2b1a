/**
 * Microseconds of an agent's own processor time a connection that its kernel's master announces, from the bytes of a capture to
 * the table. A script in tcpdump's place replays the capture; its time is not counted.
 */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MemoryNetwork } from 'ipvs-sync'
import { Agent } from 'ipvs-sync/agent'
import { writeCapture } from '../capture-file.js'
import { given, print, processorTime } from './timing.js'

const { connections } = given()
const capture = writeCapture(connections)
const folder = mkdtempSync(join(tmpdir(), 'ipvs-sync-bench-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
const captureProgram = join(folder, 'tcpdump')
// The pause lets the agent's start end before the first datagram.
writeFileSync(captureProgram, `#!/bin/sh\necho 'listening on bench0' >&2\nsleep 1\ncat '${capture}'\nexec sleep 1000\n`)
chmodSync(captureProgram, 0o755)

const network = new MemoryNetwork()
const agent = new Agent({
  mcastInterface: 'bench0',
  receiver: network.open('10.9.0.1'),
  sender: network.open('10.9.0.1', 40_000),
  own: 'capture',
  kernel: false,
  maxConnections: connections,
  captureProgram
})
await agent.start()
const before = processorTime()
while ((agent.metrics().ownConnections ?? 0) < connections) await new Promise((resolve) => setTimeout(resolve, 20))
const spent = processorTime() - before
if (agent.table.size !== connections) throw new Error(`${agent.table.size} of ${connections} connections in the table`)
await agent.close()
print((spent * 1000) / connections)
