/**
 * Between an entry and a row.
 *
 * @module
 */
import { FLAG } from '../wire/constants.js'
import { ROW } from '../wire/rows.js'
import { ENTRY, EXTRA } from './entry.js'

/** Copies a row's addresses into an entry. Of a firewall mark's template only the mark is kept, as a kernel keeps it. */
export function copyAddresses(chunk: Int32Array, base: number, words: Int32Array, from: number, ipv6: boolean): void {
  const at = base + ENTRY.ADDRESSES
  const length = ipv6 ? 4 : 1
  const fwmark = words[from + ROW.PROTOCOL] === 0
  for (let i = 0; i < length; i++) {
    chunk[at + i] = words[from + ROW.CLIENT + i]!
    chunk[at + length + i] = fwmark && i > 0 ? 0 : words[from + ROW.VIRTUAL + i]!
    chunk[at + 2 * length + i] = words[from + ROW.DESTINATION + i]!
  }
}

/** Copies an entry into a row, what is kept beside it apart. */
export function copyToRow(chunk: Int32Array, base: number, ipv6: boolean, words: Int32Array, to: number): void {
  const rest = chunk[base + ENTRY.REST]!
  const flagsAndState = chunk[base + ENTRY.FLAGS_STATE]!
  const nfct = (chunk[base + ENTRY.SYNCED]! >>> 24) & EXTRA.NFCT ? FLAG.NFCT : 0
  words[to + ROW.FAMILY] = ipv6 ? 6 : 4
  words[to + ROW.PROTOCOL] = (rest >>> 8) & 0xff
  words[to + ROW.FLAGS] = (flagsAndState >>> 16) | nfct
  words[to + ROW.STATE] = flagsAndState & 0xffff
  words[to + ROW.CLIENT_PORT] = chunk[base + ENTRY.PORTS]! >>> 16
  words[to + ROW.VIRTUAL_PORT] = chunk[base + ENTRY.PORTS]! & 0xffff
  words[to + ROW.DESTINATION_PORT] = rest >>> 16
  words[to + ROW.FWMARK] = chunk[base + ENTRY.FWMARK]!
  words[to + ROW.TIMEOUT] = chunk[base + ENTRY.TIMEOUT]!
  words[to + ROW.PRESENT] = 0
  words[to + ROW.OFFSET] = 0
  words[to + ROW.VERDICT] = 0
  const at = base + ENTRY.ADDRESSES
  const length = ipv6 ? 4 : 1
  for (let i = 0; i < length; i++) {
    words[to + ROW.CLIENT + i] = chunk[at + i]!
    words[to + ROW.VIRTUAL + i] = chunk[at + length + i]!
    words[to + ROW.DESTINATION + i] = chunk[at + 2 * length + i]!
  }
}
