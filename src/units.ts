/**
 * Names for numbers whose unit matters. They are plain numbers to the compiler.
 *
 * @module
 */

/** A length of time in milliseconds. */
export type Milliseconds = number

/** A length of time in seconds. */
export type Seconds = number

/**
 * A point in time in milliseconds. It must start above 0 and never decrease; any epoch is valid.
 */
export type TimestampMs = number

/** A length or offset in bytes. */
export type Bytes = number
