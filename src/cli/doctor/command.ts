/**
 * `ipvs-sync doctor`: reports whether synchronisation works on this host, and if not, why.
 *
 * @module
 */

import { setTimeout } from 'node:timers/promises'
import { Option, type Command } from 'commander'
import type { Network } from '../../addresses.js'
import { IpvsSyncError } from '../../errors.js'
import type { Peer } from '../../transport/udp-options.js'
import { SYNC_GROUP } from '../../wire/constants.js'
import { acceptOption } from '../backup/accept-option.js'
import { fileSource } from '../decode/sources.js'
import type { Io } from '../io.js'
import { addNotes } from '../notes.js'
import { addDaemonOptions, addSysctlOptions, settingsOf, type DaemonOptions, type SysctlOptions } from '../options.js'
import { integerOption, parseListen, type HostPort } from '../parsers.js'
import { parseNetwork } from '../../addresses.js'
import { collectFacts } from './collect.js'
import { factsOfCapture } from './collect-capture.js'
import type { Facts, Wanted } from './facts.js'
import { thisHost, type Host } from './host.js'
import { judgeCapture, judgeHost } from './judge.js'
import { checklistJson, checklistText } from './print.js'

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
  const wanted = await wantedOf(options)
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

async function wantedOf(options: Options): Promise<Wanted> {
  const settings = await settingsOf(options)
  const { peer } = options
  if (options.capture === undefined && options.mcastInterface === undefined)
    throw new IpvsSyncError('ERR_CONFIG', '--mcast-interface: expected an interface name, or --capture FILE', {
      field: 'mcast-interface'
    })
  return {
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
