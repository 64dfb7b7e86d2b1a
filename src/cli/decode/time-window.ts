/**
 * `--from` and `--to`: a part of a capture's time.
 *
 * @module
 */

import { IpvsSyncError } from '../../errors.js'

const DAY_MS = 86_400_000

/** An instant, or a time of any day; in milliseconds. */
interface Bound {
  readonly isOfDay: boolean
  readonly ms: number
}

/**
 * Returns a test of times in milliseconds since 1970. Both bounds are inclusive. A time of day holds on every day, in UTC as
 * all output; where the later one is the smaller, the window crosses midnight.
 *
 * @param from - `HH:MM`, `HH:MM:SS`, or a date and time in ISO 8601 (UTC where it names no zone).
 * @param to - The same.
 * @throws {IpvsSyncError} `ERR_CONFIG` for anything else.
 */
export function timeWindow(from: string | undefined, to: string | undefined): (ms: number) => boolean {
  const first = from === undefined ? undefined : boundOf('--from', from)
  const last = to === undefined ? undefined : boundOf('--to', to)
  const isAfter = (ms: number): boolean => first === undefined || timeFor(first, ms) >= first.ms
  const isBefore = (ms: number): boolean => last === undefined || timeFor(last, ms) <= last.ms
  const crossesMidnight = first?.isOfDay === true && last?.isOfDay === true && first.ms > last.ms
  return (ms) => (crossesMidnight ? isAfter(ms) || isBefore(ms) : isAfter(ms) && isBefore(ms))
}

function timeFor({ isOfDay }: Bound, ms: number): number {
  return isOfDay ? ((ms % DAY_MS) + DAY_MS) % DAY_MS : ms
}

function boundOf(option: string, text: string): Bound {
  const isOfDay = /^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?$/.test(text)
  const isDate = /^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/.test(text)
  const isZoned = /(Z|[T ].*[+-]\d\d:\d\d)$/.test(text) || text.length === 10
  const ms = Date.parse(isOfDay ? `1970-01-01T${text}Z` : `${text.replace(' ', 'T')}${isZoned ? '' : 'Z'}`)
  if ((isOfDay || isDate) && !Number.isNaN(ms)) return { isOfDay, ms }
  throw new IpvsSyncError('ERR_CONFIG', `${option}: expected HH:MM[:SS] or YYYY-MM-DDTHH:MM[:SS], got "${text}"`, {
    field: option.slice(2)
  })
}
