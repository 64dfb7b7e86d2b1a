/**
 * What any text for a person is made with: addresses with ports, and what came from the network made safe.
 *
 * @module
 */
import type { Endpoint } from './connection.js'

/** `10.0.0.1:80`, `[fe80::1]:80`. */
export function endpointText({ address, port }: Endpoint): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}

/**
 * Text from the network as one line of printable ASCII: everything else as `\xNN` or `\u{N}`. A message must not be able
 * to move the cursor of the terminal that shows it.
 */
export function printable(text: string): string {
  return text.replace(/[^ -~]|\\/gu, (character) => {
    const code = character.codePointAt(0)!
    return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`
  })
}
