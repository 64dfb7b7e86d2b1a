/**
 * Names of persistence engines as bytes.
 *
 * @module
 */

/** Returns the bytes of an ASCII name. */
export function asciiBytes(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0))
}

/** Compares `found` up to its first zero byte with `name`, as the kernel compares its copy of the name. */
export function isSameName(name: Uint8Array, found: Uint8Array): boolean {
  const zero = found.indexOf(0)
  const length = zero < 0 ? found.length : zero
  return length === name.length && name.every((byte, i) => byte === found[i])
}
