/**
 * The commands, in the order of the help. The code of a command is loaded only when it is chosen.
 *
 * A command `NAME` lives in `src/cli/NAME/command.ts`, which exports two functions ({@link CommandModule}):
 *
 * ```ts
 * import type { Command } from 'commander'                     // types only: the program loads commander
 * export function configure(command: Command): void            // arguments, options, help text; no side effects
 * export async function execute(command: Command, io: Io): Promise<number>
 * ```
 *
 * `execute` reads `command.args`, `command.processedArgs` and `command.opts<T>()` and resolves to the exit code: 0 ok,
 * 1 findings. An error that it throws is printed in one line: an `IpvsSyncError` of code `ERR_CONFIG`, `ERR_USAGE` or
 * `ERR_ENCODE` exits 2, any other 3. It writes to `io.stdout` and `io.stderr` only, never exits the process, and reads
 * `io.signal` if it must end cleanly at SIGINT and SIGTERM. Shared options are in `options.ts`.
 *
 * @module
 */

import type { Command } from 'commander'
import type { Io } from './io.js'

/** Exports of a command's module. */
export interface CommandModule {
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
