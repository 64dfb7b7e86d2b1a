/**
 * Reports of a running backup: who sends, who fell silent, and what was dropped and why. It compares figures of one moment
 * with those of the last, so that no datagram costs anything, and each report has a code and is made once a minute at most.
 *
 * @module
 */

import type { BackupCounters } from '../../engine/backup/counters.js'
import type { IgnoredSender, SenderReport } from '../../engine/backup/senders.js'
import type { NoticeEvent } from '../../engine/events.js'
import { counted } from '../../text.js'
import type { LinkCounters } from '../../transport/link-counters.js'
import { packetHeaders } from '../../transport/sync-maxlen.js'
import type { Bytes, Milliseconds, Seconds, TimestampMs } from '../../units.js'

/** Figures of a backup at one moment. */
export interface BackupFigures {
  readonly counters: BackupCounters
  readonly senders: readonly SenderReport[]
  /** Senders of messages that were dropped whole. */
  readonly ignored: readonly IgnoredSender[]
  /** Senders on ports beyond sync_ports, with our syncid and accepted. */
  readonly beyond: readonly SenderReport[]
  /** Datagrams that the receive buffers had no room for; undefined where the system does not report it. */
  readonly receiveDrops: number | undefined
  readonly link: LinkCounters
}

/** Settings of a {@link BackupMonitor} that its texts name. */
export interface MonitorSettings {
  /** 0 accepts every syncid. */
  readonly syncid: number
  /** Port of channel 0. */
  readonly port: number
  /** Channels that are received: sync_ports. */
  readonly channels: number
  /** Ceiling of the table. */
  readonly maxConnections: number
  /** Text for a person: `224.0.0.81:8848 on eth1`. */
  readonly description: () => string
}

/** Codes of the reports: stable. */
export type MonitorCode =
  | 'SENDER_NEW'
  | 'SENDER_SILENT'
  | 'SENDER_BACK'
  | 'NOTHING_RECEIVED'
  | 'OTHER_SYNCID'
  | 'NOT_ACCEPTED'
  | 'PORTS_BEYOND'
  | 'MESSAGES_FRAGMENTED'
  | 'REASSEMBLY_FAILED'
  | 'MTU_DROPS'
  | 'RP_FILTER_DROPS'
  | 'TABLE_FULL'
  | 'SOCKET_DROPS'

/** Time without a message after which a sender, or the network, counts as silent. */
export const SILENCE: Seconds = 30
/** Messages after which a sender's silence is reported: a forged address sends one. */
const ESTABLISHED = 3
/** Reports of one code are at least this far apart. */
const INTERVAL: Milliseconds = 60_000
/** Reports of silence are at least this far apart: a master of few connections is often silent. */
const SILENCE_INTERVAL: Milliseconds = 600_000
/** Senders that are remembered. Addresses can be forged: those that send most are kept. */
const MAX_SENDERS = 64
/** Senders that one line names. */
const MAX_NAMED = 3
/** A full message can be shorter than its limit by a connection with all its parameters. */
const LONGEST_RECORD: Bytes = 128
/** An Ethernet MTU: what a kernel master assumes whatever its interface has. */
const ETHERNET_MTU: Bytes = 1500

/** Compares figures with the last ones. */
export class BackupMonitor {
  readonly #settings: MonitorSettings
  readonly #senders = new Map<string, { silent: boolean; fragmented: boolean }>()
  readonly #totals = new Map<MonitorCode, { total: number; at: TimestampMs }>()
  /** The start and the host's counters then. */
  #first: { readonly at: TimestampMs; readonly link: LinkCounters } | undefined
  #silence = { isReported: false, at: -Infinity }

  constructor(settings: MonitorSettings) {
    this.#settings = settings
  }

  /** Returns what is to be reported now; call it every second or so. */
  check(figures: BackupFigures, now: TimestampMs): NoticeEvent[] {
    this.#first ??= { at: now, link: figures.link }
    const { counters, ignored, beyond, receiveDrops = 0, link } = figures
    const { syncid, port, channels, maxConnections } = this.#settings
    const { OTHER_SYNCID = 0, NOT_ACCEPTED = 0 } = counters.dropped
    const of = (reason: IgnoredSender['reason']): string => named(ignored.filter((sender) => sender.reason === reason))
    const highest = Math.max(0, ...beyond.flatMap((sender) => sender.channels))
    const { mtu = ETHERNET_MTU } = link
    // Other MTUs than those below Ethernet's need no attention.
    const carried = mtu >= ETHERNET_MTU ? Infinity : mtu - headersOf(figures.senders[0]?.address ?? '')
    const isFullReceived = figures.senders.some(({ largest }) => largest > carried - LONGEST_RECORD)
    const since = (name: keyof LinkCounters): number => (link[name] ?? 0) - (this.#first!.link[name] ?? 0)
    return [
      ...this.#checkSenders(figures.senders, link),
      ...this.#checkSilence(figures, now),
      ...this.#growth('OTHER_SYNCID', OTHER_SYNCID, now, (more) => {
        return `ignored ${counted(more, 'message')} with another syncid than ours, ${syncid}: ${of('OTHER_SYNCID')}`
      }),
      ...this.#growth('NOT_ACCEPTED', NOT_ACCEPTED, now, (more) => {
        return `ignored ${counted(more, 'message')} from senders that --accept or --peer excludes: ${of('NOT_ACCEPTED')}`
      }),
      ...this.#growth(
        'PORTS_BEYOND',
        beyond.reduce((sum, { messages }) => sum + messages, 0),
        now,
        (more) => {
          const range = `${port}${channels > 1 ? `-${port + channels - 1}` : ''}`
          return `ignored ${counted(more, 'message')} to ports up to ${port + highest}, we receive on ${range}: ${named(beyond)}; set sync_ports to ${highest + 1}`
        }
      ),
      ...this.#growth('REASSEMBLY_FAILED', since('reassemblyFailures'), now, (more) => {
        return `this host lost ${counted(more, 'datagram')} (of any protocol) of which a fragment was missing; keep sync_maxlen of the master within the MTU`
      }),
      ...this.#growth('RP_FILTER_DROPS', since('reversePathDrops'), now, (more) => {
        return `rp_filter dropped ${counted(more, 'packet')}; set net.ipv4.conf.*.rp_filter to 2, or give the sender an address of this network`
      }),
      ...this.#growth(
        'MTU_DROPS',
        carried === Infinity || isFullReceived ? 0 : since('interfaceDrops'),
        now,
        (more) => {
          return `the interface dropped ${counted(more, 'packet')}, and its MTU is ${mtu}: messages above ${carried} bytes are lost; use one MTU on all directors, or sync_maxlen ${carried} on the master`
        }
      ),
      ...this.#growth('TABLE_FULL', counters.skipped['TABLE_FULL'] ?? 0, now, (more) => {
        return `table full (${maxConnections} connections): refused ${counted(more, 'connection')}; raise --max-connections`
      }),
      ...this.#growth('SOCKET_DROPS', receiveDrops, now, (more) => {
        return `the receive buffer was full: lost ${counted(more, 'message')}; raise sync_sock_size, and net.core.rmem_max to at least as much`
      })
    ]
  }

  #checkSenders(senders: readonly SenderReport[], { mtu = Infinity }: LinkCounters): NoticeEvent[] {
    const found: NoticeEvent[] = []
    const most = [...senders].sort((one, other) => other.messages - one.messages).slice(0, MAX_SENDERS)
    const present = new Set(most.map(keyOf))
    for (const key of this.#senders.keys()) if (!present.has(key)) this.#senders.delete(key)
    for (const sender of most) {
      const { address, syncid, version, channels, largest, age, messages } = sender
      let known = this.#senders.get(keyOf(sender))
      if (known === undefined) {
        known = { silent: false, fragmented: false }
        this.#senders.set(keyOf(sender), known)
        const text = `first message from ${address}: syncid ${syncid}, version ${version}, channel ${channels.join(', ')}, ${largest} bytes`
        found.push(notice('SENDER_NEW', text))
      } else if (!known.silent && age >= SILENCE && messages >= ESTABLISHED) {
        known.silent = true
        const text = `${address} (syncid ${syncid}) is silent: last of ${counted(messages, 'message')} ${Math.floor(age)} s ago`
        found.push(notice('SENDER_SILENT', text))
      } else if (known.silent && age < SILENCE) {
        known.silent = false
        found.push(notice('SENDER_BACK', `${address} (syncid ${syncid}) sends again`))
      }
      if (known.fragmented || largest <= mtu - headersOf(address)) continue
      known.fragmented = true
      const text = `${address} sends messages of ${largest} bytes, which an MTU of ${mtu} carries in fragments: one lost fragment loses the message; set sync_maxlen ${mtu - headersOf(address)} on the master`
      found.push(notice('MESSAGES_FRAGMENTED', text))
    }
    return found
  }

  /** One report for each silence of all senders, from the start or later. */
  #checkSilence({ counters, senders, beyond, link }: BackupFigures, now: TimestampMs): NoticeEvent[] {
    const { at, link: before } = this.#first!
    const quiet = Math.min((now - at) / 1000, ...senders.map(({ age }) => age))
    if (quiet < SILENCE) {
      this.#silence.isReported = false
      return []
    }
    if (this.#silence.isReported || now - this.#silence.at < SILENCE_INTERVAL) return []
    this.#silence = { isReported: true, at: now }
    const { syncid, description } = this.#settings
    const { OTHER_SYNCID = 0, NOT_ACCEPTED = 0 } = counters.dropped
    const reversePath = (link.reversePathDrops ?? 0) - (before.reversePathDrops ?? 0)
    const evidence = [
      ...(OTHER_SYNCID > 0 ? [`${counted(OTHER_SYNCID, 'message')} had another syncid than ${syncid}`] : []),
      ...(NOT_ACCEPTED > 0 ? [`${counted(NOT_ACCEPTED, 'message')} came from senders that are not accepted`] : []),
      ...(beyond.length > 0 ? ['messages arrived on ports beyond sync_ports'] : []),
      ...(reversePath > 0 ? [`rp_filter dropped ${counted(reversePath, 'packet')}`] : [])
    ]
    const causes =
      senders.length > 0
        ? [
            'the master stopped, or has nothing to announce',
            'its interface, or the link between the hosts, is down',
            'a switch with IGMP snooping and no querier stopped forwarding the group',
            'a firewall rule was added'
          ]
        : [
            'no master runs, or it has nothing to announce (on the active director this is normal)',
            'another interface, group, port or syncid than the master',
            'a firewall drops UDP to the port, or IGMP',
            'a switch with IGMP snooping and no querier does not forward the group',
            'rp_filter drops the sender'
          ]
    const text = `nothing received on ${description()} for ${Math.floor(quiet)} s; likely causes in order: ${[...evidence, ...causes].join('; ')}; run ipvs-sync doctor`
    return [notice('NOTHING_RECEIVED', text)]
  }

  #growth(code: MonitorCode, total: number, now: TimestampMs, text: (more: number) => string): NoticeEvent[] {
    const last = this.#totals.get(code) ?? { total: 0, at: -Infinity }
    if (total <= last.total || now - last.at < INTERVAL) return []
    this.#totals.set(code, { total, at: now })
    return [notice(code, text(total - last.total))]
  }
}

/** Length of the headers of a packet from an address. */
function headersOf(address: string): Bytes {
  return packetHeaders(address.includes(':') ? 'ipv6' : 'ipv4')
}

/** Names those that sent most: `10.9.0.1 (syncid 6, 12 messages), 2 more`. */
function named(senders: readonly SenderReport[]): string {
  const most = [...senders].sort((one, other) => other.messages - one.messages)
  const names = most
    .slice(0, MAX_NAMED)
    .map(({ address, syncid, messages }) => `${address} (syncid ${syncid}, ${counted(messages, 'message')})`)
  return [...names, ...(most.length > MAX_NAMED ? [`${most.length - MAX_NAMED} more`] : [])].join(', ')
}

function keyOf({ address, syncid }: SenderReport): string {
  return `${address} ${syncid}`
}

function notice(code: MonitorCode, message: string): NoticeEvent {
  return Object.freeze({ type: 'notice', code, message })
}
