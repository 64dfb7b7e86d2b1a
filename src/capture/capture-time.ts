/**
 * A packet's time as a capture holds it: exact, whatever its resolution.
 *
 * @module
 */

/** The furthest second that a JavaScript date can name. */
const LAST_DATE_SECOND = 8_640_000_000_000

/**
 * When a packet was captured, in UTC. Numbers lose nanoseconds, so the fraction is kept as its digits.
 */
export class CaptureTime {
  /** Whole seconds since 1970-01-01T00:00:00Z; below 0 before it. */
  readonly seconds: number
  /** The decimal digits after the point, as many as the capture's resolution has: 6 for µs, 9 for ns, none for whole seconds. */
  readonly fraction: string

  /**
   * @param seconds - Whole seconds since 1970.
   * @param fraction - The digits after the point; they count forward from `seconds`, also before 1970.
   */
  constructor(seconds: number, fraction: string) {
    this.seconds = seconds
    this.fraction = fraction
  }

  /** Milliseconds since 1970, as `Date` counts them. Not exact: below a microsecond it is rounded. */
  get ms(): number {
    return this.seconds * 1000 + Number(`0.${this.fraction}0`) * 1000
  }

  /** ISO 8601 with all digits: `2026-11-22T22:03:01.123456Z`. A time that no date can name is given as seconds: `1e13` as `10000000000000.5s`. */
  toString(): string {
    const fraction = this.fraction === '' ? '' : `.${this.fraction}`
    if (Math.abs(this.seconds) > LAST_DATE_SECOND) return `${BigInt(this.seconds)}${fraction}s`
    return `${secondText(this.seconds)}${fraction}Z`
  }

  /** The same text: what `JSON.stringify` prints. */
  toJSON(): string {
    return this.toString()
  }
}

/** The second that was asked for last, and its text: the packets of a second ask in a row. */
const last = { second: NaN, text: '' }

function secondText(second: number): string {
  if (second !== last.second) {
    last.second = second
    last.text = new Date(second * 1000).toISOString().slice(0, -5)
  }
  return last.text
}

/**
 * The time of a pcap record, whose fraction is a number of `10^-digits` seconds. A fraction of a second or more is carried.
 *
 * @param digits - 6 or 9.
 */
export function timeFromParts(seconds: number, fraction: number, digits: number): CaptureTime {
  const unit = 10 ** digits
  const carry = Math.floor(fraction / unit)
  return new CaptureTime(seconds + carry, String(fraction - carry * unit).padStart(digits, '0'))
}

/** How a pcapng interface counts time. */
export interface TimeResolution {
  /** `if_tsresol`: the low 7 bits are a negative power of 10, or of 2 where the top bit is set. 6 where it is not given. */
  readonly resolution: number
  /** `if_tsoffset`: seconds to add. */
  readonly offsetSeconds: bigint
}

/**
 * The time of a pcapng packet: ticks of its interface's resolution. A power of 2 gets the least number of digits that
 * tells two ticks apart, the rest cut off.
 */
export function timeFromTicks(ticks: bigint, { resolution, offsetSeconds }: TimeResolution): CaptureTime {
  const power = resolution & 0x7f
  const isBinary = (resolution & 0x80) !== 0
  const digits = isBinary ? Math.ceil(power * Math.log10(2)) : power
  const unit = isBinary ? 1n << BigInt(power) : 10n ** BigInt(power)
  const fraction = isBinary ? ((ticks % unit) * 10n ** BigInt(digits)) / unit : ticks % unit
  const text = digits === 0 ? '' : fraction.toString().padStart(digits, '0')
  return new CaptureTime(Number(ticks / unit + offsetSeconds), text)
}
