/**
 * Reports of a running backup: who sends, who fell silent, and what was dropped and why. It compares figures of one moment
 * with those of the last, so that no datagram costs anything, and each report has a code and comes once a minute at most.
 *
 * @module
 */

import type { BackupCounters } from '../../engine/backup/counters.js'
import type { SenderReport } from '../../engine/backup/senders.js'
import type { NoticeEvent } from '../../engine/events.js'
import { counted } from '../../text.js'
import type { Milliseconds, Seconds, TimestampMs } from '../../units.js'

/** Figures of a backup at one moment. */
export interface BackupFigures {
  readonly counters: BackupCounters
  readonly senders: readonly SenderReport[]
  /** Datagrams that the receive buffers had no room for; undefined where the system does not report it. */
  readonly receiveDrops: number | undefined
}

/** Settings of a {@link BackupMonitor} that its texts name. */
export interface MonitorSettings {
  /** 0 accepts every syncid. */
  readonly syncid: number
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
  | 'TABLE_FULL'
  | 'SOCKET_DROPS'

/** Time without a message after which a sender, or the network, counts as silent. */
const SILENCE: Seconds = 30
/** Messages after which a sender's silence is reported: a forged address sends one. */
const ESTABLISHED = 3
/** Reports of one code are at least this far apart. */
const INTERVAL: Milliseconds = 60_000
/** Senders that are remembered. Addresses can be forged: those that send most are kept. */
const MAX_SENDERS = 64

/** Compares figures with the last ones. */
export class BackupMonitor {
  readonly #settings: MonitorSettings
  readonly #senders = new Map<string, { silent: boolean }>()
  readonly #totals = new Map<MonitorCode, { total: number; at: TimestampMs }>()
  #started: TimestampMs | undefined
  #isNothingReported = false

  constructor(settings: MonitorSettings) {
    this.#settings = settings
  }

  /** Returns what is to be reported now; call it every second or so. */
  check(figures: BackupFigures, now: TimestampMs): NoticeEvent[] {
    this.#started ??= now
    return [
      ...this.#checkSenders(figures.senders),
      ...this.#checkSilence(figures, now),
      ...this.#checkLosses(figures, now)
    ]
  }

  #checkSenders(senders: readonly SenderReport[]): NoticeEvent[] {
    const found: NoticeEvent[] = []
    const most = [...senders].sort((one, other) => other.messages - one.messages).slice(0, MAX_SENDERS)
    const present = new Set(most.map(keyOf))
    for (const key of this.#senders.keys()) if (!present.has(key)) this.#senders.delete(key)
    for (const sender of most) {
      const { address, syncid, version, port, age, messages } = sender
      const key = keyOf(sender)
      const known = this.#senders.get(key)
      if (known === undefined) {
        this.#senders.set(key, { silent: false })
        const text = `first message from ${address}: syncid ${syncid}, version ${version}, source port ${port}`
        found.push(notice('SENDER_NEW', text))
      } else if (!known.silent && age >= SILENCE && messages >= ESTABLISHED) {
        known.silent = true
        const text = `${address} (syncid ${syncid}) is silent: last of ${counted(messages, 'message')} ${Math.floor(age)} s ago`
        found.push(notice('SENDER_SILENT', text))
      } else if (known.silent && age < SILENCE) {
        known.silent = false
        found.push(notice('SENDER_BACK', `${address} (syncid ${syncid}) sends again`))
      }
    }
    return found
  }

  /** One report for each silence from the start; silence of known senders is `SENDER_SILENT`. */
  #checkSilence({ counters, senders }: BackupFigures, now: TimestampMs): NoticeEvent[] {
    if (this.#isNothingReported || senders.length > 0 || now - this.#started! < SILENCE * 1000) return []
    this.#isNothingReported = true
    const { syncid, description } = this.#settings
    const { OTHER_SYNCID = 0, NOT_ACCEPTED = 0 } = counters.dropped
    const seen = [
      ...(OTHER_SYNCID > 0 ? [`${counted(OTHER_SYNCID, 'message')} had another syncid than ${syncid}`] : []),
      ...(NOT_ACCEPTED > 0 ? [`${counted(NOT_ACCEPTED, 'message')} came from senders that --accept excludes`] : [])
    ]
    const causes = [
      ...seen,
      'no master runs, or it has nothing to announce',
      'another interface, group, port or syncid than the master',
      'a firewall drops UDP to the port (8848 by default) or IGMP',
      'a switch with IGMP snooping and no querier does not forward the group',
      'rp_filter drops the sender'
    ]
    const text = `nothing received on ${description()} for ${SILENCE} s; likely causes in order: ${causes.join('; ')}`
    return [notice('NOTHING_RECEIVED', text)]
  }

  #checkLosses({ counters, receiveDrops = 0 }: BackupFigures, now: TimestampMs): NoticeEvent[] {
    const { syncid } = this.#settings
    const { OTHER_SYNCID = 0, NOT_ACCEPTED = 0 } = counters.dropped
    const { TABLE_FULL = 0 } = counters.skipped
    return [
      ...this.#growth('OTHER_SYNCID', OTHER_SYNCID, now, (more) => {
        return `ignored ${counted(more, 'message')} with another syncid than ours, ${syncid}`
      }),
      ...this.#growth('NOT_ACCEPTED', NOT_ACCEPTED, now, (more) => {
        return `ignored ${counted(more, 'message')} from senders that are not accepted; see --accept`
      }),
      ...this.#growth('TABLE_FULL', TABLE_FULL, now, (more) => {
        return `table full: refused ${counted(more, 'connection')}; raise --max-connections`
      }),
      ...this.#growth('SOCKET_DROPS', receiveDrops, now, (more) => {
        const advice = 'raise sync_sock_size, and net.core.rmem_max to at least as much'
        return `the receive buffer was full: lost ${counted(more, 'message')}; ${advice}`
      })
    ]
  }

  #growth(code: MonitorCode, total: number, now: TimestampMs, text: (more: number) => string): NoticeEvent[] {
    const last = this.#totals.get(code) ?? { total: 0, at: -Infinity }
    if (total <= last.total || now - last.at < INTERVAL) return []
    this.#totals.set(code, { total, at: now })
    return [notice(code, text(total - last.total))]
  }
}

function keyOf({ address, syncid }: SenderReport): string {
  return `${address} ${syncid}`
}

function notice(code: MonitorCode, message: string): NoticeEvent {
  return Object.freeze({ type: 'notice', code, message })
}
