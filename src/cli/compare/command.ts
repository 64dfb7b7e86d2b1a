/**
 * `ipvs-sync compare`: its arguments and help.
 *
 * @module
 */

import { Option, type Command } from 'commander'
import { IpvsSyncError } from '../../errors.js'
import { DEFAULT_PORTS, parsePorts } from '../decode/ports-option.js'
import { timeWindow } from '../decode/time-window.js'
import { fileSource } from '../decode/sources.js'
import type { Io } from '../io.js'
import { addNotes, type Notes } from '../notes.js'
import { compareSides, isDifferent } from './compare.js'
import { reportJson, reportLines } from './report.js'
import { readSide } from './side.js'

interface Options {
  readonly format: 'text' | 'json'
  readonly ports: string
  readonly all?: boolean
  readonly from?: string
  readonly to?: string
}

const NOTES: Notes = {
  text: [
    'MASTER and BACKUP are each a capture (pcap, pcapng, compressed or not), JSON Lines (decode --format json, backup --format json, /connections), the text of /proc/net/ip_vs_conn or ip_vs_conn_sync, or the output of ipvsadm -Lnc; one of them may be - for standard input.',
    'Exit codes: 0 nothing differs (connections that have expired since do not count); 1 something differs; 2 usage; 3 a file cannot be read.'
  ],
  examples: [
    '# what was lost between two hosts',
    'ipvs-sync compare master.pcap backup.pcap',
    '# what was lost in three minutes',
    'ipvs-sync compare --from 10:02 --to 10:05 master.pcap backup.pcap',
    '# why connections are missing on the backup',
    'ipvs-sync compare master.pcap backup.ip_vs_conn_sync'
  ]
}

/** Adds arguments, options and examples. */
export function configure(command: Command): void {
  addNotes(command, NOTES)
    .argument('<master>', 'what the master sent, or holds')
    .argument('<backup>', 'what the backup received, or holds')
    .addOption(new Option('--format <format>', 'output format').choices(['text', 'json']).default('text'))
    .option('--ports <list>', 'destination ports to read in captures', DEFAULT_PORTS)
    .option(
      '--from <time>',
      'only what MASTER announced at or after this time: HH:MM[:SS] of any day, or ISO 8601; UTC'
    )
    .option('--to <time>', 'only what MASTER announced at or before this time')
    .option('--all', 'list every difference, not only the first 20 of a kind')
}

/** Compares, prints, and returns 1 where anything differs. */
export async function execute(command: Command, io: Io): Promise<number> {
  const { format, ports, all = false, from, to } = command.opts<Options>()
  const [master = '', backup = ''] = command.args
  if (master === '-' && backup === '-')
    throw new IpvsSyncError('ERR_USAGE', 'compare: expected two different sources, got standard input twice')
  const wanted = parsePorts(ports)
  const read = async (path: string): ReturnType<typeof readSide> => {
    const { name, chunks } =
      path === '-' ? { name: 'standard input', chunks: io.stdin as AsyncIterable<Uint8Array> } : fileSource(path)
    return readSide(name, chunks, wanted)
  }
  const first = { ...(await read(master)), name: 'master' }
  const second = { ...(await read(backup)), name: 'backup' }
  const isWithin = from === undefined && to === undefined ? undefined : timeWindow(from, to)
  const comparison = compareSides(first, second, isWithin)
  io.stdout.write(
    format === 'json'
      ? `${JSON.stringify(reportJson(first, second, comparison))}\n`
      : `${reportLines(first, second, comparison, all).join('\n')}\n`
  )
  return isDifferent(comparison) ? 1 : 0
}
