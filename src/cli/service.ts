/**
 * What `master`, `backup` and `agent` have in common as programs that run until they are told to end: options, HTTP, systemd,
 * SIGHUP, the end.
 *
 * @module
 */

import type { Command } from 'commander'
import type { IpvsSyncError } from '../errors.js'
import type { NoticeEvent } from '../engine/events.js'
import { CONN_SYNC_HEADER, connSyncLine } from '../procfs/write-connections.js'
import type { Sysctls } from '../sysctl/settings.js'
import type { TableConnection } from '../wire/connection.js'
import type { HttpServer, HttpView } from '../daemon/http/http-server.js'
import { notifyService, type ServiceState } from '../daemon/notify.js'
import type { SyncOptions } from '../daemon/sync-options.js'
import type { Roles } from '../daemon/http/sync-view.js'
import { explain } from './errors.js'
import type { Io } from './io.js'
import { addNotes } from './notes.js'
import {
  addDaemonOptions,
  addSysctlOptions,
  settingsOf,
  udpOptionsOf,
  type DaemonOptions,
  type SysctlOptions
} from './options.js'
import { integerOption, parseListen, type HostPort } from './parsers.js'

/** What {@link addServiceOptions} adds, as `command.opts()` has it. */
export interface ServiceOptions extends DaemonOptions, SysctlOptions {
  readonly http?: HostPort
  readonly maxConnections: number
}

/** A master or a backup, as a service sees it. */
export interface ServiceDaemon {
  /** The settings now. */
  readonly sysctls: Sysctls
  start(): Promise<void>
  close(): Promise<void>
  configure(sysctls: Sysctls): void
  on(event: 'notice', listener: (event: NoticeEvent) => void): unknown
  on(event: 'error', listener: (error: IpvsSyncError) => void): unknown
  on(event: 'listening', listener: (description: string) => void): unknown
}

/** One running service. */
export interface Service {
  /** The command's name. */
  readonly name: 'master' | 'backup' | 'agent'
  readonly daemon: ServiceDaemon
  /** What HTTP shows. */
  readonly roles: Roles
  /** What `/readyz` says; by default whether the sockets are open. */
  readonly readiness?: Required<Pick<HttpView, 'ready' | 'status'>>
  readonly options: ServiceOptions
  /** What it does between start and end; resolves to the exit code. */
  readonly work: (tell: Tell) => Promise<number>
  /** The whole run in a line. */
  readonly summary: () => string
}

/** Says a line on standard error. */
export type Tell = (text: string) => void

/** Adds the options of a sync daemon, of sysctls, `--http` and `--max-connections`. */
export function addServiceOptions(command: Command): Command {
  addSysctlOptions(addDaemonOptions(command))
    .option(
      '--http <[host:]port>',
      'serve /metrics, /connections, /healthz and /readyz; on loopback unless told',
      (text) => parseListen('--http', text)
    )
    .option(
      '--max-connections <number>',
      'ceiling of the table',
      integerOption('--max-connections', 1, 16_777_215),
      1_000_000
    )
  return addNotes(command, { text: ['SIGHUP reads the settings again; SIGINT and SIGTERM end it cleanly.'] })
}

/** The options of a ready-made master or backup. */
export function syncOptionsOf(options: ServiceOptions, settings: Sysctls): SyncOptions {
  return {
    ...udpOptionsOf(options, settings),
    ...(options.syncMaxlen !== undefined && { syncMaxlen: options.syncMaxlen }),
    sysctls: settings,
    maxConnections: options.maxConnections,
    ...(options.keyFile !== undefined && { keyFile: options.keyFile }),
    ...(options.requireKey !== undefined && { requireKey: options.requireKey })
  }
}

/** Says lines on standard error under the command's name. */
export function tellOn(io: Io, name: string): Tell {
  return (text) => void io.stderr.write(`ipvs-sync ${name}: ${text}\n`)
}

/**
 * Runs a service to its end.
 *
 * @returns The exit code.
 * @throws What the start or the work throws, after everything was closed.
 */
export async function runService(service: Service, io: Io): Promise<number> {
  const { name, daemon, work } = service
  const tell = tellOn(io, name)
  const notify = (state: ServiceState): void => notifyService(state, io.env)
  let where = ''
  daemon.on('notice', ({ message }) => tell(message))
  daemon.on('error', ({ message }) => tell(message))
  daemon.on('listening', (description) => (where = description))
  let http: HttpServer | undefined
  const endReload = io.onReload(() => void reload(service, tell))
  try {
    await daemon.start()
    tell(`${name === 'master' ? 'sending to' : 'listening at'} ${where}`)
    http = await serve(service, tell)
    notify({ phase: 'ready', status: where })
    return await work(tell)
  } finally {
    notify({ phase: 'stopping', status: 'ending' })
    endReload()
    await http?.close()
    await daemon.close()
    if (where !== '') tell(service.summary())
  }
}

/** Resolves when the signal is aborted. */
export async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}

async function serve({ options, roles, readiness }: Service, tell: Tell): Promise<HttpServer | undefined> {
  if (options.http === undefined) return undefined
  // HTTP and the metrics library are loaded by those alone who ask for them.
  const [{ serveHttp }, { viewOf }] = await Promise.all([
    import('../daemon/http/http-server.js'),
    import('../daemon/http/sync-view.js')
  ])
  const { host, port } = options.http
  const server = await serveHttp({ host, port: port! }, { ...viewOf(roles, procLines), ...readiness })
  tell(`HTTP at ${server.url}`)
  return server
}

function* procLines(connections: Iterable<TableConnection>): Generator<string> {
  yield CONN_SYNC_HEADER.trimEnd()
  for (const connection of connections) yield connSyncLine(connection).trimEnd()
}

async function reload({ daemon, options }: Service, tell: Tell): Promise<void> {
  try {
    daemon.configure(await settingsOf(options))
    tell('settings were read again')
  } catch (error) {
    tell(`settings stay as they were: ${explain(error)}`)
  }
}
