/**
 * Encrypts frames between relays: AES-256-GCM, one datagram a frame.
 *
 * ```
 *  0 u32 magic "IVSL"   4 u8 version = 1   5 u32 key id   9 three bytes of 0
 * 12 u64 sender id     20 u64 sequence    28 u64 Unix time, ms
 * 36 ciphertext, as long as the frame; then 16 bytes of tag
 * ```
 * Integers are big-endian. The first 36 bytes are authenticated, not encrypted. Every sender has its own key, derived
 * from the shared one and its random id by HKDF-SHA-256, so that a nonce (four bytes of 0, the sequence) never repeats.
 *
 * @module
 */

import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { Key, KeyRing } from './keys.js'
import { ReplayWindow } from './replay-window.js'
import { DEFAULT_TOLERANCE_MS, type Verdict } from './verifier.js'

/** Bytes that encryption adds to a frame. */
export const CIPHER_OVERHEAD = 52

const MAGIC = 0x4956534c
const VERSION = 1
const HEAD = 36
const TAG = 16
const AT = { VERSION: 4, KEY: 5, SPARE: 9, SENDER: 12, SEQUENCE: 20, TIME: 28 } as const
const MAX_SENDERS = 1024

/** Encrypts the frames of one sender. */
export class FrameEncryptor {
  readonly #key: Buffer
  readonly #head = Buffer.alloc(HEAD)
  readonly #nonce = Buffer.alloc(12)
  readonly #wallClock: () => number
  #sequence = 0n

  /**
   * @param key - The shared key.
   * @param wallClock - Milliseconds since 1970.
   * @param sender - 64 bits; random by default, and never used twice with one key.
   */
  constructor(key: Key, wallClock: () => number = Date.now, sender: bigint = randomBytes(8).readBigUInt64BE()) {
    this.#wallClock = wallClock
    this.#key = senderKey(key, sender)
    this.#head.writeUInt32BE(MAGIC)
    this.#head[AT.VERSION] = VERSION
    this.#head.writeUInt32BE(key.id, AT.KEY)
    this.#head.writeBigUInt64BE(sender, AT.SENDER)
  }

  /** Returns the datagram that carries a frame. */
  encrypt(frame: Uint8Array): Uint8Array {
    this.#sequence++
    this.#head.writeBigUInt64BE(this.#sequence, AT.SEQUENCE)
    this.#head.writeBigUInt64BE(BigInt(Math.max(0, Math.floor(this.#wallClock()))), AT.TIME)
    this.#nonce.writeBigUInt64BE(this.#sequence, 4)
    const cipher = createCipheriv('aes-256-gcm', this.#key, this.#nonce).setAAD(this.#head)
    const body = cipher.update(frame)
    cipher.final()
    return Buffer.concat([this.#head, body, cipher.getAuthTag()])
  }
}

/** Decrypts what one receiver receives. */
export class FrameDecryptor {
  readonly #keys: KeyRing
  readonly #wallClock: () => number
  readonly #tolerance: number
  readonly #senders = new LRUCache<string, { readonly key: Buffer; readonly window: ReplayWindow }>({
    max: MAX_SENDERS
  })

  /**
   * @param keys - Every key that a sender may use.
   * @param wallClock - Milliseconds since 1970.
   * @param toleranceMs - Largest difference between a frame's time and this clock.
   */
  constructor(keys: KeyRing, wallClock: () => number = Date.now, toleranceMs = DEFAULT_TOLERANCE_MS) {
    this.#keys = keys
    this.#wallClock = wallClock
    this.#tolerance = toleranceMs
  }

  /** Returns the frame of a datagram, or why it is refused. */
  decrypt(datagram: Uint8Array): { readonly frame: Uint8Array } | { readonly verdict: Exclude<Verdict, 'VALID'> } {
    const bytes = Buffer.from(datagram.buffer, datagram.byteOffset, datagram.byteLength)
    if (bytes.length < HEAD + TAG || bytes.readUInt32BE() !== MAGIC || bytes[AT.VERSION] !== VERSION)
      return { verdict: 'UNSIGNED' }
    const key = this.#keys.get(bytes.readUInt32BE(AT.KEY))
    if (key === undefined) return { verdict: 'UNKNOWN_KEY' }
    const time = Number(bytes.readBigUInt64BE(AT.TIME))
    if (Math.abs(this.#wallClock() - time) > this.#tolerance) return { verdict: 'STALE' }
    const sender = bytes.readBigUInt64BE(AT.SENDER)
    const name = `${key.id}/${sender}`
    const known = this.#senders.get(name) ?? { key: senderKey(key, sender), window: new ReplayWindow() }
    const sequence = bytes.readBigUInt64BE(AT.SEQUENCE)
    const frame = decryptWith(known.key, bytes)
    if (frame === undefined || sequence > BigInt(Number.MAX_SAFE_INTEGER)) return { verdict: 'BAD_MAC' }
    // Only a holder of the key gets this far, so that nobody else can fill the memory of senders.
    this.#senders.set(name, known)
    return known.window.accept(Number(sequence)) ? { frame } : { verdict: 'REPLAYED' }
  }
}

function decryptWith(key: Buffer, bytes: Buffer): Buffer | undefined {
  const nonce = Buffer.alloc(12)
  bytes.copy(nonce, 4, AT.SEQUENCE, AT.SEQUENCE + 8)
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG })
  decipher.setAAD(bytes.subarray(0, HEAD)).setAuthTag(bytes.subarray(bytes.length - TAG))
  const frame = decipher.update(bytes.subarray(HEAD, bytes.length - TAG))
  try {
    decipher.final()
    return frame
  } catch {
    return undefined
  }
}

function senderKey(key: Key, sender: bigint): Buffer {
  const salt = Buffer.alloc(8)
  salt.writeBigUInt64BE(sender)
  return Buffer.from(hkdfSync('sha256', key.derive('ipvs-sync link 1'), salt, 'frame', 32))
}
