/**
 * Which entry controls which: a persistent connection belongs to its template, an FTP data connection to its control
 * connection (`ip_vs_control_add`). Slots are numbers above 0.
 *
 * @module
 */

/** Links from entries to what controls them. Costs nothing for entries that are not linked. */
export class Controllers {
  readonly #controllerOf = new Map<number, number>()
  readonly #controlled = new Map<number, number>()

  /** The slot that controls this one; 0 if none does. */
  of(slot: number): number {
    return this.#controllerOf.size === 0 ? 0 : (this.#controllerOf.get(slot) ?? 0)
  }

  /** How many entries this one controls. */
  count(slot: number): number {
    return this.#controlled.get(slot) ?? 0
  }

  /**
   * Puts a slot under a controller, and takes it from the one that it had.
   *
   * @returns false, and nothing changed, if the controller is the slot itself or stands below it.
   */
  link(slot: number, controller: number): boolean {
    for (let up = controller; up !== 0; up = this.of(up)) if (up === slot) return false
    this.unlink(slot)
    this.#controllerOf.set(slot, controller)
    this.#controlled.set(controller, this.count(controller) + 1)
    return true
  }

  /** Takes a slot from its controller, if it has one. */
  unlink(slot: number): void {
    const controller = this.of(slot)
    if (controller === 0) return
    this.#controllerOf.delete(slot)
    const left = this.count(controller) - 1
    if (left === 0) this.#controlled.delete(controller)
    else this.#controlled.set(controller, left)
  }

  /** Forgets a slot that is gone, on both sides: what it controlled is free. */
  drop(slot: number): void {
    this.unlink(slot)
    if (!this.#controlled.delete(slot)) return
    // Rare: an entry that controls others is not removed by its own timer.
    for (const [below, controller] of this.#controllerOf) if (controller === slot) this.#controllerOf.delete(below)
  }
}
