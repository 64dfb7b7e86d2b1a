/**
 * `ipvs-sync agent`: runs on each director, so that a director that returns has the full table before it takes over.
 *
 * @module
 */

import { type Command } from 'commander'
import { Agent } from '../../agent/agent.js'
import { systemClock } from '../../daemon/clock.js'
import { notifyService } from '../../daemon/notify.js'
import { acceptOption } from '../backup/accept-option.js'
import type { Io } from '../io.js'
import { addNotes } from '../notes.js'
import { addKeyOption, settingsOf } from '../options.js'
import { integerOption } from '../parsers.js'
import {
  aborted,
  addServiceOptions,
  reporterOf,
  runService,
  syncOptionsOf,
  tellOn,
  type ServiceOptions
} from '../service.js'

interface Options extends ServiceOptions {
  readonly accept: readonly string[]
  readonly store?: string
  /** Seconds. */
  readonly storeInterval: number
  readonly readyFile?: string
  /** Seconds. */
  readonly limit: number
  /** Connections a second. */
  readonly rate?: number
  readonly answer: boolean
  readonly kernel: boolean
  readonly own?: string
  /** Milliseconds. */
  readonly kernelInterval?: number
  /** Seconds. */
  readonly kernelLimit: number
  readonly verifyKernel?: true
  readonly notifyFifo?: string
  readonly instance?: string
  readonly announce: boolean
  readonly hz: number
}

/** Adds its options. */
export function configure(command: Command): void {
  addKeyOption(addServiceOptions(command), true)
    .addOption(acceptOption('accept messages of these sources only'))
    .option('--store <file>', 'store the table in this file, and load it at the start')
    .option(
      '--store-interval <seconds>',
      'seconds between two saves of the --store file',
      integerOption('--store-interval', 1, 86_400),
      60
    )
    .option('--ready-file <file>', 'write the readiness to this file, for wait-ready and scripts')
    .option(
      '--limit <seconds>',
      'report ready without a table after this many seconds',
      integerOption('--limit', 1, 86_400),
      30
    )
    .option(
      '--rate <number>',
      'connections a second of an answer (default: by the receive buffers)',
      integerOption('--rate', 1, 100_000_000)
    )
    .option('--no-answer', 'send the table to no other agent')
    .option('--no-kernel', "do not read the kernel's own table")
    .option(
      '--own <source>',
      "receive what the own kernel's master announces: capture (tcpdump), an interface (veth pair), or table (default: capture where it can, else table)"
    )
    .option(
      '--kernel-interval <ms>',
      "milliseconds between two reads of the kernel's table (default: 5000; with --own 300000)",
      integerOption('--kernel-interval', 10, 3_600_000)
    )
    .option(
      '--kernel-limit <seconds>',
      "give up a read of the kernel's table after this time",
      integerOption('--kernel-limit', 1, 86_400),
      60
    )
    .option('--verify-kernel', "ready only when this kernel's own table is complete too")
    .option('--notify-fifo <file>', "keepalived's vrrp_notify_fifo: announce while it says MASTER")
    .option('--instance <name>', 'the VRRP instance that counts (default: any)')
    .option('--no-announce', "follow the role without announcing: the kernel's own master daemon does")
    .option('--hz <ticks>', "the kernel's clock, for persistence timeouts", integerOption('--hz', 1, 10_000), 250)
  addNotes(command, {
    text: [
      "The agent requests a full table from the agents in the group, or at --peer. One of them sends it to the group, so that this director's kernel receives it too. Kernels ignore messages between agents. --syncid must be that of the kernels' daemons. The agent is ready when a full table was received, or when no agent answered for --limit seconds: see wait-ready, /readyz."
    ],
    examples: [
      'ipvs-sync agent --mcast-interface eth1 --syncid 5 --accept 10.9.0.0/24 --verify-kernel \\',
      '  --store /var/lib/ipvs-sync/table --ready-file /run/ipvs-sync/ready'
    ]
  })
}

/** Runs until the signal is aborted. */
export async function execute(command: Command, io: Io): Promise<number> {
  const options = command.opts<Options>()
  const settings = await settingsOf(options, { onFact: tellOn(io, 'agent') })
  const agent = new Agent({
    ...syncOptionsOf(options, settings),
    syncid: options.syncid,
    ...(options.accept.length > 0 && { accept: options.accept }),
    ...(options.store !== undefined && { store: options.store }),
    storeInterval: options.storeInterval * 1000,
    ...(options.readyFile !== undefined && { readyFile: options.readyFile }),
    times: { limit: options.limit * 1000 },
    ...(options.rate !== undefined && { rate: options.rate }),
    answers: options.answer,
    kernel: options.kernel,
    kernelFiles: { ticksPerSecond: options.hz },
    ...(options.own !== undefined && { own: options.own }),
    ...(options.kernelInterval !== undefined && { kernelInterval: options.kernelInterval }),
    kernelLimit: options.kernelLimit * 1000,
    verifyKernel: options.verifyKernel === true,
    ...(options.notifyFifo !== undefined && { notifyFifo: options.notifyFifo }),
    ...(options.instance !== undefined && { instance: options.instance }),
    announce: options.announce
  })
  const reporter = reporterOf(io, 'agent')
  const report = (code: string, text: string): boolean => reporter.report(code, `${text} [${code}]`, systemClock.now())
  agent.on('status', (ready, text) => {
    report(ready ? 'AGENT_READY' : 'AGENT_WAITING', text)
    notifyService({ status: text }, io.env)
  })
  agent.on('role', (master) => report('KEEPALIVED_ROLE', `keepalived reports ${master ? 'MASTER' : 'BACKUP'}`))
  return runService(
    {
      name: 'agent',
      daemon: agent,
      roles: {
        get backup() {
          return agent.backup!
        },
        get master() {
          return agent.master!
        },
        agent
      },
      readiness: { ready: () => agent.ready, status: () => agent.status },
      options,
      work: async () => {
        await aborted(io.signal)
        return 0
      },
      summary: () => {
        const { given, refused } = agent.report()
        return `${agent.status}; ${given} tables sent, ${refused} requests refused; ${agent.table.size} in the table`
      }
    },
    io,
    reporter
  )
}
