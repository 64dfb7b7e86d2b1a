/**
 * `ipvs-sync decode`: its arguments and help.
 *
 * @module
 */

import { Option, type Command } from 'commander'
import { IpvsSyncError } from '../../errors.js'
import type { Io } from '../io.js'
import { decode, FORMATS, type DecodeSettings } from './decode.js'
import { DEFAULT_PORTS, parsePorts } from './ports-option.js'

type Options = Omit<DecodeSettings, 'file' | 'ports'> & { readonly ports: string }

const EXAMPLES = `
Examples:
  See live what a director announces, as it does:
    tcpdump -i eth1 -U -w - host 224.0.0.81 | ipvs-sync decode -
  Find every connection of one client in yesterday's capture:
    ipvs-sync decode --format json sync.pcapng.gz | jq -c '.connections[] | select(.client.address == "10.1.0.2")'
  See why a backup takes nothing from a group on another port (exit code 1: something is dropped or skipped):
    ipvs-sync decode --ports 9000-9003 --format table sync.pcap

Exit codes: 0 all is well or only warned of; 1 a receiver would drop or skip something, or the file is damaged; 2 usage;
3 the file cannot be read, or is no capture. Not checked: UDP checksums, and the group that a message was sent to.`

/** Adds arguments, options and examples. */
export function configure(command: Command): void {
  command
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
    .addHelpText('after', EXAMPLES)
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
