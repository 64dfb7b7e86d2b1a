/**
 * ICMP errors about connections (`ip_vs_in_icmp`, `ip_vs_out_icmp`).
 *
 * @module
 */
import type { TimestampMs } from '../units.js'
import { FLAG } from '../wire/constants.js'
import { PROTOCOL } from '../wire/protocols.js'
import type { Connection } from './connection.js'
import type { Lifetimes } from './lifetimes.js'
import type { Opener } from './opener.js'
import type { OpenOutcome } from './outcome.js'
import { Packet } from './packet.js'

const { TCP, UDP, SCTP, ICMPV6 } = PROTOCOL
/** Types that are errors: unreachable, source quench, time exceeded. Of ICMPv6 every type below 128. */
const ICMP_ERRORS: ReadonlySet<number> = new Set([3, 4, 11])

/** Decides about ICMP packets. */
export class IcmpHandler {
  readonly #lifetimes: Lifetimes
  readonly #opener: Opener
  readonly #isStandby: () => boolean

  constructor(lifetimes: Lifetimes, opener: Opener, isStandby: () => boolean) {
    this.#lifetimes = lifetimes
    this.#opener = opener
    this.#isStandby = isStandby
  }

  /** Handles an ICMP packet. */
  handle(packet: Packet, out: OpenOutcome, now: TimestampMs): void {
    const { inner } = packet
    const type = packet.icmp >>> 8
    const isError = packet.protocol === ICMPV6 ? type < 128 : ICMP_ERRORS.has(type)
    if (!isError || inner === undefined) {
      out.reason = 'icmp-not-error'
      return
    }
    const { store } = this.#lifetimes
    const { protocol, sourcePort, destinationPort } = inner
    // From the client's side: about a packet from server to client.
    const connection = store.find(inner, protocol, sourcePort, destinationPort, true)
    if (connection !== undefined) {
      if (this.#isStandby()) {
        out.reason = 'backup-only'
        return
      }
      passError(connection, out, 'in')
      if ((connection.flags & FLAG.FORWARDING) !== 0) connection.packets++
      return
    }
    const answered = store.find(inner, protocol, sourcePort, destinationPort, false) ?? this.#findAnswered(inner)
    if (answered !== undefined) {
      passError(answered, out, 'out')
      return
    }
    out.reason = 'icmp-unknown'
    if (this.#opener.settings.scheduleIcmp === 0 || (protocol !== TCP && protocol !== UDP && protocol !== SCTP)) return
    inner.mark = packet.mark
    const opened = this.#opener.open(inner, true, out, now)
    if (opened === undefined) return
    out.isNew = true
    passError(opened, out, 'in')
    if ((opened.flags & FLAG.FORWARDING) !== 0) opened.packets++
    this.#lifetimes.restart(opened, now)
  }

  /** An error of a server is about what the director sent: client to server. */
  #findAnswered(inner: Packet): Connection | undefined {
    const reply = new Packet()
    reply.family = inner.family
    reply.source = inner.destination
    reply.sourceWords.set(inner.destinationWords)
    reply.destination = inner.source
    reply.destinationWords.set(inner.sourceWords)
    return this.#lifetimes.store.findReply(reply, inner.protocol, inner.destinationPort, inner.sourcePort)
  }
}

function passError(connection: Connection, out: OpenOutcome, direction: 'in' | 'out'): void {
  out.verdict = 'forward'
  out.reason = 'icmp-error'
  out.direction = direction
  out.connection = connection
  out.stateBefore = connection.state
  out.stateAfter = connection.state
}
