/**
 * Keys: what makes two records the same connection, and their hash. docs/protocol.md section 7 (`ip_vs_conn_in_get`,
 * `ip_vs_ct_in_get`, `ip_vs_sip_ct_match`).
 *
 * - connection: family, protocol, client address and port, virtual address and port. An entry with NO_CPORT matches port 0
 *   only, an entry without it any other port only. The kernel does not check whether the entry is a template.
 * - template: the same, both ports exactly, and the entry must be a template.
 * - protocol 0 (a template of a firewall mark): only the first word of the virtual address, which holds the mark.
 * - template with persistence-engine data: the data instead of the client's port.
 * - connection with persistence-engine data: the kernel searches the engine's hash chain, where only templates stand. It
 *   finds a template with the same data, addresses and ports.
 *
 * @module
 */
import { FLAG } from '../wire/constants.js'
import { PRESENT, ROW, ROW_WORDS, type EngineBytes, type Rows } from '../wire/rows.js'
import { ENTRY, EXTRA } from './entry.js'
import { tabulate, type KeyHash } from './hash.js'

// Aliases: V8 folds a module's own constants and reads another module's anew at each use.
const {
  ADDRESSES: ENTRY_ADDRESSES,
  FLAGS_STATE: ENTRY_FLAGS_STATE,
  PORTS: ENTRY_PORTS,
  REST: ENTRY_REST,
  SYNCED: ENTRY_SYNCED
} = ENTRY
const {
  CLIENT: ROW_CLIENT,
  FAMILY: ROW_FAMILY,
  FLAGS: ROW_FLAGS,
  PRESENT: ROW_PRESENT,
  PROTOCOL: ROW_PROTOCOL,
  VIRTUAL: ROW_VIRTUAL,
  VIRTUAL_PORT: ROW_VIRTUAL_PORT
} = ROW
const { ENGINE: PRESENT_ENGINE } = PRESENT
const { ENGINE: EXTRA_ENGINE } = EXTRA
const { NO_CPORT: FLAG_NO_CPORT, TEMPLATE: FLAG_TEMPLATE } = FLAG

/** Returns whether a row has persistence-engine data. A name alone does not count. */
export function hasEngineData(rows: Rows, index: number): boolean {
  return (rows.words[index * ROW_WORDS + ROW_PRESENT]! & PRESENT_ENGINE) !== 0 && rows.engines[index]!.data.length > 0
}

/** Returns whether a row is a template whose key is made of persistence-engine data. */
export function isEngineKey(rows: Rows, index: number): boolean {
  return (rows.words[index * ROW_WORDS + ROW_FLAGS]! & FLAG_TEMPLATE) !== 0 && hasEngineData(rows, index)
}

/**
 * Hashes a row's key.
 *
 * @param hash - The table's.
 * @param clientPort - The client's port, or 0 for the second search among connections without one.
 * @param byEngine - Whether the persistence-engine data replace the client's port.
 */
export function hashRow(hash: KeyHash, rows: Rows, index: number, clientPort: number, byEngine: boolean): number {
  const { words } = rows
  const from = index * ROW_WORDS
  const protocol = words[from + ROW_PROTOCOL]!
  const ports = ((byEngine ? 0 : clientPort) << 16) | words[from + ROW_VIRTUAL_PORT]!
  if (!byEngine && words[from + ROW_FAMILY] !== 6)
    return tabulate(hash.tables, words[from + ROW_CLIENT]!, ports, words[from + ROW_VIRTUAL]!, protocol)
  const ipv6 = words[from + ROW_FAMILY] === 6
  const engine = byEngine ? rows.engines[index] : undefined
  return hashLong(hash, words, from + ROW_CLIENT, from + ROW_VIRTUAL, ports, protocol, ipv6, engine)
}

/** Hashes an entry's key: the same value as that of a row with its fields. */
export function hashEntry(
  hash: KeyHash,
  chunk: Int32Array,
  base: number,
  ipv6: boolean,
  engine: EngineBytes | undefined
): number {
  const ports = chunk[base + ENTRY_PORTS]!
  const protocol = (chunk[base + ENTRY_REST]! >>> 8) & 0xff
  const client = base + ENTRY_ADDRESSES
  const virtual = client + (ipv6 ? 4 : 1)
  if (!ipv6 && engine === undefined) return tabulate(hash.tables, chunk[client]!, ports, chunk[virtual]!, protocol)
  return hashLong(hash, chunk, client, virtual, engine === undefined ? ports : ports & 0xffff, protocol, ipv6, engine)
}

/**
 * Returns whether an entry has a row's key, except for its persistence-engine data.
 *
 * @param byEngine - Whether the row has such data.
 */
export function matches(
  chunk: Int32Array,
  base: number,
  words: Int32Array,
  from: number,
  ipv6: boolean,
  clientPort: number,
  byEngine: boolean
): boolean {
  const template = (words[from + ROW_FLAGS]! & FLAG_TEMPLATE) !== 0
  const flags = chunk[base + ENTRY_FLAGS_STATE]! >>> 16
  const protocol = words[from + ROW_PROTOCOL]!
  if (((chunk[base + ENTRY_REST]! >>> 8) & 0xff) !== protocol) return false
  if (template) {
    if ((flags & FLAG_TEMPLATE) === 0) return false
  } else if ((clientPort === 0) !== ((flags & FLAG_NO_CPORT) !== 0)) return false
  if (byEngine !== ((chunk[base + ENTRY_SYNCED]! >>> 24) & EXTRA_ENGINE) > 0) return false
  const ports = chunk[base + ENTRY_PORTS]!
  const isPortFree = template && byEngine
  if ((ports & 0xffff) !== words[from + ROW_VIRTUAL_PORT]! || (!isPortFree && ports >>> 16 !== clientPort)) return false
  const client = base + ENTRY_ADDRESSES
  if (chunk[client] !== words[from + ROW_CLIENT]) return false
  if (chunk[client + (ipv6 ? 4 : 1)] !== words[from + ROW_VIRTUAL]) return false
  return !ipv6 || sameTail(chunk, client, words, from, protocol === 0)
}

/** Returns whether two runs of bytes are equal. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}

/** Compares the words of IPv6 addresses behind the first. */
function sameTail(chunk: Int32Array, client: number, words: Int32Array, from: number, fwmark: boolean): boolean {
  for (let i = 1; i < 4; i++) {
    if (chunk[client + i] !== words[from + ROW_CLIENT + i]) return false
    if (!fwmark && chunk[client + 4 + i] !== words[from + ROW_VIRTUAL + i]) return false
  }
  return true
}

/** Hashes a key that is not plain IPv4: every word of it, and the engine data. */
function hashLong(
  hash: KeyHash,
  words: Int32Array,
  client: number,
  virtual: number,
  ports: number,
  protocol: number,
  ipv6: boolean,
  engine: EngineBytes | undefined
): number {
  const { input } = hash
  input[0] = ports
  input[1] = (protocol << 1) | (ipv6 ? 1 : 0)
  let count = 2
  const clientWords = ipv6 ? 4 : 1
  for (let i = 0; i < clientWords; i++) input[count++] = words[client + i]!
  const virtualWords = ipv6 && protocol !== 0 ? 4 : 1
  for (let i = 0; i < virtualWords; i++) input[count++] = words[virtual + i]!
  if (engine !== undefined) count = addBytes(input, count, engine.data)
  return hash.sip(count)
}

function addBytes(input: Int32Array, first: number, bytes: Uint8Array): number {
  let count = first
  input[count++] = bytes.length
  for (let i = 0; i < bytes.length; i += 4)
    input[count++] = bytes[i]! | ((bytes[i + 1] ?? 0) << 8) | ((bytes[i + 2] ?? 0) << 16) | ((bytes[i + 3] ?? 0) << 24)
  return count
}
