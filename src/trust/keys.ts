/**
 * Keys that sign and verify messages: their text form, their file, and the HMAC made with them.
 *
 * A key is 256 random bits. In a file it is one line, `ipvs-sync-key-1:` and 43 characters of base64url. Blank lines and lines
 * that begin with `#` are ignored. The first key of a file signs; all of them verify, so that keys rotate without a gap:
 * append the new key everywhere, then move it to the front everywhere, then remove the old one.
 *
 * @module
 */

import { createHash, hash, randomBytes, timingSafeEqual } from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { IpvsSyncError } from '../errors.js'

/** Length of a message authentication code in a message, in bytes: HMAC-SHA-256 truncated to 128 bits. */
export const MAC_LENGTH = 16

const PREFIX = 'ipvs-sync-key-1:'
const KEY_LENGTH = 32
const BLOCK = 64
const MAX_MESSAGE = 65_536
const MAX_FILE = 65_536
const MAX_KEYS = 16

/** One key. It keeps its own buffers, so that a message costs two one-shot hashes and no stream object. */
export class Key {
  /** First four bytes of the key's SHA-256, big-endian: names the key without revealing it. */
  readonly id: number
  readonly #inner = new Uint8Array(BLOCK + MAX_MESSAGE)
  readonly #outer = new Uint8Array(BLOCK + 32)
  readonly #secret: Uint8Array

  /** @param secret - 32 bytes. */
  constructor(secret: Uint8Array) {
    this.#secret = secret.slice()
    this.id = createHash('sha256').update(secret).digest().readUInt32BE(0)
    for (let index = 0; index < BLOCK; index++) {
      const byte = secret[index] ?? 0
      this.#inner[index] = byte ^ 0x36
      this.#outer[index] = byte ^ 0x5c
    }
  }

  /** Returns the first 16 bytes of HMAC-SHA-256 (RFC 2104) over `bytes`, at most 65,536 of them. */
  mac(bytes: Uint8Array): Uint8Array {
    this.#inner.set(bytes, BLOCK)
    this.#outer.set(hash('sha256', this.#inner.subarray(0, BLOCK + bytes.length), 'buffer'), BLOCK)
    return hash('sha256', this.#outer, 'buffer').subarray(0, MAC_LENGTH)
  }

  /** Returns whether `mac` belongs to `bytes`; takes the same time for every wrong code. */
  verifies(bytes: Uint8Array, mac: Uint8Array): boolean {
    return timingSafeEqual(this.mac(bytes), mac)
  }

  /** Returns 32 bytes derived from the key for another purpose, so that one secret never serves two ciphers. */
  derive(purpose: string): Uint8Array {
    return createHash('sha256').update(this.#secret).update(purpose).digest()
  }
}

/** The keys of one file: the first signs, all verify. */
export class KeyRing {
  /** The key that signs. */
  readonly signing: Key
  readonly #byId: ReadonlyMap<number, Key>

  /** @param keys - At least one. */
  constructor(keys: readonly [Key, ...Key[]]) {
    this.signing = keys[0]
    this.#byId = new Map(keys.map((key) => [key.id, key]))
  }

  /** Returns the key with this id, if the ring has it. */
  get(id: number): Key | undefined {
    return this.#byId.get(id)
  }
}

/** Returns a new key in its text form. */
export function generateKey(): string {
  return `${PREFIX}${randomBytes(KEY_LENGTH).toString('base64url')}`
}

/**
 * Parses the text of a key file.
 *
 * @throws IpvsSyncError `ERR_CONFIG` that names the line, never its content.
 */
export function parseKeys(text: string, name = 'keys'): KeyRing {
  const keys: Key[] = []
  for (const [index, line] of text.split('\n').entries()) {
    const word = line.trim()
    if (word === '' || word.startsWith('#')) continue
    const secret = Buffer.from(word.slice(PREFIX.length), 'base64url')
    // The secret itself must not reach a log: the error shows where it stands only.
    if (!/^ipvs-sync-key-1:[A-Za-z0-9_-]{43}$/.test(word) || secret.length !== KEY_LENGTH)
      throw keyError(
        name,
        `line ${index + 1}: expected a key as 'ipvs-sync key' prints it, got ${word.length} other characters`
      )
    keys.push(new Key(secret))
  }
  const [first, ...others] = keys
  if (first === undefined) throw keyError(name, 'expected at least one key, got none; create one with ipvs-sync key')
  if (keys.length > MAX_KEYS) throw keyError(name, `expected at most ${MAX_KEYS} keys, got ${keys.length}`)
  return new KeyRing([first, ...others])
}

/**
 * Reads a key file. It must be a regular file that belongs to this user or root and that nobody else may read or write.
 *
 * @throws IpvsSyncError `ERR_CONFIG`, whose message names the file and the command that mends it.
 */
export function readKeyFile(path: string): KeyRing {
  let descriptor: number
  try {
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (cause) {
    throw keyError(path, `cannot be opened: ${(cause as Error).message}`)
  }
  try {
    const stat = fstatSync(descriptor)
    if (!stat.isFile()) throw keyError(path, 'expected a regular file')
    if (stat.uid !== process.geteuid!() && stat.uid !== 0)
      throw keyError(path, `expected a file of this user or root, got owner ${stat.uid}`)
    if ((stat.mode & 0o077) !== 0)
      throw keyError(path, `expected mode 0600, got 0${(stat.mode & 0o777).toString(8)}; run chmod 600 ${path}`)
    if (stat.size > MAX_FILE) throw keyError(path, `expected at most ${MAX_FILE} bytes, got ${stat.size}`)
    return parseKeys(readFileSync(descriptor, 'utf8'), path)
  } finally {
    closeSync(descriptor)
  }
}

function keyError(name: string, text: string): IpvsSyncError {
  return new IpvsSyncError('ERR_CONFIG', `key file ${name}: ${text}`, { field: 'keyFile' })
}
