/**
 * Links in memory: a hub whose members receive what the others send, for tests and for relays in one process.
 *
 * @module
 */

import type { Link, LinkHandlers } from './link.js'

/** Connects links in one process. `filter` decides which frames pass: return false to lose one. */
export class MemoryHub {
  readonly #members = new Set<MemoryLink>()
  readonly #filter: (frame: Uint8Array, from: MemoryLink, to: MemoryLink) => boolean

  constructor(filter: (frame: Uint8Array, from: MemoryLink, to: MemoryLink) => boolean = () => true) {
    this.#filter = filter
  }

  /** Returns a new member. It receives nothing before its start. */
  open(name: string, maxFrame = 1200): MemoryLink {
    return new MemoryLink(this, name, maxFrame)
  }

  /** Used by {@link MemoryLink}. */
  join(member: MemoryLink): void {
    this.#members.add(member)
  }

  /** Used by {@link MemoryLink}. */
  leave(member: MemoryLink): void {
    this.#members.delete(member)
  }

  /** Used by {@link MemoryLink}: gives every other member a copy. */
  carry(frame: Uint8Array, from: MemoryLink): void {
    for (const to of [...this.#members])
      if (to !== from && this.#filter(frame, from, to)) to.deliver(Uint8Array.from(frame))
  }
}

/** One end of a {@link MemoryHub}. */
export class MemoryLink implements Link {
  readonly description: string
  readonly maxFrame: number
  readonly #hub: MemoryHub
  #handlers: LinkHandlers | undefined
  #dropped = 0

  /** Made by {@link MemoryHub.open}. */
  constructor(hub: MemoryHub, name: string, maxFrame: number) {
    this.#hub = hub
    this.description = `memory:${name}`
    this.maxFrame = maxFrame
  }

  start(handlers: LinkHandlers): Promise<void> {
    this.#handlers = handlers
    this.#hub.join(this)
    return Promise.resolve()
  }

  send(_channel: number, frame: Uint8Array): void {
    if (this.#handlers === undefined) this.#dropped++
    else this.#hub.carry(frame, this)
  }

  dropped(): number {
    return this.#dropped
  }

  close(): Promise<void> {
    this.#handlers = undefined
    this.#hub.leave(this)
    return Promise.resolve()
  }

  /** Used by {@link MemoryHub}. */
  deliver(frame: Uint8Array): void {
    this.#handlers?.onFrame(frame)
  }
}
