/**
 * `--accept`: whose messages are heard.
 *
 * @module
 */

import { Option } from 'commander'
import { parseNetwork } from '../../addresses.js'
import { refuse } from '../parsers.js'

/**
 * The option; its value is a list of networks as they were typed.
 *
 * @param text - What it does, to which an example is added.
 */
export function acceptOption(text: string): Option {
  return new Option('--accept <network>', `${text}, such as 10.9.0.0/24; may be repeated`)
    .argParser((text: string, before: readonly string[]): string[] => {
      if (parseNetwork(text) === undefined)
        refuse('--accept', text, 'an address or a network: 10.0.0.1, 10.0.0.0/24 or fd00::/8')
      return [...before, text]
    })
    .default([], 'everybody')
}
