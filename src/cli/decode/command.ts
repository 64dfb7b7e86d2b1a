/**
 * `ipvs-sync decode`: its arguments and help.
 *
 * @module
 */

import { Option, type Command } from 'commander'
import { IpvsSyncError } from '../../errors.js'
import type { Io } from '../io.js'
import { addNotes, type Notes } from '../notes.js'
import { decode, FORMATS, type DecodeSettings } from './decode.js'
import { DEFAULT_PORTS, parsePorts } from './ports-option.js'

type Options = Omit<DecodeSettings, 'file' | 'ports'> & { readonly ports: string }

const NOTES: Notes = {
  text: [
    'Exit codes: 0 all is well or only warned of; 1 a receiver would drop or skip something, or the file is damaged; 2 usage; 3 the file cannot be read, or is no capture. Not checked: UDP checksums, and the group that a message was sent to.'
  ],
  examples: [
    '# live, what a director announces',
    'tcpdump -i eth1 -U -w - host 224.0.0.81 | ipvs-sync decode -',
    '# every connection of one client',
    'ipvs-sync decode --format json sync.pcapng.gz |',
    '  jq -c \'.connections[] | select(.client.address == "10.1.0.2")\'',
    '# why a backup takes nothing from another port',
    'ipvs-sync decode --ports 9000-9003 --format table sync.pcap'
  ]
}

/** Adds arguments, options and examples. */
export function configure(command: Command): void {
  addNotes(command, NOTES)
    .argument('[file]', 'pcap or pcapng, also in gzip; - is standard input')
    .addOption(
      new Option('--format <format>', 'how to print (default: table on a terminal, else json)').choices(FORMATS)
    )
    .option('--ports <list>', 'destination ports to look at: ports and ranges, with commas', DEFAULT_PORTS)
    .addOption(
      new Option('--flag-checks <receivers>', 'judge as the newest receivers, or as those up to Linux 6.1.188')
        .choices(['strict', 'legacy'])
        .default('strict')
    )
    .addOption(
      new Option('--sequence-byte-order <order>', "of version 0's sequence data: that of the sending director")
        .choices(['little', 'big'])
        .default('little')
    )
    .addOption(
      new Option('--color <when>', 'colour the table; NO_COLOR is honoured')
        .choices(['auto', 'always', 'never'])
        .default('auto')
    )
}

/** Decodes a capture. */
export async function execute(command: Command, io: Io): Promise<number> {
  const { ports, ...options } = command.opts<Options>()
  const [file] = command.args
  if (file === undefined && io.stdin.isTTY === true) {
    throw new IpvsSyncError('ERR_USAGE', 'decode: name a capture file, or - for standard input; see decode --help')
  }
  return decode({ ...options, file: file ?? '-', ports: parsePorts(ports) }, io)
}
