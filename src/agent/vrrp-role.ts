/**
 * The role that keepalived gives a director, made of what it says of its instances.
 *
 * @module
 */

import type { RoleChange } from './notify-fifo.js'

/** Words that report a state. Others (`MASTER_PRIORITY`, `BACKUP_PRIORITY`, unknown ones) do not change the role. */
const STATES = new Set(['MASTER', 'BACKUP', 'FAULT', 'STOP', 'DELETED', 'MASTER_RX_LOWER_PRI'])
/** Instances whose state is remembered. */
const MOST_INSTANCES = 256

/** Master as long as any instance that counts is. */
export class VrrpRole {
  readonly #instance: string | undefined
  readonly #masters = new Set<string>()
  /** Number of words that do not report a state. */
  ignored = 0

  /** @param instance - The one that counts; all of them without it. */
  constructor(instance: string | undefined) {
    this.#instance = instance
  }

  /** The instances that count and are master. */
  get masters(): ReadonlySet<string> {
    return this.#masters
  }

  /** Whether this director is master. */
  get isMaster(): boolean {
    return this.#masters.size > 0
  }

  /**
   * Takes what keepalived says.
   *
   * @returns Whether the role is another one now.
   */
  update({ kind, name, state }: RoleChange): boolean {
    if (kind !== 'INSTANCE' || (this.#instance !== undefined && this.#instance !== name)) return false
    if (!STATES.has(state)) {
      this.ignored++
      return false
    }
    const before = this.isMaster
    // MASTER_RX_LOWER_PRI and its like tell of a master as well.
    if (!/^MASTER(_|$)/.test(state)) this.#masters.delete(name)
    else if (this.#masters.size < MOST_INSTANCES) this.#masters.add(name)
    return this.isMaster !== before
  }
}
