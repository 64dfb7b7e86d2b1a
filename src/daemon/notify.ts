/**
 * Telling systemd how the service does, where systemd asked (sd_notify).
 *
 * Node has no datagram sockets of the local family, so systemd's own program says it.
 *
 * @module
 */

import { spawn } from 'node:child_process'

/** The state that systemd receives. */
export interface ServiceState {
  /** `ready`: the start has ended. `stopping`: the end has begun. Left out: only the status. */
  readonly phase?: 'ready' | 'stopping'
  /** One line for `systemctl status`. */
  readonly status: string
}

/** Runs a program and forgets it; its absence does no harm. */
export type Launch = (program: string, args: readonly string[]) => void

/**
 * Tells systemd. Without `NOTIFY_SOCKET` in the environment, or without `systemd-notify`, nothing happens.
 *
 * @param state - What to tell.
 * @param env - The process's environment.
 * @param launch - Starts the program; a test gives its own.
 */
export function notifyService(
  state: ServiceState,
  env: Readonly<Record<string, string | undefined>>,
  launch: Launch = launchQuietly
): void {
  if ((env['NOTIFY_SOCKET'] ?? '') === '') return
  // Assignments, since not every systemd-notify has an option for each: Debian 12's (252) has no --stopping.
  const phase = state.phase === undefined ? [] : [`${state.phase.toUpperCase()}=1`]
  // The message is to count as this process's own, not as that of the program which carries it.
  launch('systemd-notify', [`--pid=${process.pid}`, `--status=${state.status}`, ...phase])
}

/** Starts a program without its output; one that is not there, or fails, is ignored. */
export function launchQuietly(program: string, args: readonly string[]): void {
  try {
    spawn(program, args, { stdio: 'ignore' }).on('error', () => undefined)
  } catch {
    // Out of descriptors or memory: systemd misses a line of status.
  }
}
