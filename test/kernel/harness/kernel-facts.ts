import { existsSync } from 'node:fs'
import type { FlagChecks } from 'ipvs-sync/wire'
import type { Lab } from './lab.js'
import { messageV1, recordV1 } from './message.js'
import { SyncSocket } from './sync-socket.js'

/** What scenarios must know of the running kernel, found by asking it. */
export interface KernelFacts {
  /** `uname -r`. */
  readonly release: string
  /** Which generation of receivers it is (docs/conformance.md). */
  readonly generation: FlagChecks
  /** Ticks of its clock in a second. */
  readonly hz: number
  /** Whether it logs why it drops and skips; Debian's ready-made kernels are built without. */
  readonly hasLog: boolean
  /** Whether the processor is emulated: a tenth of the host's speed. */
  readonly isEmulated: boolean
}

const SYNCID = 255
/** The port of each question, as the record's client port. */
const PORT = { templateState: 1, noPortTemplate: 2, plain: 3 }
const PERSISTENCE = 300

/**
 * Asks a backup in a separate namespace, which is removed afterwards: a template in state 2 stands only in a `legacy` kernel, one with
 * NO_CPORT in any but `strict`. A service's persistence shows the clock, since /proc prints it in ticks.
 */
export async function askKernel(lab: Lab): Promise<KernelFacts> {
  lab.backup('probe', { syncid: SYNCID })
  lab.services('probe', [`-A -t 10.1.0.100:80 -s rr -p ${PERSISTENCE}`])
  const ticks = Number(/persistent (\d+)/.exec(lab.proc('probe', 'ip_vs'))?.[1])
  const socket = await SyncSocket.open('10.9.0.254')
  const template = { state: 1, protocol: 6 }
  const questions = [
    recordV1({ ...template, cport: PORT.templateState, flags: 0x1100, state: 2 }),
    recordV1({ ...template, cport: PORT.noPortTemplate, flags: 0x1900 }),
    recordV1({ cport: PORT.plain })
  ]
  await socket.send(messageV1(questions, { syncid: SYNCID }))
  const ports = (): number[] => lab.table('probe').map(({ clientPort }) => clientPort)
  await lab.until('the kernel answers', () => ports().includes(PORT.plain))
  const standing = ports()
  socket.close()
  await lab.remove('probe')
  const strict = !standing.includes(PORT.noPortTemplate)
  return {
    release: lab.sh('root', 'uname -r').trim(),
    generation: strict ? 'strict' : standing.includes(PORT.templateState) ? 'legacy' : 'middle',
    hz: ticks / PERSISTENCE,
    hasLog: existsSync('/proc/sys/net/ipv4/vs/debug_level'),
    isEmulated: process.env['LAB_EMULATED'] === '1'
  }
}

/** The same for people. */
export function describeFacts({ generation, hz, hasLog }: KernelFacts): string {
  return `${generation}, HZ ${hz}, ${hasLog ? 'with' : 'without'} its debug log`
}
