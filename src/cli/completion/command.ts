/**
 * `ipvs-sync completion`: completion scripts and the manual page, generated from the options.
 *
 * @module
 */

import type { Command } from 'commander'
import type { Io } from '../io.js'
import { addNotes } from '../notes.js'
import { describeProgram } from './describe.js'
import { manualPage } from './manual.js'
import { bashCompletion, fishCompletion, zshCompletion } from './shells.js'

/** Adds the argument and the examples. */
export function configure(command: Command): void {
  command.addArgument(command.createArgument('<bash|zsh|fish|man>', 'for whom').choices(['bash', 'zsh', 'fish', 'man']))
  addNotes(command, {
    examples: [
      'source <(ipvs-sync completion bash)',
      'ipvs-sync completion zsh > "${fpath[1]}/_ipvs-sync"',
      'ipvs-sync completion fish > ~/.config/fish/completions/ipvs-sync.fish',
      'ipvs-sync completion man | man -l -'
    ]
  })
}

/** Prints the completion script or the manual page. */
export async function execute(command: Command, io: Io): Promise<number> {
  const program = command.parent!
  const commands = describeProgram(program)
  const makers: Record<string, () => string> = {
    bash: () => bashCompletion(commands),
    zsh: () => zshCompletion(commands),
    fish: () => fishCompletion(commands),
    man: () => manualPage(commands, program.version()!.split('\n')[0]!)
  }
  io.stdout.write(makers[command.args[0]!]!())
  return Promise.resolve(0)
}
