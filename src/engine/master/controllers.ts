/**
 * Which entry controls which: a persistent connection belongs to its template, an FTP data connection to its control
 * connection (`ip_vs_control_add`). Slots are numbers above 0.
 *
 * @module
 */

/** Links from entries to the entries that control them. Entries without a link cost nothing. */
export class Controllers {
  readonly #controllerOf = new Map<number, number>()
  readonly #controlled = new Map<number, number>()

  /** Returns the slot that controls this one, or 0. */
  of(slot: number): number {
    return this.#controllerOf.size === 0 ? 0 : (this.#controllerOf.get(slot) ?? 0)
  }

  /** Returns how many entries this one controls. */
  count(slot: number): number {
    return this.#controlled.get(slot) ?? 0
  }

  /**
   * Puts a slot under a controller, instead of the one it had.
   *
   * @returns false, and nothing changed, if the controller is the slot itself or is controlled by it.
   */
  link(slot: number, controller: number): boolean {
    for (let up = controller; up !== 0; up = this.of(up)) if (up === slot) return false
    this.unlink(slot)
    this.#controllerOf.set(slot, controller)
    this.#controlled.set(controller, this.count(controller) + 1)
    return true
  }

  /** Removes a slot's link to its controller. */
  unlink(slot: number): void {
    const controller = this.of(slot)
    if (controller === 0) return
    this.#controllerOf.delete(slot)
    const left = this.count(controller) - 1
    if (left === 0) this.#controlled.delete(controller)
    else this.#controlled.set(controller, left)
  }

  /** Removes all links of a slot that is removed: what it controlled is free. */
  drop(slot: number): void {
    this.unlink(slot)
    if (!this.#controlled.delete(slot)) return
    // Rare: an entry that controls others is not removed by its own timer.
    for (const [below, controller] of this.#controllerOf) if (controller === slot) this.#controllerOf.delete(below)
  }
}
