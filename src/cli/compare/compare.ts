/**
 * The differences of two sides: messages and connections that the second lacks, and why.
 *
 * @module
 */

import { counted } from '../../text.js'
import type { Side, SideConnection, SideMessage } from './side.js'

/** Why a side lacks a connection, or has another one. */
export interface Difference {
  readonly key: string
  /** Stable: `never-announced`, `lost`, `refused`, `expired`, `destination`, `missing`. */
  readonly code: 'never-announced' | 'lost' | 'refused' | 'expired' | 'destination' | 'missing'
  /** The same for a person. */
  readonly reason: string
}

/** What was compared. */
export interface Comparison {
  /** Messages of the first side that the second lacks; undefined where a side has no messages. */
  readonly missingMessages: readonly SideMessage[] | undefined
  /** Messages of the second side that the first lacks. */
  readonly extraMessages: readonly SideMessage[] | undefined
  /** Messages of each side that were compared. */
  readonly comparedMessages: readonly [first: number, second: number]
  /** Messages that both sides have. */
  readonly sharedMessages: number
  /** How much later the second side's clock is, in milliseconds: the median of all shared messages. */
  readonly clockOffsetMs: number | undefined
  /** Connections that both sides hold, with the same destination. */
  readonly sameConnections: number
  readonly differences: readonly Difference[]
  /** Keys of connections of the second side that the first lacks. */
  readonly extraConnections: readonly string[]
}

/**
 * Compares two sides.
 *
 * @param isWithin - Limits the comparison to messages of the first side captured at these times, and to their connections; the
 *   second side's clock is put right by the estimated offset.
 */
export function compareSides(first: Side, second: Side, isWithin?: (ms: number) => boolean): Comparison {
  const both = first.hasMessages && second.hasMessages
  const whole = both ? matchMessages(first.messages, second.messages) : undefined
  const within = (messages: readonly SideMessage[], offsetMs = 0): SideMessage[] =>
    messages.filter(({ ms }) => isWithin === undefined || (ms !== undefined && isWithin(ms - offsetMs)))
  const matched = whole && {
    ...whole,
    missing: within(whole.missing),
    extra: within(whole.extra, whole.offsetMs)
  }
  const isLimited = isWithin !== undefined && first.hasMessages
  const wanted = isLimited ? new Set(within(first.messages).flatMap(({ keys }) => keys)) : undefined
  const lost = countAnnouncements(matched?.missing ?? [])
  const announced = countAnnouncements(first.messages)
  const differences: Difference[] = []
  let sameConnections = 0
  for (const [key, connection] of first.connections) {
    if (wanted?.has(key) === false) continue
    const difference = differenceOf(first, second, key, connection, lost.get(key) ?? 0, announced.get(key) ?? 0)
    if (difference === undefined) sameConnections++
    else differences.push(difference)
  }
  return {
    missingMessages: matched?.missing,
    extraMessages: matched?.extra,
    comparedMessages: [within(first.messages).length, within(second.messages, whole?.offsetMs).length],
    sharedMessages: matched?.shared ?? 0,
    clockOffsetMs: matched?.offsetMs,
    sameConnections,
    differences,
    extraConnections: isLimited ? [] : [...second.connections.keys()].filter((key) => !first.connections.has(key))
  }
}

/** Whether anything differs; connections that expired in the meantime do not count. */
export function isDifferent({ missingMessages, extraMessages, differences, extraConnections }: Comparison): boolean {
  const messages = (missingMessages?.length ?? 0) + (extraMessages?.length ?? 0)
  return messages + extraConnections.length > 0 || differences.some(({ code }) => code !== 'expired')
}

function differenceOf(
  first: Side,
  second: Side,
  key: string,
  { destination, ms, timeoutMs, refusedFor }: SideConnection,
  lost: number,
  announced: number
): Difference | undefined {
  const held = second.connections.get(key)
  const refused = held?.refusedFor ?? refusedFor
  if (refused !== undefined) return { key, code: 'refused', reason: `refused: ${refused}` }
  if (held !== undefined)
    return held.destination === destination
      ? undefined
      : { key, code: 'destination', reason: `other destination: ${held.destination}, not ${destination}` }
  if (lost > 0) return { key, code: 'lost', reason: `announced and lost (${counted(lost, 'message')})` }
  if (!first.hasMessages && second.hasMessages) return { key, code: 'never-announced', reason: 'never announced' }
  if (!first.hasMessages) return { key, code: 'missing', reason: 'never announced, or announced and lost' }
  if (ms !== undefined && first.endMs !== undefined && ms + timeoutMs <= first.endMs)
    return { key, code: 'expired', reason: `expired since (${Math.round(timeoutMs / 1000)} s after its last message)` }
  return { key, code: 'lost', reason: `announced and lost (${counted(announced, 'message')})` }
}

/** How many of the messages announced each connection. */
function countAnnouncements(messages: readonly SideMessage[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { keys } of messages) for (const key of new Set(keys)) counts.set(key, (counts.get(key) ?? 0) + 1)
  return counts
}

interface Matched {
  readonly missing: SideMessage[]
  readonly extra: SideMessage[]
  readonly shared: number
  readonly offsetMs: number | undefined
}

/** Pairs equal messages in their order. */
function matchMessages(first: readonly SideMessage[], second: readonly SideMessage[]): Matched {
  const waiting = new Map<string, SideMessage[]>()
  for (const message of second) {
    const same = waiting.get(message.digest)
    if (same === undefined) waiting.set(message.digest, [message])
    else same.push(message)
  }
  for (const same of waiting.values()) same.reverse()
  const missing: SideMessage[] = []
  const offsets: number[] = []
  let shared = 0
  for (const message of first) {
    const pair = waiting.get(message.digest)?.pop()
    if (pair === undefined) missing.push(message)
    else {
      shared++
      if (pair.ms !== undefined && message.ms !== undefined) offsets.push(pair.ms - message.ms)
    }
  }
  const unpaired = new Set([...waiting.values()].flat())
  offsets.sort((one, other) => one - other)
  return {
    missing,
    extra: second.filter((message) => unpaired.has(message)),
    shared,
    offsetMs: offsets[offsets.length >> 1]
  }
}
