/**
 * Bytes as lower-case hex, and back.
 *
 * @module
 */

const PAIRS: readonly string[] = Array.from({ length: 256 }, (_, value) => value.toString(16).padStart(2, '0'))

/** Lower-case hex of bytes, two digits a byte. */
export function toHex(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += PAIRS[byte]!
  return text
}

/** Bytes of hex text in either case; undefined where it is not hex or has an odd number of digits. */
export function fromHex(text: string): Uint8Array | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(text)) return undefined
  return Uint8Array.from({ length: text.length / 2 }, (_, i) => parseInt(text.slice(2 * i, 2 * i + 2), 16))
}

/** Bytes as text, one character a byte (Latin-1): a persistence engine's name. */
export function toText(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes)
}

/** Text as bytes, one byte a character; undefined where a character is past 255. */
export function fromText(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code > 255) return undefined
    bytes[i] = code
  }
  return bytes
}
