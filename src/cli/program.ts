/**
 * The command line. Only the code of the chosen command is loaded.
 *
 * @module
 */

import { Command, CommanderError } from 'commander'
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
  // The command whose code is needed is the first word, or the one after `help`.
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

/**
 * Exports of a command's module, `src/cli/NAME/command.ts`: its code is loaded only when it is chosen.
 *
 * `configure` has no side effects, and imports types of commander only. `execute` reads `command.args`,
 * `command.processedArgs` and `command.opts<T>()` and resolves to the exit code: 0 ok, 1 findings. An error that it
 * throws is printed in one line: an `IpvsSyncError` of code `ERR_CONFIG`, `ERR_USAGE` or `ERR_ENCODE` exits 2, any
 * other 3. It writes to `io.stdout` and `io.stderr` only, never exits the process, and reads `io.signal` if it must end
 * cleanly at SIGINT and SIGTERM. Shared options are in `options.ts`.
 */
interface CommandModule {
  /** Adds arguments, options and help text. */
  readonly configure: (command: Command) => void
  /** Runs the command; resolves to the exit code. */
  readonly execute: (command: Command, io: Io) => Promise<number>
}

/** A command as the help lists it. */
export interface CommandEntry {
  readonly name: string
  readonly summary: string
  readonly load: () => Promise<CommandModule>
  /** Whether every other command must be configured first: for completions. */
  readonly needsAll?: boolean
}

/** Every command; one line each, whatever its length. */
// prettier-ignore
export const COMMANDS: readonly CommandEntry[] = [
  { name: 'demo', summary: 'run a master and a backup on this machine and show what they exchange', load: () => import('./demo/command.js') },
  { name: 'decode', summary: 'print the messages of a capture and the problems in them', load: () => import('./decode/command.js') },
  { name: 'compare', summary: 'compare what a master sent with what a backup received or holds, and say why they differ', load: () => import('./compare/command.js') },
  { name: 'simulate', summary: 'predict what a director would send for captured traffic, and what a failover would lose', load: () => import('./simulate/command.js') },
  { name: 'explain', summary: "show one client's connections packet by packet, and why each was announced or not", load: () => import('./explain/command.js') },
  { name: 'resync', summary: 'send a whole table once, paced, to a backup that joined late', load: () => import('./resync/command.js') },
  { name: 'backup', summary: 'join the group and keep the table that masters announce', load: () => import('./backup/command.js') },
  { name: 'master', summary: 'announce connections: from JSON Lines, from the running kernel, or generated', load: () => import('./master/command.js') },
  { name: 'agent', summary: 'keep a copy of the table, restore it after a restart, and supply it to other directors', load: () => import('./agent/command.js') },
  { name: 'wait-ready', summary: 'wait until an agent has its table, before keepalived takes the address', load: () => import('./wait-ready/command.js') },
  { name: 'relay', summary: 'carry the messages of a group to other sites, over encrypted UDP or NATS', load: () => import('./relay/command.js') },
  { name: 'store', summary: 'convert the file of agent --store to JSON Lines and back', load: () => import('./store/command.js') },
  { name: 'key', summary: 'print a new key for --key-file', load: () => import('./key/command.js') },
  { name: 'doctor', summary: 'check this host and the link: is synchronisation working, and if not, why', load: () => import('./doctor/command.js') },
  { name: 'watch', summary: 'show a group, a running daemon or a capture as a live full-screen view', load: () => import('./watch/command.js') },
  { name: 'sysctl', summary: 'print every variable of net.ipv4.vs with value, default, range and meaning, or check a file', load: () => import('./sysctl/command.js') },
  { name: 'completion', summary: 'print completions for bash, zsh or fish, or the manual page', load: () => import('./completion/command.js'), needsAll: true }
]
