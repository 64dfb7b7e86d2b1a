/**
 * The errors that local misuse raises. Bytes from the network never raise one: they give a
 * {@link wire/problems!Problem | Problem}, a value.
 *
 * @module
 */

/**
 * Every code an {@link IpvsSyncError} can carry. Codes are stable; texts are not.
 *
 * - `ERR_CONFIG` a setting or option has a value that is not accepted
 * - `ERR_USAGE` a call that cannot be honoured: a value out of range, use after close
 * - `ERR_ENCODE` a value that no receiver would accept, or that its field cannot hold; `field` names it
 * - `ERR_INTERFACE` the network interface is missing, or has no address of the family
 * - `ERR_ADDRESS_IN_USE` the port is taken
 * - `ERR_GROUP` the group is not multicast, or joining it was refused
 * - `ERR_TRANSPORT` any other failure of a socket
 * - `ERR_CAPTURE` not a capture, or of a kind that cannot be read
 * - `ERR_NO_IPVS` the running kernel has no IPVS loaded
 * - `ERR_IO` a file could not be read or written
 * - `ERR_WORKER` a worker thread ended by itself
 */
export type ErrorCode =
  | 'ERR_CONFIG'
  | 'ERR_USAGE'
  | 'ERR_ENCODE'
  | 'ERR_INTERFACE'
  | 'ERR_ADDRESS_IN_USE'
  | 'ERR_GROUP'
  | 'ERR_TRANSPORT'
  | 'ERR_CAPTURE'
  | 'ERR_NO_IPVS'
  | 'ERR_IO'
  | 'ERR_WORKER'

/** Optional details of an {@link IpvsSyncError}. */
export interface IpvsSyncErrorDetails {
  /** The option, setting or field that is wrong, by the name its user knows: `syncid`, `sync_threshold`, `connections[3].state`. */
  readonly field?: string
  /** The error below this one, if any. */
  readonly cause?: unknown
}

/**
 * An error of configuration, use or I/O. Its message says what was wrong, where, and what to do.
 *
 * Compare `code`, never the text. `name` is `IpvsSyncError`.
 */
export class IpvsSyncError extends Error {
  /** Stable error code. */
  readonly code: ErrorCode
  /** Option, setting or field at fault, if any. */
  readonly field: string | undefined
  /** Always `IpvsSyncError`. */
  override readonly name: string = 'IpvsSyncError'

  /**
   * @param code - Stable error code.
   * @param message - What was wrong, where, and what to do: expected and actual, with units.
   * @param details - The field at fault and the cause, where there are any.
   */
  constructor(code: ErrorCode, message: string, details: IpvsSyncErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    this.field = details.field
  }
}
