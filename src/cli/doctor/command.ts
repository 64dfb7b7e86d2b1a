/**
 * `ipvs-sync doctor`: reports whether synchronisation works on this host, and if not, why.
 *
 * @module
 */

import { type Command, Option } from 'commander'
import { setTimeout } from 'node:timers/promises'
import { type Network, parseNetwork } from '../../addresses.js'
import { acceptOption } from '../backup/accept-option.js'
import { fileSource } from '../decode/sources.js'
import { collectFacts, factsOfCapture } from './collect.js'
import type { Check, Facts, Verdict, Wanted, Judge } from './facts.js'
import { type Host, thisHost } from './host.js'
import type { Io } from '../io.js'
import { addNotes } from '../notes.js'
import { addDaemonOptions, addSysctlOptions, type DaemonOptions, settingsOf, type SysctlOptions } from '../options.js'
import { type HostPort, integerOption, parseListen } from '../parsers.js'
import { IpvsSyncError } from '../../errors.js'
import { counted } from '../../text.js'
import type { Peer } from '../../transport/udp-options.js'
import { SYNC_GROUP } from '../../wire/constants.js'
import { printable } from '../../wire/terminal-text.js'
import {
  judgeBuffers,
  judgeClock,
  judgeDaemon,
  judgeDaemons,
  judgeIpvs,
  judgeKeepalived,
  judgeServices,
  judgeSockets,
  judgeSysctls,
  judgeTable
} from './judge-host.js'
import {
  judgeDelivery,
  judgeFirewall,
  judgeFragments,
  judgeGroup,
  judgeInterface,
  judgeReversePath,
  judgeAccepted,
  judgeAgents,
  judgeMessages,
  judgePorts,
  judgeRivals,
  judgeSenders
} from './judge-link.js'

interface Options extends DaemonOptions, SysctlOptions {
  readonly accept: readonly string[]
  readonly seconds: number
  readonly capture?: string
  readonly http?: HostPort
  readonly format: 'text' | 'json'
}

/** Adds its options. */
export function configure(command: Command): void {
  addSysctlOptions(addDaemonOptions(command))
    .addOption(acceptOption('senders that the backup accepts'))
    .option('--seconds <number>', 'observe the link for this many seconds', integerOption('--seconds', 1, 3600), 10)
    .option('--capture <file>', 'check a capture instead of this host; - is standard input')
    .option('--http <[host:]port>', 'also query a running daemon here', (text) => parseListen('--http', text))
    .addOption(new Option('--format <format>', 'how to print').choices(['text', 'json']).default('text'))
  addNotes(command, {
    text: [
      'Run it on either director. It reads only: it joins the group to receive, sends nothing but IGMP reports, and changes no setting. Use the options of the backup. As root it also reads firewall rules and captures with tcpdump; a check that lacks a right names it.',
      'Exit codes: 0 no problem, 1 at least one problem, 2 usage, 3 the capture cannot be read.'
    ],
    examples: [
      'ipvs-sync doctor --mcast-interface eth1 --syncid 5',
      'ipvs-sync doctor --capture sync.pcap --syncid 5',
      'ipvs-sync doctor --mcast-interface eth1 --format json | jq -r \'.checks[] | .verdict + " " + .code\''
    ]
  })
}

/** Checks, prints, and returns 1 where there is a problem. */
export async function execute(command: Command, io: Io, host: Host = thisHost): Promise<number> {
  const options = command.opts<Options>()
  const settings = await settingsOf(options)
  const { peer } = options
  if (options.capture === undefined && options.mcastInterface === undefined)
    throw new IpvsSyncError('ERR_CONFIG', '--mcast-interface: expected an interface name, or --capture FILE', {
      field: 'mcast-interface'
    })
  const wanted = {
    interfaceName: options.mcastInterface,
    syncid: options.syncid,
    group: options.mcastGroup ?? SYNC_GROUP,
    port: peer.find(({ port }: Peer) => port !== undefined)?.port ?? options.mcastPort,
    channels: settings.syncPorts,
    maxlen: options.syncMaxlen,
    peers: peer.map(({ address }) => address),
    accept: options.accept
      .map((text) => parseNetwork(text))
      .filter((network): network is Network => network !== undefined),
    seconds: options.seconds
  }
  const { capture } = options
  const checks =
    capture === undefined
      ? judgeHost(await collect(options, wanted, io, host))
      : judgeCapture(await factsOfCapture(capture === '-' ? io.stdin : fileSource(capture).chunks, wanted))
  const isTerminal = io.stdout.isTTY === true
  io.stdout.write(
    options.format === 'json'
      ? checklistJson(checks)
      : checklistText(
          checks,
          isTerminal && io.env['NO_COLOR'] === undefined,
          isTerminal ? ((io.stdout as { readonly columns?: number }).columns ?? 80) : Infinity
        )
  )
  return checks.some(({ verdict }) => verdict === 'problem') ? 1 : 0
}

async function collect({ http }: Options, wanted: Wanted, io: Io, host: Host): Promise<Facts> {
  if (io.stderr.isTTY === true)
    io.stderr.write(`ipvs-sync doctor: observing ${wanted.interfaceName ?? ''} for ${wanted.seconds} s\n`)
  return collectFacts({
    wanted,
    host,
    http:
      http === undefined ? undefined : `${http.host.includes(':') ? `[${http.host}]` : http.host}:${http.port ?? 0}`,
    wait: async (seconds) => {
      await setTimeout(seconds * 1000, undefined, { signal: io.signal }).catch(() => undefined)
    },
    now: () => Date.now()
  })
}

/** Words of the verdicts, and their colours on a terminal. */
const VERDICTS: Readonly<Record<Verdict, { readonly word: string; readonly color: number }>> = {
  ok: { word: 'ok', color: 32 },
  warning: { word: 'warning', color: 33 },
  problem: { word: 'problem', color: 31 },
  unchecked: { word: 'not checked', color: 2 }
}

/** Columns of verdict and code before the text of a check. */
const INDENT = 37
/** Least width in which wrapped lines stand below the text; in a narrower terminal they stand below the code. */
const WIDE = 100
const NARROW_INDENT = 12

/**
 * Returns the checklist: problems and their remedy stand out, and a last line sums up.
 *
 * @param columns - Width of the terminal, in which lines are wrapped; Infinity for a file or a pipe.
 */
export function checklistText(checks: readonly Check[], hasColor: boolean, columns: number): string {
  const indent = columns >= WIDE ? INDENT : NARROW_INDENT
  const lines = checks.flatMap(({ code, verdict, text, advice }) => {
    const { word, color } = VERDICTS[verdict]
    const label = word.padEnd(12)
    const shown = hasColor ? `\u001b[${color}m${label}\u001b[0m` : label
    const line = `${shown}${wrap(`${code.padEnd(24)} ${safe(text)}`, 12, indent, columns)}`
    if (advice === undefined) return [line]
    return [line, `${' '.repeat(indent)}${wrap(`-> ${safe(advice)}`, indent, indent + 3, columns)}`]
  })
  return `${lines.join('\n')}\n\n${summaryText(checks)}\n`
}

/** Breaks a text between words: it begins at a column, and its further lines are indented. */
function wrap(text: string, start: number, indent: number, columns: number): string {
  let column = start
  let wrapped = ''
  for (const word of text.split(/(?<= )(?=\S)/)) {
    if (column + word.trimEnd().length > columns && column > indent) {
      wrapped = `${wrapped.trimEnd()}\n${' '.repeat(indent)}`
      column = indent
    }
    wrapped += word
    column += word.length
  }
  return wrapped
}

/** Addresses and numbers are ours; what comes from files of the host may hold anything. */
function safe(text: string): string {
  return printable(text.replaceAll('’', "'"))
}

/** Returns one line: `1 problem, 0 warnings, 12 ok, 9 not checked`. */
export function summaryText(checks: readonly Check[]): string {
  const count = (wanted: Verdict): number => checks.filter(({ verdict }) => verdict === wanted).length
  return `${counted(count('problem'), 'problem')}, ${counted(count('warning'), 'warning')}, ${count('ok')} ok, ${count('unchecked')} not checked`
}

/** Returns one JSON document: `{ "checks": [ { "code", "verdict", "text", "advice" } ], "problems": 1, "warnings": 0 }`. */
export function checklistJson(checks: readonly Check[]): string {
  const count = (wanted: Verdict): number => checks.filter(({ verdict }) => verdict === wanted).length
  return `${JSON.stringify({ problems: count('problem'), warnings: count('warning'), checks })}\n`
}

/** Judges of what a capture can show. */
const CAPTURE: readonly Judge[] = [
  judgeSenders,
  judgePorts,
  judgeDelivery,
  judgeFragments,
  judgeAccepted,
  judgeRivals,
  judgeMessages,
  judgeAgents
]

/** Judges of a live host. */
const LIVE: readonly Judge[] = [
  judgeInterface,
  judgeGroup,
  judgeFirewall,
  judgeReversePath,
  judgeSockets,
  judgeBuffers,
  ...CAPTURE,
  judgeIpvs,
  judgeDaemons,
  judgeSysctls,
  judgeServices,
  judgeTable,
  judgeKeepalived,
  judgeDaemon,
  judgeClock
]

/** Judges the facts of a live host. */
export function judgeHost(facts: Facts): readonly Check[] {
  return LIVE.flatMap((judge) => judge(facts))
}

/** Judges the facts of a capture. */
function judgeCapture(facts: Facts): readonly Check[] {
  return CAPTURE.flatMap((judge) => judge(facts))
}
