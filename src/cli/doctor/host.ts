/**
 * The host as `doctor` reads it: files, commands, sockets. A test supplies its own.
 *
 * @module
 */

import { execFile, spawn } from 'node:child_process'
import { createSocket, type Socket, type SocketOptions } from 'node:dgram'
import { readdir, readFile, readlink, stat } from 'node:fs/promises'
import { networkInterfaces, type NetworkInterfaceInfo } from 'node:os'
import type { Reading } from './facts.js'

/** Read-only access to a host. */
export interface Host {
  /** Reads a text file. */
  readText(path: string): Promise<Reading<string>>
  /** Lists a folder; empty where it cannot be read. */
  list(folder: string): Promise<readonly string[]>
  /** Target of a symbolic link; empty where it cannot be read. */
  link(path: string): Promise<string>
  /** Kind of a file. */
  kindOf(path: string): Promise<'fifo' | 'missing' | 'other'>
  /** Runs a command and returns its standard output. */
  run(command: string, args: readonly string[]): Promise<Reading<string>>
  /** Runs a command until the signal aborts, and delivers its standard output; resolves to why it ended early, if it did. */
  follow(
    command: string,
    args: readonly string[],
    onData: (chunk: Uint8Array) => void,
    end: AbortSignal
  ): Promise<string | undefined>
  interfaces(): Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>
  createSocket(options: SocketOptions): Socket
  /** Fetches a text by HTTP; its first character class is the status. */
  get(url: string): Promise<{ readonly status: number; readonly text: string }>
}

/** Time that a command may take, in milliseconds. */
const COMMAND_TIMEOUT = 5000

/** This host. */
export const thisHost: Host = {
  readText: (path) => attempt(path, () => readFile(path, 'latin1')),
  list: (folder) => readdir(folder).catch(() => []),
  link: (path) => readlink(path).catch(() => ''),
  kindOf: (path) =>
    stat(path).then(
      (found) => (found.isFIFO() ? 'fifo' : 'other'),
      () => 'missing'
    ),
  run: (command, args) =>
    new Promise((resolve) => {
      execFile(
        command,
        args,
        { timeout: COMMAND_TIMEOUT, maxBuffer: 1 << 26, env: commandEnvironment() },
        (error, stdout, stderr) => {
          resolve(error === null ? { value: stdout } : { reason: commandFault(command, error, stderr) })
        }
      )
    }),
  follow: (command, args, onData, end) =>
    new Promise((resolve) => {
      const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: commandEnvironment() })
      let errors = ''
      child.stdout.on('data', onData)
      child.stderr.setEncoding('utf8').on('data', (text: string) => (errors = (errors + text).slice(-500)))
      const stop = (): void => void child.kill('SIGINT')
      end.addEventListener('abort', stop, { once: true })
      child.on('error', (error) => resolve(commandFault(command, error, '')))
      child.on('close', () => {
        end.removeEventListener('abort', stop)
        resolve(end.aborted ? undefined : commandFault(command, new Error('it ended'), errors))
      })
    }),
  interfaces: () => networkInterfaces(),
  createSocket: (options) => createSocket(options),
  async get(url) {
    const response = await fetch(url, { signal: AbortSignal.timeout(COMMAND_TIMEOUT) })
    return { status: response.status, text: await response.text() }
  }
}

/** Directors keep these commands in sbin, which the PATH of an ordinary user lacks. */
function commandEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`, LC_ALL: 'C' }
}

async function attempt(what: string, read: () => Promise<string>): Promise<Reading<string>> {
  try {
    return { value: await read() }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return {
      reason: `${what}: ${code === 'EACCES' || code === 'EPERM' ? 'permission denied; run as root' : code === 'ENOENT' ? 'no such file' : String(code)}`
    }
  }
}

function commandFault(command: string, error: Error, errors: string): string {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return `${command} is not installed`
  if (/permission|not permitted|must be root|privilege/i.test(errors))
    return `${command} lacks a right: run as root, or with CAP_NET_ADMIN${command === 'tcpdump' ? ' and CAP_NET_RAW' : ''}`
  return `${command} failed: ${(errors.trim().split('\n').at(-1) ?? '') || error.message}`
}
