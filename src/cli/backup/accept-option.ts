/**
 * `--accept`: whose messages are heard.
 *
 * @module
 */

import { parseNetwork } from '../../addresses.js'
import { refuse } from '../parsers.js'

/** Adds a network, as it was typed, to those of a repeated option. */
export function collectAccept(text: string, before: readonly string[]): string[] {
  if (parseNetwork(text) === undefined)
    refuse('--accept', text, 'an address or a network: 10.0.0.1, 10.0.0.0/24 or fd00::/8')
  return [...before, text]
}
