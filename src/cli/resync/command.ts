/**
 * `ipvs-sync resync`: the bulk transfer that the protocol lacks, for a backup that joined late.
 *
 * @module
 */

import { Option, type Command } from 'commander'
import type { IpvsSyncError } from '../../errors.js'
import { integerOption, parseTimeouts } from '../parsers.js'
import type { Io } from '../io.js'
import { addNotes } from '../notes.js'
import { addDaemonOptions, addSysctlOptions, settingsOf, udpOptionsOf, addKeyOption } from '../options.js'
import { createSender } from '../../daemon/sealing.js'
import type { SendingTransport } from '../../transport/transport.js'
import { planResync, type ResyncOptions } from './plan.js'
import { describePlan, describePrice, type ResyncPlan } from './report.js'
import { sendPlan } from './send.js'

/** Adds its options. */
export function configure(command: Command): void {
  command
    .option(
      '--source <source>',
      '"kernel" (/proc/net/ip_vs_conn), a file (JSON Lines, an agent\'s --store, or text as in /proc), or - for standard input',
      'kernel'
    )
    .option('--services <file>', 'text as in /proc/net/ip_vs, for the forwarding methods of a saved table')
    .option(
      '--rate <number>',
      'connections a second (default: safe, see below)',
      integerOption('--rate', 1, 100_000_000)
    )
    .option(
      '--repeat <times>',
      'send everything so often: UDP loses, and a repeat does no harm',
      integerOption('--repeat', 1, 1000),
      1
    )
    .option('--dry-run', 'say what would be sent and what it would cost, and send nothing')
    .addOption(new Option('--sync-version <version>', 'of the messages (default: sync_version)').choices(['0', '1']))
    .option(
      '--hz <ticks>',
      "ticks a second of the kernel's clock, in which /proc/net/ip_vs shows persistence timeouts (default: found, else 250)",
      integerOption('--hz', 1, 10_000)
    )
    .option('--timeouts <tcp,tcpfin,udp>', 'full timeouts in seconds, as ipvsadm --set took them', parseTimeouts)
  addNotes(addSysctlOptions(addKeyOption(addDaemonOptions(command))), {
    text: [
      "Templates go first. A line's timeout is sent as it is; the kernel's table shows only what is left of it, so the full one is worked out from state and service. What had to be assumed is counted and said.",
      "The default rate is 460 messages a second, 18,400 IPv4 connections: a receiver's default socket buffer (212992 bytes) holds 92 full datagrams, and half of that each 100 ms leaves room for a receiver that is busy. With a larger sync_sock_size on the receivers, --rate can be higher.",
      'Exit code: 0 all sent, 1 stopped by a signal before the end, 2 usage, 3 I/O.'
    ],
    examples: [
      'ipvs-sync resync --mcast-interface eth1 --syncid 5 --dry-run',
      'ipvs-sync resync --mcast-interface eth1 --syncid 5 --repeat 2',
      'curl -s localhost:9848/connections | ipvs-sync resync --source - --peer 10.9.0.2 --syncid 5'
    ]
  })
}

/** Reads, tells, sends, tells. */
export async function execute(command: Command, io: Io): Promise<number> {
  const options = command.opts<ResyncOptions>()
  const settings = await settingsOf(options)
  const udp = options.dryRun ? undefined : udpOptionsOf(options, settings)
  const plan = await planResync(options, settings, io.stdin)
  for (const line of describePlan(plan)) io.stdout.write(`${line}\n`)
  if (udp === undefined) {
    io.stdout.write(`${describePrice(plan)}\n`)
    return 0
  }
  return send(plan, createSender(options, { udp, syncid: options.syncid }, false), io)
}

async function send(plan: ResyncPlan, sender: SendingTransport, io: Io): Promise<number> {
  const errors: IpvsSyncError[] = []
  const complete = await sendPlan(plan, sender, io, (error) => errors.push(error))
  // What the system refused is lost; the first refusal stands for the rest.
  if (errors[0] !== undefined) throw errors[0]
  return complete ? 0 : 1
}
