/**
 * The index: open addressing with linear probing, from a key's hash to slots. A cell is one word: the slot, and as many of
 * the hash's high bits as there is room for, so that an entry is hardly ever looked at in vain.
 *
 * Its size is fixed by the ceiling, so it never pauses to grow; memory that was never touched costs nothing. Slots of one
 * hash are kept newest first, as a kernel's hash chains are, because a table can hold two entries with one key.
 *
 * @module
 */

/**
 * No probe is longer. A seeded hash makes long ones a matter of an attacker's luck; where one has it, connections are
 * refused and counted rather than searched for ever.
 */
const MOST_PROBES = 512

/** From hashes to slots. */
export class SlotIndex {
  /** One word a cell: the slot, and as many of its hash's high bits as there is room for; 0 where there is none. */
  readonly cells: Int32Array
  /** Of a hash, the bits that name its home cell. */
  readonly mask: number
  /** Of a cell, the bits that name a slot. */
  readonly slotMask: number

  /**
   * @param capacity - How many slots it holds at most.
   * @param lastSlot - The largest slot number.
   */
  constructor(capacity: number, lastSlot: number) {
    const cells = 2 ** Math.ceil(Math.log2(Math.max(16, capacity * 1.25)))
    this.cells = new Int32Array(cells)
    this.mask = cells - 1
    this.slotMask = 2 ** Math.ceil(Math.log2(lastSlot + 1)) - 1
  }

  /** The cell where a search for a hash begins. */
  home(hash: number): number {
    return hash & this.mask
  }

  /** The slot in the cell of a search's step `step`, 0 where the search ends, -1 where the cell cannot be the one. */
  probe(hash: number, step: number): number {
    if (step >= MOST_PROBES) return 0
    const cell = this.cells[(hash + step) & this.mask]!
    if (cell === 0) return 0
    return ((cell ^ hash) & ~this.slotMask) === 0 ? cell & this.slotMask : -1
  }

  /**
   * Adds a slot, before those of the same hash. Others stay where they are, so that none is pushed out of a search's reach.
   *
   * @param homeOf - The home cell of another slot's key.
   * @returns False where the neighbourhood is too crowded; nothing is changed then.
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
   * Removes a slot and closes the gap, so that no search stops short.
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

  /** Forgets everything. */
  clear(): void {
    this.cells.fill(0)
  }
}
