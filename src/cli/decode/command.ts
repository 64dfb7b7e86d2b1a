/**
 * `ipvs-sync decode`: its arguments and help.
 *
 * @module
 */

import { Option, type Command } from 'commander'
import { IpvsSyncError } from '../../errors.js'
import { FLAG_CHECKS } from '../../wire/constants.js'
import type { Io } from '../io.js'
import { addNotes, type Notes } from '../notes.js'
import { decode, FORMATS, type DecodeSettings } from './decode.js'
import { parseEndpointPattern, type FilterOptions } from './filter.js'
import { DEFAULT_PORTS, parsePorts } from './ports-option.js'

type Options = Pick<DecodeSettings, 'interface' | 'format' | 'color' | 'flagChecks' | 'sequenceByteOrder'> &
  FilterOptions & {
    readonly ports: string
    readonly follow?: string
    readonly summary?: boolean
  }

const NOTES: Notes = {
  text: [
    'Several files are read in the order of their time: rotated captures (tcpdump -G, -C) may be named by a pattern.',
    'Filters: repeat an option for alternatives; different options must all hold. ENDPOINT is ADDRESS, NETWORK/PREFIX, ADDRESS:PORT, [IPv6]:PORT or :PORT.',
    'Exit codes: 0 no problem, or warnings only; 1 a receiver would drop or skip something, a file is damaged, or there is no sync traffic or none that matches; 2 usage; 3 a file cannot be read, or is not a capture. UDP checksums and the group that a message was sent to are not verified.'
  ],
  examples: [
    '# live: what a director announces; Ctrl-C prints a summary',
    'ipvs-sync decode -i eth1',
    '# every connection of one client',
    'ipvs-sync decode --client 10.1.0.2 sync.pcapng.gz',
    '# the history of one connection, and what a backup holds of it',
    'ipvs-sync decode --follow 10.1.0.2:38988 sync.pcap',
    '# rates, gaps and counts alone, of a rotated capture',
    'ipvs-sync decode --summary sync-*.pcap',
    '# a report to open in a browser',
    'ipvs-sync decode --format html sync.pcap > report.html'
  ]
}

const collect = (value: string, before: readonly string[] | undefined): string[] => [...(before ?? []), value]

/** Adds arguments, options and examples. */
export function configure(command: Command): void {
  const repeatable = (flags: string, text: string): void => void command.option(flags, text, collect)
  addNotes(command, NOTES)
    .argument('[files...]', 'pcap or pcapng, also compressed with gzip or zstd; - is standard input')
    .option('-i, --interface <name>', 'capture on an interface with tcpdump instead')
    .addOption(
      new Option('--format <format>', 'output format (default: table on a terminal, otherwise json)').choices(FORMATS)
    )
    .option('--summary', 'print the summary alone: counts, rates, gaps')
    .option('--follow <client:port>', "print the history of a client's connections, and what a backup holds of them")
    .option('--ports <list>', 'destination ports to read: ports and ranges, separated by commas', DEFAULT_PORTS)
  for (const name of ['client', 'virtual', 'destination'])
    repeatable(`--${name} <endpoint>`, `only connections with this ${name === 'virtual' ? 'virtual service' : name}`)
  repeatable('--state <name>', 'only connections in this state')
  repeatable('--protocol <name>', 'only connections of this protocol')
  command.option('--template', 'only templates').option('--no-template', 'no templates')
  repeatable('--syncid <id>', 'only messages with this syncid')
  repeatable('--sender <network>', 'only messages from this address or network')
  command
    .option('--from <time>', 'only messages captured at or after this time: HH:MM[:SS] of any day, or ISO 8601; UTC')
    .option('--to <time>', 'only messages captured at or before this time')
  repeatable('--problem <code>', 'only messages with this problem: a code, drop, skip, warning or any')
  command
    .addOption(
      new Option('--flag-checks <receivers>', 'generation of receivers whose checks apply (strict: the newest)')
        .choices(FLAG_CHECKS)
        .default('strict')
    )
    .addOption(
      new Option('--sequence-byte-order <order>', "byte order of version 0 sequence data (the sender's)")
        .choices(['little', 'big'])
        .default('little')
    )
    .addOption(
      new Option('--color <when>', 'colours; always for less -R; NO_COLOR is honoured')
        .choices(['auto', 'always', 'never'])
        .default('auto')
    )
}

/** Decodes captures. */
export async function execute(command: Command, io: Io): Promise<number> {
  const { ports, follow, summary, interface: networkInterface, ...options } = command.opts<Options>()
  const files = command.args
  if (networkInterface !== undefined && files.length > 0)
    throw new IpvsSyncError('ERR_USAGE', 'decode: expected files or --interface, got both')
  if (networkInterface === undefined && files.length === 0 && io.stdin.isTTY === true)
    throw new IpvsSyncError('ERR_USAGE', 'decode: expected a capture file, - or --interface; see decode --help')
  if (follow !== undefined && parseEndpointPattern('--follow', follow).port === undefined)
    throw new IpvsSyncError('ERR_CONFIG', `--follow: expected CLIENT:PORT, got "${follow}"`, { field: 'follow' })
  const isLive = networkInterface !== undefined || files.length === 0 || files.includes('-')
  const settings: DecodeSettings = {
    ...options,
    files: files.length === 0 && networkInterface === undefined ? ['-'] : files,
    interface: networkInterface,
    ports: parsePorts(ports),
    filter: follow === undefined ? options : { ...options, client: [...(options.client ?? []), follow] },
    isFollowing: follow !== undefined,
    isSummary: summary
  }
  // A handler for signals is only installed where there is something left to print.
  return decode(
    settings,
    isLive
      ? io
      : {
          get stdin() {
            return io.stdin
          },
          stdout: io.stdout,
          stderr: io.stderr,
          env: io.env
        }
  )
}
