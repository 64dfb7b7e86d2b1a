/**
 * The command line. Only the code of the chosen command is loaded.
 *
 * @module
 */

import { Command, CommanderError } from 'commander'
import { COMMANDS, type CommandEntry } from './commands.js'
import { EXIT_USAGE } from './errors.js'
import type { Io } from './io.js'
import { addNotes } from './notes.js'

/**
 * Parses arguments and runs the command.
 *
 * @param argv - Without Node and the script.
 * @param io - The process.
 * @param version - Version of this package.
 * @param commands - All commands.
 * @returns The exit code; 2 for wrong arguments, after a line with the reason.
 */
export async function runProgram(
  argv: readonly string[],
  io: Io,
  version: string,
  commands: readonly CommandEntry[] = COMMANDS
): Promise<number> {
  let exitCode = 0
  const program = createProgram(io, version)
  // Returns the name of the command whose code is needed: the first word, or the one after `help`.
  const words = argv.filter((word) => !word.startsWith('-'))
  const chosen = words[0] === 'help' ? words[1] : words[0]
  const all = commands.some(({ name, needsAll }) => name === chosen && needsAll)
  for (const { name, summary, load } of commands) {
    const command = program
      .command(name)
      .summary(summary)
      .description(`${summary[0]!.toUpperCase()}${summary.slice(1)}.`)
    if (name !== chosen && !all) continue
    const { configure, execute } = await load()
    configure(command)
    command.action(async () => {
      exitCode = await execute(command, io)
    })
  }
  try {
    await program.parseAsync(withoutUnknownHelp(argv, commands), { from: 'user' })
    return exitCode
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE
    throw error
  }
}

function createProgram(io: Io, version: string): Command {
  const program = new Command('ipvs-sync')
    .description('Sends, receives and inspects Linux IPVS connection synchronisation.')
    .version(version, '-V, --version')
    .usage('COMMAND [options]')
    .helpCommand('help [command]', 'show the help of a command')
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, 'ipvs-sync: ')),
      getOutHelpWidth: () => io.stdout.columns ?? 100,
      getErrHelpWidth: () => io.stderr.columns ?? 100,
      getOutHasColors: () => false,
      getErrHasColors: () => false
    })
    // Commands made after this inherit it.
    .exitOverride()
    .showHelpAfterError('Try --help.')
    .configureHelp({ minWidthToWrap: 20 })
  return addNotes(program, {
    text: ['Exit codes: 0 ok, 1 findings, 2 usage, 3 input or output. Each command has its own --help, with examples.'],
    examples: [
      'ipvs-sync demo',
      'ipvs-sync decode sync.pcap',
      'ipvs-sync backup --mcast-interface eth1 --syncid 5 --http 9848'
    ]
  })
}

/** `help WORD` with an unknown word fails as the word alone does: with a suggestion. */
function withoutUnknownHelp(argv: readonly string[], commands: readonly CommandEntry[]): readonly string[] {
  const [first, second] = argv
  const known = second === undefined || second.startsWith('-') || commands.some(({ name }) => name === second)
  return first === 'help' && !known ? [second] : argv
}
