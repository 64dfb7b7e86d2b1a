/**
 * `ipvs-sync explain`: one client's connections packet by packet, and whether they would survive a failover now.
 *
 * @module
 */
import type { Command } from 'commander'
import { formatIpv4, formatIpv6, parseAddress } from '../../addresses.js'
import { connectionValue, type Connection } from '../../director/connection.js'
import { foldWords, type Packet } from '../../director/packet.js'
import { reasonText, type Outcome } from '../../director/outcome.js'
import type { TimestampMs } from '../../units.js'
import { PROTOCOL, stateName } from '../../wire/protocols.js'
import type { Io } from '../io.js'
import { addNotes } from '../notes.js'
import { parseHostPort, refuse } from '../parsers.js'
import { addInputOptions, readInputs, type InputOptions } from '../simulate/inputs.js'
import { simulate } from '../simulate/run.js'
import type { Timelines } from '../simulate/timelines.js'
import type { MasterAnswer } from '../../engine/index.js'

/** Adds arguments, options and examples. */
export function configure(command: Command): void {
  addInputOptions(command)
    .argument('<client>', 'ADDRESS or ADDRESS:PORT of a client; IPv6 as [ADDRESS]:PORT')
    .argument('[capture...]', 'pcap or pcapng, also in gzip; - is standard input')
  addNotes(command, {
    text: [
      'Each packet is a line: time, direction, event, state, packet counter, timeout, and the decision to announce it with the variable of net.ipv4.vs that would change it.',
      'Exit codes: 0 the client was found; 1 no packet of it; 2 usage; 3 a file cannot be read, or is not a capture.'
    ],
    examples: ['ipvs-sync explain 10.1.0.2:38988 --services ip_vs.txt --sysctl-from kernel clients.pcap']
  })
}

/** What is looked for. */
interface Client {
  readonly family: 4 | 6
  readonly address: number
  readonly port: number | undefined
}

/** Explains one client. */
export async function execute(command: Command, io: Io): Promise<number> {
  const options = command.opts<InputOptions>()
  const [name = '', ...captures] = command.args
  const { host, port } = parseHostPort('client', name)
  const words = [0, 0, 0, 0]
  const family = parseAddress(host, words)
  const client =
    family === 0
      ? refuse('client', name, 'ADDRESS or ADDRESS:PORT, IPv6 as [ADDRESS]:PORT')
      : { family, address: family === 4 ? words[0]! : foldWords(words), port }
  const inputs = await readInputs(options, captures)
  for (const note of inputs.notes) io.stderr.write(`ipvs-sync: ${note}\n`)
  const seen = new Set<Connection>()
  let [packets, replies, firstMs] = [0, 0, NaN]
  const onPacket = (outcome: Outcome, packet: Packet, now: TimestampMs): void => {
    if (!isOf(client, outcome, packet)) return
    if (Number.isNaN(firstMs)) firstMs = now
    packets++
    if (outcome.direction === 'out') replies++
    if (outcome.connection !== undefined) seen.add(outcome.connection)
    io.stdout.write(`${packetLine(outcome, packet, (now - firstMs) / 1000)}\n`)
  }
  const { timelines, lastMs } = await simulate(inputs, { settings: inputs.settings, loss: 0, seed: 1, onPacket }, io)
  if (packets === 0) {
    io.stderr.write(`ipvs-sync: no packet of ${name} in the captures\n`)
    return 1
  }
  io.stdout.write('\n')
  for (const connection of seen) io.stdout.write(`${verdictLine(connection, timelines, lastMs)}\n`)
  if (replies === 0)
    io.stdout.write(
      'No reply was captured: with NAT the states after the first packets can differ from the director’s.\n'
    )
  return 0
}

function isOf({ family, address, port }: Client, { connection }: Outcome, packet: Packet): boolean {
  if (packet.family !== family) return false
  if (connection !== undefined)
    return connection.client === address && (port === undefined || connection.clientPort === port)
  return packet.source === address && (port === undefined || packet.sourcePort === port)
}

function packetLine(outcome: Outcome, packet: Packet, seconds: number): string {
  const { connection, direction, verdict, reason, isNew, rescheduled, stateBefore, stateAfter } = outcome
  const { text, sysctl } = reasonText(reason)
  const head = [seconds.toFixed(3).padStart(9), (direction ?? '-').padEnd(3), eventOf(packet).padEnd(8)]
  const why = `${verdict}: ${text}${sysctl === undefined ? '' : ` (${sysctl})`}`
  if (connection === undefined || direction === undefined) return [...head, `${ends(packet)}  ${why}`].join(' ')
  const name = (state: number): string => stateName(connection.protocol, connection.template, state)
  const state = isNew || stateBefore === stateAfter ? name(stateAfter) : `${name(stateBefore)} -> ${name(stateAfter)}`
  const notes = [
    ...(isNew ? ['opened'] : []),
    ...(rescheduled === undefined ? [] : [RESCHEDULED[rescheduled]]),
    ...(reason === 'icmp-path-mtu' || reason === 'icmp-error' || reason === 'bypass' ? [why] : []),
    decisionText(outcome)
  ]
  const figures = `packet ${connection.packets}, timeout ${Math.floor(connection.timeoutMs / 1000)} s`
  return [...head, state.padEnd(26), figures.padEnd(28), notes.join('; ')].join(' ')
}

const RESCHEDULED = {
  'port-reuse': 'old connection of this port ended (conn_reuse_mode)',
  'weight-zero': 'old connection of a server with weight 0 ended (expire_nodest_conn)',
  'server-removed': 'old connection of a removed server ended (expire_nodest_conn)'
} as const

function eventOf({ protocol, signal }: Packet): string {
  if (protocol === PROTOCOL.TCP)
    return (
      TCP_FLAGS.filter(([bit]) => (signal & bit) !== 0)
        .map(([, name]) => name)
        .join('+') || 'no flags'
    )
  if (protocol === PROTOCOL.SCTP) return signal < 0 ? 'no chunk' : `chunk ${signal & 0xff}`
  return protocol === PROTOCOL.ICMP || protocol === PROTOCOL.ICMPV6 ? 'ICMP' : 'datagram'
}

const TCP_FLAGS = [
  [2, 'SYN'],
  [16, 'ACK'],
  [1, 'FIN'],
  [4, 'RST']
] as const

function ends({
  family,
  source,
  destination,
  sourceWords,
  destinationWords,
  sourcePort,
  destinationPort
}: Packet): string {
  const text = (word: number, words: Int32Array): string => (family === 4 ? formatIpv4(word) : `[${formatIpv6(words)}]`)
  return `${text(source, sourceWords)}:${sourcePort} -> ${text(destination, destinationWords)}:${destinationPort}`
}

function verdictLine(connection: Connection, timelines: Timelines, lastMs: TimestampMs): string {
  const timeline = timelines.of(connection)
  const { state, timeout } = connectionValue(connection, lastMs)
  if (timeline.endedMs !== undefined) return `${timeline.label}: ended in state ${state}; nothing to carry on.`
  const held = timeline.held.at(-1)
  if (held !== undefined && held[1] > lastMs)
    return `${timeline.label}: would survive a failover now: a backup holds it for ${Math.floor((held[1] - lastMs) / 1000)} s.`
  const { controller } = timeline
  const template = controller?.isTemplate === true && (controller.held.at(-1)?.[1] ?? 0) > lastMs
  const kept = template
    ? ' A backup holds its template: the client returns to the same real server, which needs sloppy_tcp for TCP in mid-stream.'
    : ''
  if (held !== undefined)
    return `${timeline.label}: would not survive: a backup dropped it when ${timeout} s had passed without an announcement (sync_refresh_period).${kept}`
  return `${timeline.label}: would not survive: it was never announced (sync_threshold, sync_refresh_period).${kept}`
}

const TEXTS: Readonly<Record<MasterAnswer, string>> = {
  'one-packet': 'not announced: one-packet connections never are',
  'under-template': 'not announced: its template stands for it (sync_persist_mode)',
  'state-not-synced': 'not announced: no backup could use this state',
  fresh: 'not announced: announced recently (sync_refresh_period)',
  'retry-too-early': 'not announced: the retry is not due yet (sync_retries)',
  'packet-count-not-met': 'not announced: packet count not reached (sync_threshold)',
  'state-changed': 'announced: the state changed',
  'packet-count': 'announced: packet count reached (sync_threshold)',
  template: 'announced: templates need no packet count (sync_refresh_period)',
  refresh: 'announced: its expiry has moved (sync_refresh_period)',
  retry: 'announced again (sync_retries)',
  announced: 'announced',
  'no-real-server': 'not announced: engine data without a real server',
  'ipv6-in-version-0': 'not announced: version 0 has no IPv6 (sync_version)',
  'table-full': 'not announced: table full',
  expired: 'expired',
  extended: 'extended by 60 s',
  'not-in-table': 'not in the table'
}

/** The decision about a connection, and that about its template. */
function decisionText({ direction, decision, controllerDecision }: Outcome): string {
  if (direction === 'out') return 'no decision: replies make none'
  if (decision === undefined) return 'no decision'
  const own = TEXTS[decision]
  return controllerDecision === undefined ? own : `${own}; template ${TEXTS[controllerDecision]}`
}
