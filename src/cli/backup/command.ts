/**
 * `ipvs-sync backup`: keeps the table that masters announce.
 *
 * @module
 */

import { Option, type Command } from 'commander'
import { counted, escapeControls } from '../../text.js'
import type { BackupCounters } from '../../engine/backup/counters.js'
import type { ConnectionEvent } from '../../engine/events.js'
import { systemClock } from '../../daemon/clock.js'
import { SyncBackup } from '../../daemon/backup/sync-backup.js'
import { MAX_CHANNELS } from '../../wire/constants.js'
import { EXIT_IO } from '../errors.js'
import type { Io } from '../io.js'
import { addNotes } from '../notes.js'
import { settingsOf, addKeyOption } from '../options.js'
import { integerOption } from '../parsers.js'
import {
  aborted,
  addServiceOptions,
  runService,
  syncOptionsOf,
  reporterOf,
  tellOn,
  type ServiceOptions
} from '../service.js'
import { acceptOption } from './accept-option.js'
import type { Writable } from 'node:stream'

interface Options extends ServiceOptions {
  readonly accept: readonly string[]
  readonly format?: 'json'
  readonly workers?: number
}

/** Adds its options. */
export function configure(command: Command): void {
  addKeyOption(addServiceOptions(command), true)
    .addOption(acceptOption('accept messages of these senders only'))
    .option(
      '--workers <number>',
      'number of threads that share the channels of sync_ports',
      integerOption('--workers', 0, MAX_CHANNELS)
    )
    .addOption(new Option('--format <format>', 'print each change of a connection as a line of JSON').choices(['json']))
  addNotes(command, {
    text: [
      'Anyone who can send to the group can create connections; restrict senders with --accept. With --peer it listens on those addresses that are its own; if none is, it accepts messages of those peers only.'
    ],
    examples: [
      'ipvs-sync backup --mcast-interface eth1 --syncid 5 --accept 10.9.0.0/24 --http 9848',
      'ipvs-sync backup --mcast-interface eth1 --format json | jq -r .client.address'
    ]
  })
}

/** Runs until stopped. */
export async function execute(command: Command, io: Io): Promise<number> {
  const options = command.opts<Options>()
  const settings = await settingsOf(options, { onFact: tellOn(io, 'backup') })
  const backup = new SyncBackup({
    ...syncOptionsOf(options, settings),
    syncid: options.syncid,
    ...(options.accept.length > 0 && { accept: options.accept }),
    ...(options.workers !== undefined && { workers: options.workers })
  })
  // Told to end it closes after its work; before that it closes by itself alone, when a worker has broken down.
  const broken = new Promise<number>((resolve) => backup.once('close', () => resolve(EXIT_IO)))
  const reporter = reporterOf(io, 'backup')
  backup.on('problem', ({ problem, from }) => {
    const text = `${from.address}: ${problem.code}, ${problem.severity}: ${problem.message}`
    reporter.report(problem.code, text, systemClock.now())
  })
  const lines = options.format === 'json' ? printChanges(backup, io) : undefined
  lines?.onFault(({ message }) => reporter.reportOnce('ERR_IO', `standard output: ${message}`, systemClock.now()))
  return runService(
    {
      name: 'backup',
      daemon: backup,
      roles: { backup },
      options,
      work: async (tell) => {
        const code = await Promise.race([aborted(io.signal).then(() => 0), broken])
        if (lines !== undefined && lines.lost > 0)
          tell(`${counted(lines.lost, 'line')} lost: standard output could not take them`)
        return code
      },
      summary: () => summaryOf(backup)
    },
    io,
    reporter
  )
}

function printChanges(backup: SyncBackup, io: Io): LineWriter {
  const lines = new LineWriter(io.stdout)
  const print = ({ change, connection }: ConnectionEvent): void =>
    lines.write(escapeControls(JSON.stringify({ change, ...connection })))
  backup.on('connection', print)
  backup.on('expired', print)
  return lines
}

/** What a backup says at its end. */
export function summaryOf(backup: {
  readonly size: number
  readonly counters: () => Pick<BackupCounters, 'applied' | 'dropped' | 'skipped' | 'received' | 'eventsLost'>
  readonly receiveDrops: () => number | undefined
}): string {
  const { applied, dropped, skipped, received, eventsLost } = backup.counters()
  const messages = received.reduce((sum, [one, other]) => sum + one + other, 0)
  const drops = backup.receiveDrops() ?? 0
  return (
    `${counted(messages, 'message')}, ${sum(dropped)} dropped; ${counted(applied, 'record')} applied, ${sum(skipped)} skipped; ` +
    `${counted(backup.size, 'connection')} in the table${drops > 0 ? `; ${counted(drops, 'message')} lost to a full receive buffer` : ''}` +
    (eventsLost > 0 ? `; ${counted(eventsLost, 'event')} lost: listeners are slower than the workers` : '')
  )
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0)
}

/** Text that may wait for the reader, in bytes. */
const MOST_WAITING = 16 * 1024 * 1024

/** Writes lines; those for which there is no room are left out and counted: what the network sends must not fill memory. */
export class LineWriter {
  /** Lines that were left out. */
  lost = 0
  readonly #out: Writable
  readonly #most: number

  /**
   * @param out - Where the lines go.
   * @param most - Bytes that may wait there.
   */
  constructor(out: Writable, most = MOST_WAITING) {
    this.#out = out
    this.#most = most
  }

  /** Calls back at each failed write, as on a full disk, whose lines are lost. Without it a failure ends the command. */
  onFault(report: (error: Error) => void): void {
    this.#out.on('error', (error) => {
      this.lost++
      report(error)
    })
  }

  /** Writes a line, given without its end. */
  write(line: string): void {
    if (this.#out.writableLength >= this.#most) this.lost++
    else this.#out.write(`${line}\n`)
  }
}
