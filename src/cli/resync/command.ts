/**
 * `ipvs-sync resync`: sends a whole table, for a backup that joined late. The protocol has no such transfer.
 *
 * @module
 */

import { Option, type Command } from 'commander'
import { IpvsSyncError } from '../../errors.js'
import { counted } from '../../text.js'
import { integerOption, parseTimeouts } from '../parsers.js'
import type { Io } from '../io.js'
import { addNotes } from '../notes.js'
import {
  addDaemonOptions,
  addSysctlOptions,
  settingsOf,
  udpOptionsOf,
  addKeyOption,
  type DaemonOptions,
  type SysctlOptions
} from '../options.js'
import { createReceiver, createSender, sealOverhead } from '../../daemon/sealing.js'
import { askForPace, type AutoRate } from './auto-rate.js'
import { describeCost, describePlan, type ResyncPlan, type ResyncTotals, describeResult } from './report.js'
import { paceFor, sendBulk } from '../../daemon/bulk-sender.js'
import { linkOf } from '../../daemon/sync-options.js'
import type { Datagram } from '../../engine/engine.js'
import { BulkMessages } from '../../engine/full-table/bulk-messages.js'
import type { ServiceTimeouts } from '../../procfs/services.js'
import type { Sysctls } from '../../sysctl/settings.js'
import { masterSyncMaxlen } from '../../transport/sync-maxlen.js'
import type { Bytes, Milliseconds, TimestampMs } from '../../units.js'
import { DEFAULT_MAXLEN_IPV4, MAX_CHANNELS, MAX_PAYLOAD } from '../../wire/constants.js'
import { readSource, type SourceReport } from './source.js'
import { systemClock, type Clock } from '../../daemon/clock.js'
import type { SendingTransport } from '../../transport/transport.js'

/** Adds the options. */
export function configure(command: Command): void {
  command
    .option(
      '--source <source>',
      '"kernel" (/proc/net/ip_vs_conn), a file, or - for standard input; see below for the formats',
      'kernel'
    )
    .option(
      '--services <file>',
      'services of the director that a saved table is from, as /proc/net/ip_vs, "ipvsadm -Ln" or "ipvsadm -S -n" prints them'
    )
    .option(
      '--rate <number>',
      'connections a second, or auto: what the agents of the group can receive (default: safe, see below)',
      (text) => (text === 'auto' ? text : integerOption('--rate', 1, 100_000_000)(text))
    )
    .option(
      '--repeat <times>',
      'send the table N times (UDP is lossy; repeats are harmless)',
      integerOption('--repeat', 1, 1000),
      1
    )
    .option('--dry-run', 'print what would be sent and how long it would take; send nothing')
    .addOption(new Option('--sync-version <version>', 'protocol version (default: sync_version)').choices(['0', '1']))
    .option(
      '--hz <ticks>',
      'ticks a second of the kernel, the unit of persistence timeouts in /proc/net/ip_vs (default: detected, else 250)',
      integerOption('--hz', 1, 10_000)
    )
    .option('--timeouts <tcp,tcpfin,udp>', 'full timeouts in seconds, as given to "ipvsadm --set"', parseTimeouts)
  addNotes(addSysctlOptions(addKeyOption(addDaemonOptions(command))), {
    text: [
      'Formats of --source: text of /proc/net/ip_vs_conn or ip_vs_conn_sync, output of "ipvsadm -Lnc" (also with --persistent-conn), the file of an agent\'s --store, and JSON Lines as /connections, "backup --format json" and "decode --format json" write them.',
      'Templates are sent first. JSON Lines and stores are sent with their own timeout. A table shows only the remaining time: the full timeout is taken from the state, the service and --timeouts. Every assumption is printed with its count.',
      'The default rate is 460 messages a second, which is 18,400 IPv4 connections. A default socket buffer (212992 bytes) holds 92 full datagrams; half of them every 100 ms leaves room for a busy receiver. Receivers with a larger sync_sock_size take a higher --rate.',
      'Exit codes: 0 all sent, 1 stopped by a signal, 2 usage, 3 input or output, also if the system refused a message.'
    ],
    examples: [
      'ipvs-sync resync --mcast-interface eth1 --syncid 5 --dry-run',
      'ipvs-sync resync --mcast-interface eth1 --syncid 5 --repeat 2',
      'ipvs-sync resync --source conns.txt --services services.txt --peer 10.9.0.2 --syncid 5',
      'curl -s localhost:9848/connections | ipvs-sync resync --source - --peer 10.9.0.2 --syncid 5'
    ]
  })
}

/** Reads the source, prints the plan, sends it, prints the result. */
export async function execute(command: Command, io: Io): Promise<number> {
  const options = command.opts<ResyncOptions>()
  const settings = await settingsOf(options)
  const udp = options.dryRun ? undefined : udpOptionsOf(options, settings)
  const plan = await planResync(
    options,
    settings,
    io.stdin,
    udp &&
      ((maxLength) => {
        // Agents listen on the first port.
        const parts = { udp: { ...udp, channels: 1 }, syncid: options.syncid }
        return askForPace(
          createSender(options, parts, false),
          createReceiver(options, parts),
          options.syncid,
          maxLength
        )
      })
  )
  for (const line of describePlan(plan)) io.stdout.write(`${line}\n`)
  if (udp === undefined) {
    io.stdout.write(`${describeCost(plan)}\n`)
    return 0
  }
  const sender = createSender(options, { udp, syncid: options.syncid }, false)
  const { isComplete, failures, firstError } = await sendPlan(plan, sender, io)
  if (firstError === undefined) return isComplete ? 0 : 1
  // What the system refused is lost; the first refusal stands for the rest.
  throw new IpvsSyncError(firstError.code, `${counted(failures, 'send')} failed; the first: ${firstError.message}`, {
    cause: firstError
  })
}

/** Options of the command. */
interface ResyncOptions extends DaemonOptions, SysctlOptions {
  readonly source: string
  readonly services?: string
  /** Connections a second; `auto` asks the agents. */
  readonly rate?: number | 'auto'
  readonly repeat: number
  readonly dryRun?: true
  readonly syncVersion?: '0' | '1'
  readonly hz?: number
  readonly timeouts?: ServiceTimeouts
}

/**
 * Reads the source into messages.
 *
 * @param options - The command line's.
 * @param settings - sync_version and sync_ports are used.
 * @param stdin - For `--source -`.
 * @param ask - Asks the agents what they can receive, for `--rate auto`.
 * @throws IpvsSyncError `ERR_CONFIG` or `ERR_ENCODE` for a line that is not a connection, `ERR_IO`, `ERR_NO_IPVS`.
 */
async function planResync(
  options: ResyncOptions,
  settings: Sysctls,
  stdin: AsyncIterable<Uint8Array>,
  ask?: (maxLength: Bytes) => Promise<AutoRate | undefined>
): Promise<ResyncPlan> {
  const version = Number(options.syncVersion ?? settings.syncVersion) === 0 ? 0 : 1
  const maxLength = Math.min(maxLengthOf(options, settings), MAX_PAYLOAD)
  const channels = Math.min(settings.syncPorts, MAX_CHANNELS)
  const bulk = new BulkMessages({ version, syncid: options.syncid, maxLength, channels })
  const report: SourceReport = { expired: 0, facts: [] }
  const { source, services, hz, timeouts, repeat } = options
  const rate = options.rate === 'auto' ? undefined : options.rate
  const answer = options.rate === 'auto' ? await ask?.(maxLength) : undefined
  const pace = answer?.pace ?? paceFor(maxLength, rate)
  const totals: ResyncTotals = { messages: 0, bytes: 0, cost: 0 }
  const messages: Datagram[] = []
  const keep = (full: readonly Datagram[]): void => {
    for (const message of full) {
      totals.messages++
      totals.bytes += message.bytes.length
      totals.cost += pace.costOf(message)
      if (options.dryRun === undefined) messages.push(message)
    }
  }
  for await (const rows of readSource({ source, services, hz, timeouts, stdin }, report)) {
    bulk.addRows(rows)
    // A dry run needs no message for longer than it takes to count it.
    if (options.dryRun === true) keep(bulk.takeFull())
  }
  keep(bulk.finish())
  return {
    messages,
    totals,
    counts: bulk.counts,
    report,
    pace,
    rate,
    agents: options.rate === 'auto' ? (answer?.agents ?? 0) : undefined,
    times: repeat,
    maxLength
  }
}

/** A dry run needs no interface; without one the MTU is unknown. */
function maxLengthOf(options: ResyncOptions, settings: Sysctls): Bytes {
  const overhead = sealOverhead(options)
  if (options.syncMaxlen !== undefined) return options.syncMaxlen - overhead
  if (options.mcastInterface === undefined && options.peer.length === 0) return DEFAULT_MAXLEN_IPV4 - overhead
  const { family, mtu } = linkOf(udpOptionsOf(options, settings), settings)
  return masterSyncMaxlen(family, mtu).bytes - overhead
}

/** Outcome of a resync. */
interface ResyncOutcome {
  /** Whether every message was given to the system. */
  readonly isComplete: boolean
  /** Sends that the system refused, and the first error. */
  readonly failures: number
  readonly firstError: IpvsSyncError | undefined
}

/**
 * Sends a plan and reports the result.
 *
 * @param sender - Started and closed here.
 * @param io - The bar goes to standard error if that is a terminal; `signal` stops the resync.
 * @param clock - Its time.
 * @throws IpvsSyncError if the sockets cannot be opened.
 */
export async function sendPlan(
  plan: ResyncPlan,
  sender: SendingTransport,
  io: Io,
  clock: Clock = systemClock
): Promise<ResyncOutcome> {
  const { messages, pace, times, counts } = plan
  let failures = 0
  let firstError: IpvsSyncError | undefined
  const onError = (error: IpvsSyncError): void => {
    failures++
    firstError ??= error
  }
  await sender.start({ onError, onNotice: ({ message }) => void io.stderr.write(`ipvs-sync: ${message}\n`) })
  const begin = clock.now()
  const write = (text: string): void => {
    if (io.stderr.isTTY === true) io.stderr.write(text)
  }
  const bar = new ProgressBar(write, counts.connections * times, begin)
  try {
    const onProgress = ({ connections }: { connections: number }): void => bar.update(connections, clock.now())
    const sent = await sendBulk(messages, sender, { pace, times, clock, signal: io.signal, onProgress })
    bar.end()
    const { errors = {}, undelivered = [] } = sender.sendReport?.() ?? {}
    failures = Math.max(failures, total(Object.values(errors)))
    // A message that no peer took is not sent.
    const result = {
      messages: sent.messages - total(undelivered.map((counts) => counts.messages)),
      connections: sent.connections - total(undelivered.map(({ connections }) => connections))
    }
    io.stdout.write(`${describeResult(result, plan, clock.now() - begin, sender.description)}\n`)
    return { isComplete: sent.messages === messages.length * times, failures, firstError }
  } finally {
    await sender.close()
  }
}

function total(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0)
}

const STEP: Milliseconds = 100
const BAR = 24

/** A line on a terminal that shows how much has been sent. */
export class ProgressBar {
  readonly #write: (text: string) => void
  readonly #total: number
  readonly #begin: TimestampMs
  #next: TimestampMs

  /**
   * @param write - Writes to the terminal.
   * @param total - Connections to send, repeats included.
   * @param now - Time of the start.
   */
  constructor(write: (text: string) => void, total: number, now: TimestampMs) {
    this.#write = write
    this.#total = total
    this.#begin = now
    this.#next = now + STEP
  }

  /** Writes the line, at most every 100 ms. */
  update(done: number, now: TimestampMs): void {
    if (now < this.#next) return
    this.#next = now + STEP
    const share = done / this.#total
    const rate = (done * 1000) / (now - this.#begin)
    const bar = '#'.repeat(Math.floor(share * BAR)).padEnd(BAR, '.')
    const seconds = Math.ceil((this.#total - done) / rate)
    this.#write(
      `\r[${bar}] ${Math.floor(share * 100)} %  ${done} of ${counted(this.#total, 'connection')}, ${Math.round(rate)}/s, ${seconds} s left\u001b[K`
    )
  }

  /** Clears the line. */
  end(): void {
    this.#write('\r\u001b[K')
  }
}
