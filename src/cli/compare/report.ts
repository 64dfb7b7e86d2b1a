/**
 * A comparison as text, and as JSON.
 *
 * @module
 */

import { counted } from '../../text.js'
import { Tally } from '../decode/tally.js'
import type { Comparison, Difference } from './compare.js'
import type { Side, SideMessage } from './side.js'

/** Differences of one kind that are listed, unless all are wanted. */
const SHOWN = 20

/** The comparison, line by line. */
export function reportLines(first: Side, second: Side, comparison: Comparison, isComplete: boolean): string[] {
  const { missingMessages, extraMessages, sharedMessages, clockOffsetMs } = comparison
  const most = isComplete ? Infinity : SHOWN
  const lines: string[] = []
  if (missingMessages === undefined || extraMessages === undefined)
    lines.push('messages: not compared (a table holds none)')
  else {
    lines.push(
      `${second.name} lacks ${missingMessages.length} messages (${counted(
        missingMessages.reduce((sum, { keys }) => sum + keys.length, 0),
        'record'
      )}) of ${first.messages.length}`,
      ...messageLines(missingMessages)
    )
    if (extraMessages.length > 0)
      lines.push(
        `${first.name} lacks ${extraMessages.length} messages of ${second.messages.length}`,
        ...messageLines(extraMessages)
      )
    const offset = clockOffsetMs === undefined ? 'unknown' : `${(clockOffsetMs / 1000).toFixed(6)} s`
    lines.push(
      `clock of ${second.name} less clock of ${first.name}: ${offset} (${counted(sharedMessages, 'shared message')})`
    )
  }
  const { differences, extraConnections, sameConnections } = comparison
  lines.push(
    `${counted(differences.length, 'connection')} of ${first.connections.size} missing or different on ${second.name}; ${sameConnections} the same`
  )
  for (const [reason, count] of tallyOf(
    differences.map(({ code, reason }) => (code === 'destination' ? 'other destination' : reason))
  ))
    lines.push(`  ${count}  ${reason}`)
  lines.push(...differences.slice(0, most).map(({ key, reason }: Difference): string => `  ${key}: ${reason}`))
  if (differences.length > most) lines.push(`  … and ${differences.length - most} more; --all lists them`)
  if (extraConnections.length > 0) {
    lines.push(`${counted(extraConnections.length, 'connection')} on ${second.name} alone`)
    lines.push(...extraConnections.slice(0, most).map((key) => `  ${key}`))
    if (extraConnections.length > most) lines.push(`  … and ${extraConnections.length - most} more; --all lists them`)
  }
  return lines
}

/** The comparison as one value. */
export function reportJson(first: Side, second: Side, comparison: Comparison): object {
  const { missingMessages, extraMessages, clockOffsetMs, ...rest } = comparison
  const plain = (messages: readonly SideMessage[] | undefined): object[] | null =>
    messages?.map(({ ms, sender, port, keys }) => ({ time: isoText(ms), sender, port, connections: keys })) ?? null
  return {
    first: first.name,
    second: second.name,
    missingMessages: plain(missingMessages),
    extraMessages: plain(extraMessages),
    clockOffsetSeconds: clockOffsetMs === undefined ? null : clockOffsetMs / 1000,
    ...rest
  }
}

/** By port and sender, with the time of the first and the last. */
function messageLines(messages: readonly SideMessage[]): string[] {
  const groups = new Map<string, SideMessage[]>()
  for (const message of messages) {
    const name = `port ${message.port} from ${message.sender}`
    const group = groups.get(name)
    if (group === undefined) groups.set(name, [message])
    else group.push(message)
  }
  return [...groups].map(([name, group]) => {
    const times = group.flatMap(({ ms }) => (ms === undefined ? [] : [ms]))
    const [from, to] = [
      times.reduce((least, ms) => Math.min(least, ms), Infinity),
      times.reduce((most, ms) => Math.max(most, ms), -Infinity)
    ]
    const span = times.length === 0 ? '' : `, ${isoText(from)!} to ${isoText(to)!}`
    return `  ${name}: ${counted(group.length, 'message')}${span}`
  })
}

function isoText(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString()
}

function tallyOf(values: readonly string[]): (readonly [string, number])[] {
  const tally = new Tally()
  for (const value of values) tally.add(value)
  return tally.sorted()
}
