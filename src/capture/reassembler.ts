/**
 * The fragments of many datagrams, bounded in number, bytes and time.
 *
 * @module
 */

import { LRUCache } from 'lru-cache'
import type { Milliseconds } from '../units.js'
import { Assembly } from './assembly.js'

/** A datagram in the making, and what its owner keeps with it. */
export interface Pending<Note> {
  /** Its pieces. */
  readonly assembly: Assembly
  /** What the owner knows of the newest fragment. */
  readonly note: Note
}

/** Why a datagram was given up: too old, or the room was needed. */
export type GivenUp = 'expired' | 'evicted'

/** Bounds of a {@link Reassembler}. */
export interface ReassemblerLimits {
  /** Most datagrams at a time. */
  readonly max: number
  /** Most bytes held together. */
  readonly maxBytes: number
  /** How long a datagram may wait for its fragments, counted from its first. */
  readonly ttlMs: Milliseconds
}

/** What holding a datagram and a fragment costs besides the bytes: tiny fragments must count as what they take. */
const ASSEMBLY_COST = 512
const PIECE_COST = 256
/** How often the old ones are looked for. */
const SWEEP_MS = 1000

/** Datagrams in the making, by key. Time is the capture's; it counts forward even where the capture's stamps go back. */
export class Reassembler<Note> {
  readonly #cache: LRUCache<string, Pending<Note> & { readonly bytes: number; readonly start: Milliseconds }>
  readonly #givenUp: (pending: Pending<Note>, why: GivenUp) => void
  readonly #maxBytes: number
  /** Never 0: lru-cache takes a start of 0 for none. */
  #clock = 1
  #last: Milliseconds | undefined
  #swept = 1

  constructor(limits: ReassemblerLimits, givenUp: (pending: Pending<Note>, why: GivenUp) => void) {
    this.#givenUp = givenUp
    this.#maxBytes = limits.maxBytes
    this.#cache = new LRUCache({
      max: limits.max,
      maxSize: limits.maxBytes,
      sizeCalculation: (pending) => pending.bytes,
      ttl: limits.ttlMs,
      ttlResolution: 0,
      ttlAutopurge: false,
      noDisposeOnSet: true,
      perf: { now: () => this.#clock },
      dispose: (pending, _key, reason) => {
        if (reason === 'expire') givenUp(pending, 'expired')
        else if (reason === 'evict') givenUp(pending, 'evicted')
      }
    })
  }

  /** Whether any datagram waits for fragments. */
  get isWaiting(): boolean {
    return this.#cache.size > 0
  }

  /** Moves time on. A stamp below the last moves nothing: captures that were merged go back and forth. */
  advance(ms: Milliseconds): void {
    this.#clock += Math.max(0, ms - (this.#last ?? ms))
    this.#last = ms
    if (this.#cache.size === 0 || this.#clock - this.#swept < SWEEP_MS) return
    this.#swept = this.#clock
    this.#cache.purgeStale()
  }

  /**
   * Takes a fragment in.
   *
   * @param add - Puts it into the assembly it is given.
   * @returns The assembly when it is complete: it is no longer held.
   */
  add(key: string, note: Note, bytes: number, add: (assembly: Assembly) => void): Assembly | undefined {
    const held = this.#cache.get(key)
    const assembly = held?.assembly ?? new Assembly()
    const before = assembly.count
    add(assembly)
    if (assembly.isComplete) {
      this.#cache.delete(key)
      return assembly
    }
    const grown = assembly.count > before ? bytes + PIECE_COST : 0
    const size = (held?.bytes ?? ASSEMBLY_COST) + grown
    const start = held?.start ?? this.#clock
    // One datagram that is larger than all the room: lru-cache would drop it without a word.
    if (size > this.#maxBytes) {
      this.#cache.delete(key)
      this.#givenUp({ assembly, note }, 'evicted')
    } else this.#cache.set(key, { assembly, note, bytes: size, start }, { start })
    return undefined
  }

  /** Gives up all that wait, oldest first. */
  end(): void {
    this.#cache.purgeStale()
    const waiting = [...this.#cache.rvalues()].filter((pending) => pending !== undefined)
    this.#cache.clear()
    for (const pending of waiting) this.#givenUp(pending, 'expired')
  }
}
