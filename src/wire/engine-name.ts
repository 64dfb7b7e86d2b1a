/**
 * Names of persistence engines as bytes.
 *
 * @module
 */

/** A name's bytes. */
export function asciiBytes(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0))
}

/** Names are compared up to their first zero byte, as the kernel compares them once it has copied them. */
export function isSameName(name: Uint8Array, found: Uint8Array): boolean {
  const zero = found.indexOf(0)
  const length = zero < 0 ? found.length : zero
  return length === name.length && name.every((byte, i) => byte === found[i])
}
