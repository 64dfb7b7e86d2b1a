/**
 * The index: open addressing with linear probing, from a key's hash to slots. A cell is one word: the slot, and as many of
 * the hash's high bits as there is room for, so that an entry is hardly ever read without a match.
 *
 * Its size is fixed by the table's limit, so it never pauses to grow; memory that was never touched costs nothing. Slots of
 * one hash are ordered newest first, as a kernel's hash chains are, because a table can hold two entries with one key.
 *
 * @module
 */

/**
 * Longest probe. The hash is keyed (`hash.ts`): without the key nobody can choose keys that share a home cell, and at the
 * load of at most 0.8 a random probe of this length does not occur. Only one key added again and again reaches it: further
 * entries of that key are refused and counted.
 */
const MOST_PROBES = 512

/** Maps hashes to slots. */
export class SlotIndex {
  /** One word a cell: the slot, and as many of its hash's high bits as there is room for; 0 for an empty cell. */
  readonly cells: Int32Array
  /** The bits of a hash that select its home cell. */
  readonly mask: number
  /** The bits of a cell that hold the slot. */
  readonly slotMask: number

  /**
   * @param capacity - Maximum number of slots.
   * @param lastSlot - The largest slot number.
   */
  constructor(capacity: number, lastSlot: number) {
    const cells = 2 ** Math.ceil(Math.log2(Math.max(16, capacity * 1.25)))
    this.cells = new Int32Array(cells)
    this.mask = cells - 1
    this.slotMask = 2 ** Math.ceil(Math.log2(lastSlot + 1)) - 1
  }

  /** Returns the cell where a search for a hash begins. */
  home(hash: number): number {
    return hash & this.mask
  }

  /** Returns the slot in the cell of step `step` of a search, 0 at its end, -1 for a cell of another hash. */
  probe(hash: number, step: number): number {
    if (step >= MOST_PROBES) return 0
    const cell = this.cells[(hash + step) & this.mask]!
    if (cell === 0) return 0
    return ((cell ^ hash) & ~this.slotMask) === 0 ? cell & this.slotMask : -1
  }

  /**
   * Adds a slot before those of the same hash. Others stay in place, so that none is pushed beyond the longest probe.
   *
   * @param homeOf - The home cell of another slot's key.
   * @returns False, with nothing changed, if the probe would be too long.
   */
  add(hash: number, slot: number, homeOf: (slot: number) => number): boolean {
    const cells = this.cells
    const mask = this.mask
    let length = 0
    while (cells[(hash + length) & mask] !== 0) if (++length >= MOST_PROBES) return false
    const tag = hash & ~this.slotMask
    let cell = tag | slot
    for (let i = 0; i < length; i++) {
      const at = (hash + i) & mask
      const here = cells[at]!
      if ((here & ~this.slotMask) !== tag || homeOf(here & this.slotMask) !== (hash & mask)) continue
      cells[at] = cell
      cell = here
    }
    cells[(hash + length) & mask] = cell
    return true
  }

  /**
   * Removes a slot and closes the gap, so that no search ends early.
   *
   * @param homeOf - The home cell of another slot's key.
   */
  remove(hash: number, slot: number, homeOf: (slot: number) => number): void {
    const cells = this.cells
    const mask = this.mask
    let gap = hash & mask
    while ((cells[gap]! & this.slotMask) !== slot) {
      if (cells[gap] === 0) return
      gap = (gap + 1) & mask
    }
    for (let at = (gap + 1) & mask; cells[at] !== 0; at = (at + 1) & mask) {
      const home = homeOf(cells[at]! & this.slotMask)
      if (((at - home) & mask) < ((at - gap) & mask)) continue
      cells[gap] = cells[at]!
      gap = at
    }
    cells[gap] = 0
  }

  /** Empties it. */
  clear(): void {
    this.cells.fill(0)
  }
}
