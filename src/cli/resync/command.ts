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
import { addDaemonOptions, addSysctlOptions, settingsOf, udpOptionsOf, addKeyOption } from '../options.js'
import { createReceiver, createSender } from '../../daemon/sealing.js'
import { askForPace } from './auto-rate.js'
import { planResync, type ResyncOptions } from './plan.js'
import { describeCost, describePlan } from './report.js'
import { sendPlan } from './send.js'

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
