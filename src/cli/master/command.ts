/**
 * `ipvs-sync master`: announces connections.
 *
 * @module
 */

import { Option, type Command } from 'commander'
import { counted } from '../../text.js'
import { systemClock } from '../../daemon/clock.js'
import { SyncMaster } from '../../daemon/master/sync-master.js'
import { IpvsSyncError } from '../../errors.js'
import { EXIT_IO } from '../errors.js'
import type { Peer } from '../../transport/udp-options.js'
import type { Io } from '../io.js'
import { addNotes } from '../notes.js'
import { settingsOf, addKeyOption } from '../options.js'
import { integerOption } from '../parsers.js'
import { addServiceOptions, runService, syncOptionsOf, tellOn, type ServiceOptions, type Tell } from '../service.js'
import { DemoTraffic } from './demo-traffic.js'
import { pause } from './flow.js'
import { followKernel } from './kernel-source.js'
import { followLines } from './line-source.js'

interface Options extends ServiceOptions {
  readonly source: 'stdin' | 'kernel' | 'demo'
  readonly strict?: true
  readonly force?: true
  /** Milliseconds. */
  readonly interval: number
  /** Connections a second. */
  readonly rate: number
}

/** Exit code of a run in which lines were refused. */
const EXIT_FINDINGS = 1
/** Time between two steps of made-up traffic, in milliseconds. */
const DEMO_STEP = 100

/** Adds its options. */
export function configure(command: Command): void {
  addKeyOption(addServiceOptions(command))
    .addOption(
      new Option('--source <source>', 'what to announce').choices(['stdin', 'kernel', 'demo']).default('stdin')
    )
    .option('--strict', 'end at the first line of standard input that is wrong')
    .option('--force', 'demo: send to another interface than lo')
    .option(
      '--interval <ms>',
      'kernel: milliseconds between two reads of the table',
      integerOption('--interval', 10, 3_600_000),
      1000
    )
    .option('--rate <number>', 'demo: connections a second', integerOption('--rate', 1, 100_000), 20)
  addNotes(command, {
    text: [
      'stdin takes a connection as an object of JSON a line, which counts as one packet of its client:',
      `  {"family":"ipv4","protocol":"TCP","client":{"address":"10.1.0.2","port":38988},
   "virtual":{"address":"10.1.0.1","port":80},"destination":{"address":"10.2.0.2","port":80},
   "forwarding":"MASQ","flags":[],"state":"ESTABLISHED","packets":3}`,
      'It is announced when the kernel\'s rules say so (sync_threshold: by default at packets 3, 53, 103, …). Optional keys: "packets", the counter itself; "event": "packet" or "expire"; "controlledBy", the key of its template.',
      'kernel follows /proc/net/ip_vs_conn; demo makes traffic up. At the end of the input, and at SIGINT or SIGTERM, pending connections are sent first.'
    ],
    examples: [
      'ipvs-sync master --mcast-interface eth1 --syncid 5 --source kernel',
      'ipvs-sync master --peer 10.9.0.2 --syncid 5 < events.jsonl'
    ]
  })
}

/** Runs to the end of its source, or until stopped. */
export async function execute(command: Command, io: Io): Promise<number> {
  const options = command.opts<Options>()
  // Made-up connections must not reach the directors of a real network by mistake.
  const { source, mcastInterface, peer, force } = options
  const isLoopback =
    mcastInterface === 'lo' ||
    (mcastInterface === undefined &&
      peer.every(({ address }: Peer): boolean => address.startsWith('127.') || address === '::1'))
  if (source === 'demo' && !isLoopback && force !== true) {
    const place = mcastInterface ?? peer.map(({ address }) => address).join(', ')
    const message = `--source demo: expected --mcast-interface lo or a loopback --peer, got ${place}; --force sends anyway`
    throw new IpvsSyncError('ERR_USAGE', message, { field: 'source' })
  }
  const settings = await settingsOf(options, { onFact: tellOn(io, 'master') })
  const master = new SyncMaster({ ...syncOptionsOf(options, settings), syncid: options.syncid })
  return runService(
    {
      name: 'master',
      daemon: master,
      roles: { master },
      options,
      work: async (tell) => {
        const refused = await follow(master, options, io, tell)
        // What is held is sent before the exit code is known.
        await master.close()
        const code = deliveryOf(master, io.signal.aborted)
        if (refused === 0) return code
        tell(`${counted(refused, 'line')} refused`, 'LINES_REFUSED')
        return code === 0 ? EXIT_FINDINGS : code
      },
      summary: () => {
        const { sent, suppressed, dropped, channels } = master.counters()
        const messages = sumOf(channels, ({ messagesSent }) => messagesSent)
        const { undelivered } = master.sendReport()
        const lost = sumOf(undelivered, (counts) => counts.messages)
        const lostRecords = sumOf(undelivered, ({ connections }) => connections)
        return (
          `sent ${counted(sent - dropped - lostRecords, 'record')} in ${counted(messages, 'message')}; ${suppressed} not due, ${dropped} dropped` +
          (lost === 0
            ? ''
            : `; not sent: ${counted(lost, 'message')} with ${counted(lostRecords, 'record')}, which no peer took`)
        )
      }
    },
    io
  )
}

/** Returns 3 if a message of a finished input reached no peer, or, where a signal ended the run, if none did. */
function deliveryOf(master: SyncMaster, isStopped: boolean): number {
  const lost = sumOf(master.sendReport().undelivered, ({ messages }) => messages)
  const sent = sumOf(master.counters().channels, ({ messagesSent }) => messagesSent)
  return lost > 0 && (!isStopped || sent === 0) ? EXIT_IO : 0
}

function sumOf<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((sum, item) => sum + value(item), 0)
}

async function follow(master: SyncMaster, options: Options, io: Io, tell: Tell): Promise<number> {
  const { signal } = io
  switch (options.source) {
    case 'stdin':
      return followLines(io.stdin, master, { strict: options.strict === true, signal, tell })
    case 'kernel':
      await followKernel(master, {
        interval: options.interval,
        maxConnections: options.maxConnections,
        signal,
        tell,
        refreshPeriod: () => master.sysctls.syncRefreshPeriod,
        now: () => systemClock.now()
      })
      return 0
    case 'demo':
      await followDemo(master, options.rate, signal)
      return 0
  }
}

async function followDemo(master: SyncMaster, rate: number, signal: AbortSignal): Promise<void> {
  const traffic = new DemoTraffic()
  const begin = systemClock.now()
  let born = 0
  while (!signal.aborted) {
    const now = systemClock.now()
    const due = Math.ceil(((now - begin + 1) * rate) / 1000)
    for (const change of traffic.step(now, due - born)) master.handleConnection(change)
    born = due
    await pause(DEMO_STEP, signal)
  }
}
