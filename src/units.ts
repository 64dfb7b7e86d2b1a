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
 * A point in time in milliseconds. Engines ask only that it does not go back and starts above 0; any epoch will do.
 */
export type TimestampMs = number

/** A length or offset in bytes. */
export type Bytes = number
