/**
 * `ipvs-sync relay`: carries the messages of a local group to other sites and back.
 *
 * @module
 */

import type { Command } from 'commander'
import { addressFamily } from '../../addresses.js'
import { KernelMirror } from '../../agent/kernel.js'
import { systemClock } from '../../daemon/clock.js'
import { IpvsSyncError } from '../../errors.js'
import { SITE_NAME } from '../../relay/frame.js'
import type { Link } from '../../relay/link.js'
import { Relay } from '../../relay/relay.js'
import { RelayTable } from '../../relay/relay-table.js'
import { LINK_PORT, UdpLink } from '../../relay/udp-link.js'
import { UdpReceiver } from '../../transport/udp-receiver.js'
import { UdpSender } from '../../transport/udp-sender.js'
import { readKeyFile } from '../../trust/keys.js'
import { explain } from '../errors.js'
import type { Io } from '../io.js'
import { addNotes } from '../notes.js'
import {
  addDaemonOptions,
  addSysctlOptions,
  collect,
  settingsOf,
  udpOptionsOf,
  type DaemonOptions,
  type SysctlOptions
} from '../options.js'
import { integerOption, parseHostPort, refuse } from '../parsers.js'

/** Longest read of the kernel's table. */
const KERNEL_LIMIT = 60_000

interface Options extends DaemonOptions, SysctlOptions {
  readonly site: string
  readonly link: readonly string[]
  readonly keyFile?: string
  readonly linkMtu: number
  readonly linkBind?: string
  readonly fleet: string
  readonly tableRate: number
  readonly streamSeconds: number
  readonly streamReplicas: number
  readonly credentials?: string
  readonly tlsCa?: string
  readonly tlsCert?: string
  readonly tlsKey?: string
}

/** Adds the options. */
export function configure(command: Command): void {
  addSysctlOptions(addDaemonOptions(command))
    .requiredOption('--site <name>', 'name of this site: a-z, 0-9 and "-"', parseName('--site'))
    .addOption(
      command
        .createOption(
          '--link <url>',
          'udp://ADDRESS[:PORT] of another relay, or nats://HOST[:PORT][,HOST…]; repeatable'
        )
        .argParser(collect)
        .default([], 'none')
        .makeOptionMandatory()
    )
    .option('--key-file <file>', 'keys that encrypt udp:// links; create one with ipvs-sync key')
    .option('--link-mtu <bytes>', 'largest IP packet of a udp:// link', integerOption('--link-mtu', 576, 9000), 1280)
    .option('--link-bind <address>', 'own address of udp:// links (default: all)', (text: string): string =>
      addressFamily(text) === 0 ? refuse('--link-bind', text, 'an IPv4 or IPv6 address') : text
    )
    .option('--fleet <name>', 'first part of NATS subjects', parseName('--fleet'), 'default')
    .option(
      '--table-rate <number>',
      'messages a second of a full table to the local group',
      integerOption('--table-rate', 1, 1_000_000),
      460
    )
    .option(
      '--stream-seconds <number>',
      'age limit of the JetStream stream for repair; 0: no stream',
      integerOption('--stream-seconds', 0, 3600),
      60
    )
    .option('--stream-replicas <number>', 'servers that hold the stream', integerOption('--stream-replicas', 1, 5), 1)
    .option('--credentials <file>', 'nkey seed or credentials file for nats:// links')
    .option('--tls-ca <file>', 'certificate authority of the NATS servers')
    .option('--tls-cert <file>', 'client certificate for the NATS servers')
    .option('--tls-key <file>', 'its private key')
  addNotes(command, {
    text: [
      'The local group is best a veth pair that nobody else can reach: the kernel’s daemons use one end, the relay the other. See docs/fleet.md.',
      'Messages arrive at the other sites byte for byte, in order by channel, and never return to their own site.'
    ],
    examples: [
      'ipvs-sync relay --mcast-interface ivs1 --site a --link udp://192.0.2.2 --key-file /etc/ipvs.key',
      'ipvs-sync relay --mcast-interface ivs1 --site b --link nats://broker.example --credentials b.creds'
    ]
  })
}

/** Relays until stopped. */
export async function execute(command: Command, io: Io): Promise<number> {
  const options = command.opts<Options>()
  const report = (text: string): void => void io.stderr.write(`ipvs-sync relay: ${text}\n`)
  const settings = await settingsOf(options)
  const udp = udpOptionsOf(options, settings)
  const relay = new Relay({
    site: options.site,
    syncid: options.syncid,
    receiver: new UdpReceiver(udp),
    sender: new UdpSender(udp),
    links: await linksOf(options),
    tableRate: options.tableRate,
    ...(options.link.some((url) => url.startsWith('nats:')) && { table: createTable(options) })
  })
  relay.on('notice', ({ message }) => report(message))
  relay.on('error', (error) => report(explain(error)))
  relay.on('listening', (description) => report(`relaying between ${description}`))
  await relay.start()
  if (!io.signal.aborted)
    await new Promise<void>((resolve) => io.signal.addEventListener('abort', () => resolve(), { once: true }))
  const { local, delivered, duplicates, lost, refused, localDropped, links } = relay.report()
  await relay.close()
  report(
    `${local} messages received from the group, ${delivered} delivered to it; ` +
      `${lost} lost on the way, ${duplicates} duplicates, ${refused} frames refused, ${localDropped} not sent`
  )
  for (const { description, framesSent, dropped } of links)
    report(`${description}: ${framesSent} frames sent, ${dropped} dropped`)
  return 0
}

/** Creates the table, which takes in the local kernel's whenever it is sent to another site. */
function createTable({ syncid }: Options): RelayTable {
  let mirror: KernelMirror | undefined
  return new RelayTable({
    syncid,
    refresh: async (table) => {
      mirror ??= new KernelMirror({
        table,
        clock: systemClock,
        files: {},
        limit: KERNEL_LIMIT,
        onLook: () => undefined,
        onRows: () => Promise.resolve()
      })
      if (mirror.plan.nextLook > systemClock.now()) return
      await mirror.look().catch((error: unknown) => {
        if (!(error instanceof IpvsSyncError) || error.code !== 'ERR_NO_IPVS') throw error
      })
    }
  })
}

/** Creates the links; only a nats:// link loads the NATS client. */
async function linksOf(options: Options): Promise<Link[]> {
  const links: Link[] = []
  for (const url of options.link) {
    const [, scheme, rest = ''] = /^([a-z]+):\/\/(.+)$/.exec(url) ?? []
    if (scheme === 'udp') links.push(udpLink(options, rest))
    else if (scheme === 'nats') links.push(await natsLink(options, rest))
    else refuse('--link', url, 'udp://ADDRESS[:PORT] or nats://HOST[:PORT]')
  }
  return links
}

function udpLink({ keyFile, linkMtu, linkBind }: Options, rest: string): Link {
  if (keyFile === undefined)
    throw new IpvsSyncError('ERR_CONFIG', 'a udp:// link needs --key-file; create a key with ipvs-sync key', {
      field: 'key-file'
    })
  const { host, port = LINK_PORT } = parseHostPort('--link', rest)
  return new UdpLink({
    address: host,
    port,
    keys: readKeyFile(keyFile),
    mtu: linkMtu,
    ...(linkBind !== undefined && { bind: linkBind })
  })
}

async function natsLink(options: Options, rest: string): Promise<Link> {
  const { site, syncid, fleet, credentials, tlsCa, tlsCert, tlsKey, streamSeconds, streamReplicas } = options
  const { NatsLink } = await import('../../relay/nats-link.js')
  const tls = {
    ...(tlsCa !== undefined && { caFile: tlsCa }),
    ...(tlsCert !== undefined && { certFile: tlsCert }),
    ...(tlsKey !== undefined && { keyFile: tlsKey })
  }
  return new NatsLink({
    servers: rest.split(','),
    fleet,
    site,
    syncid,
    stream: { seconds: streamSeconds, replicas: streamReplicas },
    ...(credentials !== undefined && { credentials }),
    ...(Object.keys(tls).length > 0 && { tls })
  })
}

function parseName(option: string): (text: string) => string {
  return (text) => (SITE_NAME.test(text) ? text : refuse(option, text, 'up to 32 of a-z, 0-9 and "-"'))
}
