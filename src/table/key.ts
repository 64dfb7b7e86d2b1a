/**
 * Keys: what makes two records the same connection, and their hash. docs/protocol.md section 7 (`ip_vs_conn_in_get`,
 * `ip_vs_ct_in_get`, `ip_vs_sip_ct_match`).
 *
 * - connection: family, protocol, client address and port, virtual address and port; whether its port is open (NO_CPORT)
 *   must fit the port asked for. A kernel does not ask here whether what it finds is a template.
 * - template: the same, both ports exactly, and it must be a template.
 * - protocol 0 (a template of a firewall mark): of the virtual address only the first word, which holds the mark.
 * - template with persistence-engine data: the data instead of the client's port.
 *
 * @module
 */
import { FLAG } from '../wire/constants.js'
import { PRESENT, ROW, ROW_WORDS, type EngineBytes, type Rows } from '../wire/rows.js'
import { ENTRY, EXTRA } from './entry.js'

// Names of this module's own: V8 folds these constants, and reads those of another module anew at each use.
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

/** Whether a row has persistence-engine data; a name alone is none. */
export function hasEngineData(rows: Rows, index: number): boolean {
  return (rows.words[index * ROW_WORDS + ROW_PRESENT]! & PRESENT_ENGINE) !== 0 && rows.engines[index]!.data.length > 0
}

/** Whether a row is a template whose key is made of persistence-engine data. */
export function isEngineKey(rows: Rows, index: number): boolean {
  return (rows.words[index * ROW_WORDS + ROW_FLAGS]! & FLAG_TEMPLATE) !== 0 && hasEngineData(rows, index)
}

/**
 * Hash of a row's key.
 *
 * @param seed - Chosen at random for each table, so that nobody can aim at one place of it.
 * @param clientPort - The client's port, or 0 for the second look at connections whose port is open.
 */
export function hashRow(rows: Rows, index: number, seed: number, clientPort: number): number {
  const { words } = rows
  const from = index * ROW_WORDS
  const ipv6 = words[from + ROW_FAMILY] === 6
  if (!ipv6 && words[from + ROW_PRESENT] === 0) return hashPlain(words, from, seed, clientPort)
  const engine = isEngineKey(rows, index)
  let hash = mix(seed, words[from + ROW_CLIENT]!)
  hash = mix(hash, ((engine ? 0 : clientPort) << 16) | words[from + ROW_VIRTUAL_PORT]!)
  hash = mix(hash, words[from + ROW_VIRTUAL]!)
  hash = mix(hash, (words[from + ROW_PROTOCOL]! << 1) | (ipv6 ? 1 : 0))
  if (ipv6) hash = mixTails(hash, words, from + ROW_CLIENT, words[from + ROW_PROTOCOL] === 0)
  if (engine) hash = mixBytes(hash, rows.engines[index]!.data)
  return finish(hash)
}

/** {@link hashRow} of an IPv4 connection without persistence-engine data. */
export function hashPlain(words: Int32Array, from: number, seed: number, clientPort: number): number {
  let hash = mix(seed, words[from + ROW_CLIENT]!)
  hash = mix(hash, (clientPort << 16) | words[from + ROW_VIRTUAL_PORT]!)
  hash = mix(hash, words[from + ROW_VIRTUAL]!)
  return finish(mix(hash, words[from + ROW_PROTOCOL]! << 1))
}

/** Hash of an entry's key: the same as that of a row with its fields. */
export function hashEntry(
  chunk: Int32Array,
  base: number,
  ipv6: boolean,
  engine: EngineBytes | undefined,
  seed: number
): number {
  const ports = chunk[base + ENTRY_PORTS]!
  const client = base + ENTRY_ADDRESSES
  let hash = mix(seed, chunk[client]!)
  hash = mix(hash, engine === undefined ? ports : ports & 0xffff)
  hash = mix(hash, chunk[client + (ipv6 ? 4 : 1)]!)
  hash = mix(hash, (((chunk[base + ENTRY_REST]! >>> 8) & 0xff) << 1) | (ipv6 ? 1 : 0))
  if (ipv6) hash = mixTails(hash, chunk, client, ((chunk[base + ENTRY_REST]! >>> 8) & 0xff) === 0)
  if (engine !== undefined) hash = mixBytes(hash, engine.data)
  return finish(hash)
}

/**
 * Whether an entry has a row's key, its persistence-engine data apart.
 *
 * @param engine - Whether the row is a template with such data.
 */
export function matches(
  chunk: Int32Array,
  base: number,
  words: Int32Array,
  from: number,
  ipv6: boolean,
  clientPort: number,
  engine: boolean
): boolean {
  const template = (words[from + ROW_FLAGS]! & FLAG_TEMPLATE) !== 0
  const flags = chunk[base + ENTRY_FLAGS_STATE]! >>> 16
  const protocol = words[from + ROW_PROTOCOL]!
  if (((chunk[base + ENTRY_REST]! >>> 8) & 0xff) !== protocol) return false
  if (template) {
    if ((flags & FLAG_TEMPLATE) === 0) return false
  } else if ((clientPort === 0) !== ((flags & FLAG_NO_CPORT) !== 0)) return false
  if (engine !== ((chunk[base + ENTRY_SYNCED]! >>> 24) & EXTRA_ENGINE) > 0) return false
  const ports = chunk[base + ENTRY_PORTS]!
  if ((ports & 0xffff) !== words[from + ROW_VIRTUAL_PORT]! || (!engine && ports >>> 16 !== clientPort)) return false
  const client = base + ENTRY_ADDRESSES
  if (chunk[client] !== words[from + ROW_CLIENT]) return false
  if (chunk[client + (ipv6 ? 4 : 1)] !== words[from + ROW_VIRTUAL]) return false
  return !ipv6 || sameTail(chunk, client, words, from, protocol === 0)
}

/** Whether two runs of bytes are equal. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}

/** The words of IPv6 addresses behind the first. */
function sameTail(chunk: Int32Array, client: number, words: Int32Array, from: number, fwmark: boolean): boolean {
  for (let i = 1; i < 4; i++) {
    if (chunk[client + i] !== words[from + ROW_CLIENT + i]) return false
    if (!fwmark && chunk[client + 4 + i] !== words[from + ROW_VIRTUAL + i]) return false
  }
  return true
}

function mix(hash: number, word: number): number {
  const mixed = Math.imul(hash ^ word, 0x9e3779b1)
  return mixed ^ (mixed >>> 15)
}

/**
 * The words of IPv6 client and virtual address, which lie side by side, behind the first of each. All of the key counts:
 * what did not could be varied at will by whoever wants a search to be long.
 */
function mixTails(hash: number, words: Int32Array, client: number, fwmark: boolean): number {
  let mixed = hash
  for (let i = 1; i < 4; i++) mixed = mix(mixed, words[client + i]!)
  if (!fwmark) for (let i = 5; i < 8; i++) mixed = mix(mixed, words[client + i]!)
  return mixed
}

function mixBytes(hash: number, bytes: Uint8Array): number {
  let mixed = mix(hash, bytes.length)
  for (const byte of bytes) mixed = mix(mixed, byte)
  return mixed
}

function finish(hash: number): number {
  let mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return mixed ^ (mixed >>> 16)
}
