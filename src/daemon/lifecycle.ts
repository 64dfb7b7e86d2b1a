/**
 * The life of a ready-made master or backup: started once, closed once, by hand or by a signal.
 *
 * @module
 */

import { IpvsSyncError } from '../errors.js'

/** What a life consists of. */
export interface LifecycleSteps {
  /** Opens everything; where it throws, nothing stays open. */
  readonly open: () => Promise<void>
  /** Closes everything that was opened. */
  readonly close: (options: CloseOptions) => Promise<void>
  /** Closes it when aborted. */
  readonly signal: AbortSignal | undefined
}

/** How to close. */
export interface CloseOptions {
  /** Give up what waits to be sent, as a kernel does. By default it is sent first. */
  readonly discard?: boolean
}

/** Keeps count of where a master or backup stands. */
export class Lifecycle {
  readonly #steps: LifecycleSteps
  #state: 'new' | 'opening' | 'open' | 'closed' = 'new'
  #opening: Promise<void> | undefined
  #forget: (() => void) | undefined
  #closing: Promise<void> | undefined

  /** @param steps - What opening and closing mean. */
  constructor(steps: LifecycleSteps) {
    this.#steps = steps
  }

  /** Whether it is open. */
  get isOpen(): boolean {
    return this.#state === 'open'
  }

  /**
   * Opens.
   *
   * @returns Whether it is open now: not if it was closed meanwhile.
   * @throws IpvsSyncError `ERR_USAGE` for a second time, after the close, or with a signal that is aborted; and what opening
   * throws.
   */
  async open(): Promise<boolean> {
    const { signal } = this.#steps
    if (this.#state !== 'new')
      throw new IpvsSyncError('ERR_USAGE', 'it starts once, and not after it was closed: make a new one')
    if (signal?.aborted === true) {
      const message = 'its signal was aborted before the start: make a new one, with a signal that is not'
      throw new IpvsSyncError('ERR_USAGE', message, { field: 'signal', cause: signal.reason })
    }
    this.#state = 'opening'
    if (signal !== undefined) {
      // Calls back when a signal is aborted. However many listen, the signal has one listener of ours: Node warns of more than ten.
      // @returns A function that ends it.
      const callback = () => void this.close({})
      const all = callbacks.get(signal) ?? listen(signal)
      all.add(callback)
      this.#forget = () => void all.delete(callback)
    }
    this.#opening = this.#steps.open()
    try {
      await this.#opening
    } catch (error) {
      this.#end()
      throw error
    }
    // A close that came meanwhile waits for this moment.
    if (this.#closing === undefined) this.#state = 'open'
    return this.isOpen
  }

  /** Closes; a second call waits for the first. */
  close(options: CloseOptions): Promise<void> {
    this.#closing ??= this.#close(options)
    return this.#closing
  }

  async #close(options: CloseOptions): Promise<void> {
    const begun = this.#state === 'opening' || this.#state === 'open'
    this.#end()
    // What opening throws reaches the caller.
    const opened = await this.#opening?.then(
      () => true,
      () => false
    )
    if (begun && opened === true) await this.#steps.close(options)
  }

  #end(): void {
    this.#state = 'closed'
    this.#forget?.()
  }
}

const callbacks = new WeakMap<AbortSignal, Set<() => void>>()

function listen(signal: AbortSignal): Set<() => void> {
  const all = new Set<() => void>()
  callbacks.set(signal, all)
  signal.addEventListener('abort', () => all.forEach((callback) => callback()), { once: true })
  return all
}
