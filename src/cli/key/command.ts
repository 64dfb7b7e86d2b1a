/**
 * `ipvs-sync key`: prints a new key for --key-file.
 *
 * @module
 */

import type { Command } from 'commander'
import { generateKey } from '../../trust/keys.js'
import type { Io } from '../io.js'
import { addNotes } from '../notes.js'

/** Adds the help. */
export function configure(command: Command): void {
  addNotes(command, {
    text: [
      'The key is printed on standard output. Every director of a group needs the same file, readable by its owner only.',
      'A file may hold several keys: the first signs, all verify. To rotate, append the new key on every director, then move it to the front on every director, then remove the old one.'
    ],
    examples: ['(umask 077; ipvs-sync key > /etc/ipvs-sync.key)']
  })
}

/** Prints a key. */
export function execute(_command: Command, io: Io): Promise<number> {
  io.stdout.write(`${generateKey()}\n`)
  return Promise.resolve(0)
}
