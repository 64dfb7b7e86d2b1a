/**
 * The role that keepalived gives an agent, from its notify FIFO, and kept over a restart.
 *
 * @module
 */

import type { AgentNotices } from './notices.js'
import type { Clock } from '../daemon/clock.js'
import { NotifyFifo, type RoleChange } from './notify-fifo.js'
import { keepRole, recallRole } from './role-file.js'
import { VrrpRole } from './vrrp-role.js'

/** What it is made of. */
export interface AgentRoleParts {
  /** Of keepalived's FIFO. */
  readonly path: string
  /** The instance that counts; all of them without it. */
  readonly instance: string | undefined
  readonly clock: Clock
  readonly notices: AgentNotices
  /** Hears of each change. */
  readonly onRole: (isMaster: boolean) => void
}

/** Follows keepalived. */
export class AgentRole {
  readonly #parts: AgentRoleParts
  readonly #role: VrrpRole
  readonly #fifo: NotifyFifo

  /** @param parts - What it is made of. */
  constructor(parts: AgentRoleParts) {
    const { path, instance, clock, notices } = parts
    this.#parts = parts
    this.#role = new VrrpRole(instance)
    this.#fifo = new NotifyFifo({ path, clock, onChange: (change) => this.#follow(change), onNotice: notices.tell })
  }

  /** Takes up the role that was kept, and follows from there. */
  start(): void {
    for (const change of recallRole(this.#parts.path)) this.#follow(change)
    this.#fifo.start()
  }

  /** Ends. */
  close(): void {
    this.#fifo.close()
  }

  #follow(change: RoleChange): void {
    if (!this.#role.update(change)) return
    const { path, notices, onRole } = this.#parts
    notices.attempt(`${path}.role`, () => keepRole(path, this.#role.masters))
    onRole(this.#role.isMaster)
  }
}
