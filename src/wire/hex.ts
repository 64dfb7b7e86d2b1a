/**
 * Bytes as lower-case hex, and back.
 *
 * @module
 */

const PAIRS: readonly string[] = Array.from({ length: 256 }, (_, value) => value.toString(16).padStart(2, '0'))

/** Returns bytes as lower-case hex, two digits per byte. */
export function toHex(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += PAIRS[byte]!
  return text
}

/** Parses hex in either case. Returns undefined if the text is not hex or has an odd number of digits. */
export function fromHex(text: string): Uint8Array | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(text)) return undefined
  return Uint8Array.from({ length: text.length / 2 }, (_, i) => parseInt(text.slice(2 * i, 2 * i + 2), 16))
}

/** Decodes bytes as Latin-1, for the name of a persistence engine. */
export function toText(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes)
}

/** Encodes text as Latin-1. Returns undefined if a character code is above 255. */
export function fromText(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code > 255) return undefined
    bytes[i] = code
  }
  return bytes
}
