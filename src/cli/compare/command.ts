/**
 * `ipvs-sync compare`: its arguments and help.
 *
 * @module
 */

import { Option, type Command } from 'commander'
import { IpvsSyncError } from '../../errors.js'
import { networkHolds } from '../../addresses.js'
import { parseEndpointPattern, type EndpointPattern } from '../decode/filter.js'
import { DEFAULT_PORTS, parsePorts } from '../decode/ports-option.js'
import { timeWindow } from '../decode/time-window.js'
import { fileSource } from '../decode/sources.js'
import type { Io } from '../io.js'
import { addNotes, type Notes } from '../notes.js'
import { compareSides, isDifferent, type Comparison, type Difference } from './compare.js'
import { readSide, type Side, type SideMessage } from './side.js'
import { counted } from '../../text.js'
import { Tally } from '../decode/tally.js'

interface Options {
  readonly format: 'text' | 'json'
  readonly ports: string
  readonly all?: boolean
  readonly from?: string
  readonly to?: string
  readonly client?: readonly string[]
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
    "# why one client's connections are missing on the backup",
    'ipvs-sync compare --client 10.1.0.2 master.pcap backup.pcap',
    '# why connections are missing in the table of the backup',
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
    .option(
      '--client <endpoint>',
      'only connections with this client: ADDRESS, NETWORK/PREFIX, ADDRESS:PORT or :PORT; repeatable',
      (value, before: readonly string[] | undefined) => [...(before ?? []), value]
    )
    .option('--all', 'list every difference, not only the first 20 of a kind')
}

/** Compares, prints, and returns 1 where anything differs. */
export async function execute(command: Command, io: Io): Promise<number> {
  const { format, ports, all = false, from, to, client = [] } = command.opts<Options>()
  const [master = '', backup = ''] = command.args
  if (master === '-' && backup === '-')
    throw new IpvsSyncError('ERR_USAGE', 'compare: expected two different sources, got standard input twice')
  const wanted = parsePorts(ports)
  const clients = client.map((text) => parseEndpointPattern('--client', text))
  const read = async (path: string): ReturnType<typeof readSide> => {
    const { name, chunks } =
      path === '-' ? { name: 'standard input', chunks: io.stdin as AsyncIterable<Uint8Array> } : fileSource(path)
    return onlyClients(await readSide(name, chunks, wanted), clients)
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

/** Reduces a side to the connections of some clients, and to the messages that announced them. */
function onlyClients(side: Side, patterns: readonly EndpointPattern[]): Side {
  if (patterns.length === 0) return side
  const connections = new Map(
    [...side.connections].filter(
      ([
        ,
        {
          client: { address, port }
        }
      ]) =>
        patterns.some(
          (pattern) =>
            (pattern.port ?? port) === port && (pattern.network === undefined || networkHolds(pattern.network, address))
        )
    )
  )
  const messages = side.messages
    .map((message) => ({ ...message, keys: message.keys.filter((key) => connections.has(key)) }))
    .filter(({ keys }) => keys.length > 0)
  return { ...side, connections, messages }
}

/** Differences of one kind that are listed, unless all are wanted. */
const SHOWN = 20

/** The comparison, line by line. */
function reportLines(first: Side, second: Side, comparison: Comparison, isComplete: boolean): string[] {
  const { missingMessages, extraMessages, comparedMessages, sharedMessages, clockOffsetMs } = comparison
  const most = isComplete ? Infinity : SHOWN
  const lines: string[] = []
  if (missingMessages === undefined || extraMessages === undefined)
    lines.push('messages: not compared (a table holds none)')
  else {
    lines.push(
      `${second.name} lacks ${counted(missingMessages.length, 'message')} (${counted(
        missingMessages.reduce((sum, { keys }) => sum + keys.length, 0),
        'record'
      )}) of ${comparedMessages[0]}`,
      ...messageLines(missingMessages)
    )
    if (extraMessages.length > 0)
      lines.push(
        `${first.name} lacks ${counted(extraMessages.length, 'message')} of ${comparedMessages[1]}`,
        ...messageLines(extraMessages)
      )
    const offset = clockOffsetMs === undefined ? 'unknown' : `${(clockOffsetMs / 1000).toFixed(6)} s`
    lines.push(
      `clock of ${second.name} less clock of ${first.name}: ${offset} (${counted(sharedMessages, 'shared message')})`
    )
  }
  const { differences, extraConnections, sameConnections } = comparison
  lines.push(
    `${counted(differences.length, 'connection')} of ${differences.length + sameConnections} missing or different on ${second.name}; ${sameConnections} the same`
  )
  for (const [reason, count] of tallyOf(
    differences.map(({ code, reason }) => (code === 'destination' ? 'other destination' : reason))
  ))
    lines.push(`  ${count}  ${reason}`)
  lines.push(...differences.slice(0, most).map(({ key, reason }: Difference): string => `  ${key}: ${reason}`))
  if (differences.length > most) lines.push(`  … and ${differences.length - most} more; --all lists them`)
  if (extraConnections.length > 0) {
    lines.push(`${counted(extraConnections.length, 'connection')} on ${second.name} alone`)
    lines.push(...extraConnections.slice(0, most).map((key) => `  ${key}`))
    if (extraConnections.length > most) lines.push(`  … and ${extraConnections.length - most} more; --all lists them`)
  }
  return lines
}

/** The comparison as one value. */
function reportJson(first: Side, second: Side, comparison: Comparison): object {
  const { missingMessages, extraMessages, clockOffsetMs, ...rest } = comparison
  const plain = (messages: readonly SideMessage[] | undefined): object[] | null =>
    messages?.map(({ ms, sender, port, keys }) => ({ time: isoText(ms), sender, port, connections: keys })) ?? null
  return {
    first: first.name,
    second: second.name,
    missingMessages: plain(missingMessages),
    extraMessages: plain(extraMessages),
    clockOffsetSeconds: clockOffsetMs === undefined ? null : clockOffsetMs / 1000,
    ...rest
  }
}

/** By port and sender, with the time of the first and the last. */
function messageLines(messages: readonly SideMessage[]): string[] {
  const groups = new Map<string, SideMessage[]>()
  for (const message of messages) {
    const name = `port ${message.port} from ${message.sender}`
    const group = groups.get(name)
    if (group === undefined) groups.set(name, [message])
    else group.push(message)
  }
  return [...groups].map(([name, group]) => {
    const times = group.flatMap(({ ms }) => (ms === undefined ? [] : [ms]))
    const [from, to] = [
      times.reduce((least, ms) => Math.min(least, ms), Infinity),
      times.reduce((most, ms) => Math.max(most, ms), -Infinity)
    ]
    const span = times.length === 0 ? '' : `, ${isoText(from)!} to ${isoText(to)!}`
    return `  ${name}: ${counted(group.length, 'message')}${span}`
  })
}

function isoText(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString()
}

function tallyOf(values: readonly string[]): (readonly [string, number])[] {
  const tally = new Tally()
  for (const value of values) tally.add(value)
  return tally.sorted()
}
