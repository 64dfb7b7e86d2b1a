/**
 * What `master`, `backup` and `agent` have in common as programs that run until stopped: options, HTTP, systemd,
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
import { pickSyncOptions, type SyncOptions } from '../daemon/sync-options.js'
import type { Roles } from '../daemon/http/sync-view.js'
import { systemClock } from '../daemon/clock.js'
import type { Milliseconds } from '../units.js'
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
import { Reporter } from './reporter.js'
import { integerOption, parseListen, type HostPort } from './parsers.js'

/** What {@link addServiceOptions} adds, as `command.opts()` has it. */
export interface ServiceOptions extends DaemonOptions, SysctlOptions {
  readonly http?: HostPort
  readonly maxConnections: number
  /** Seconds; 0 for no heartbeat. */
  readonly logInterval: number
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

/** Reports a line on standard error; lines of one code share a budget (see {@link Reporter}). */
export type Tell = (text: string, code?: string) => void

/** Adds the options of a sync daemon, of sysctls, `--http` and `--max-connections`. */
export function addServiceOptions(command: Command): Command {
  addSysctlOptions(addDaemonOptions(command))
    .option(
      '--http <[host:]port>',
      'serve a page at /, /metrics, /connections, /healthz and /readyz; on loopback by default',
      (text) => parseListen('--http', text)
    )
    .option(
      '--max-connections <number>',
      'ceiling of the table',
      integerOption('--max-connections', 1, 16_777_215),
      1_000_000
    )
    .option(
      '--log-interval <seconds>',
      'seconds between two log lines with the figures of the run; 0 for none',
      integerOption('--log-interval', 0, 86_400),
      60
    )
  return addNotes(command, { text: ['SIGHUP reads the settings again; SIGINT and SIGTERM end it cleanly.'] })
}

/** The options of a ready-made master or backup. */
export function syncOptionsOf(options: ServiceOptions, settings: Sysctls): SyncOptions {
  return {
    ...pickSyncOptions(udpOptionsOf(options, settings)),
    ...(options.syncMaxlen !== undefined && { syncMaxlen: options.syncMaxlen }),
    sysctls: settings,
    maxConnections: options.maxConnections,
    ...(options.keyFile !== undefined && { keyFile: options.keyFile }),
    ...(options.requireKey !== undefined && { requireKey: options.requireKey })
  }
}

/** Code of lines about the service itself: its start, its settings, its end. */
const SERVICE = 'SERVICE'
/** Interval at which the reporter's minute is checked. */
const TICK: Milliseconds = 1000

/** Returns the reporter of a command. A journal adds its own time stamps. */
export function reporterOf(io: Io, name: string): Reporter {
  return new Reporter({
    write: (line) => void io.stderr.write(line),
    name: `ipvs-sync ${name}`,
    stamped: (io.env['JOURNAL_STREAM'] ?? '') === '',
    wallClock: () => Date.now()
  })
}

/** Returns a function that writes lines before a service runs, such as facts about its settings. */
export function tellOn(io: Io, name: string): Tell {
  const reporter = reporterOf(io, name)
  return (text) => reporter.line(text)
}

/**
 * Runs a service to its end.
 *
 * @returns The exit code.
 * @throws What the start or the work throws, after everything was closed.
 */
export async function runService(service: Service, io: Io, reporter = reporterOf(io, service.name)): Promise<number> {
  const { name, daemon, work } = service
  const tell: Tell = (text, code = SERVICE) => reporter.report(code, text, systemClock.now())
  const notify = (state: ServiceState): void => notifyService(state, io.env)
  let where = ''
  let advice: NoticeEvent[] | undefined = []
  const notices: Record<string, number> = {}
  const report = ({ code, message }: Pick<NoticeEvent, 'code' | 'message'>, once = false): void => {
    const text = `${message} [${code}]`
    const now = systemClock.now()
    // systemd hears what is written: each message to it costs a process.
    const isWritten = once ? reporter.reportOnce(code, text, now) : reporter.report(code, text, now)
    if (isWritten && where !== '') notify({ status: message })
  }
  daemon.on('notice', (notice) => {
    notices[notice.code] = (notices[notice.code] ?? 0) + 1
    // How much a default buffer holds is advice: it follows the line that says that the daemon listens.
    if (notice.code === 'BUFFER' && advice !== undefined) advice.push(notice)
    else report(notice)
  })
  daemon.on('error', (error) => report(error, true))
  daemon.on('listening', (description) => (where = description))
  let http: HttpServer | undefined
  const tellAndCount: Tell = (text, code = SERVICE) => {
    notices[code] = (notices[code] ?? 0) + 1
    tell(text, code)
  }
  const endReload = io.onReload(() => void reload(service, tellAndCount))
  const timer = setInterval(() => reporter.handleTimeout(systemClock.now()), TICK).unref()
  let heartbeat: NodeJS.Timeout | undefined
  try {
    await daemon.start()
    reporter.line(`${name === 'master' ? 'sending to' : 'listening on'} ${where}`)
    for (const notice of advice) report(notice)
    advice = undefined
    http = await serve(service, notices, tell)
    notify({ phase: 'ready', status: where })
    heartbeat = startHeartbeat(service, (text) => {
      reporter.line(text)
      notify({ status: text })
    })
    return await work(tell)
  } finally {
    clearInterval(timer)
    clearInterval(heartbeat)
    notify({ phase: 'stopping', status: 'stopping' })
    endReload()
    await http?.close()
    await daemon.close()
    reporter.flush()
    if (where !== '') reporter.line(service.summary())
  }
}

/** Reports the figures of the run every `--log-interval` seconds. */
function startHeartbeat({ options, summary }: Service, report: (text: string) => void): NodeJS.Timeout | undefined {
  if (options.logInterval === 0) return undefined
  return setInterval(() => report(summary()), options.logInterval * 1000).unref()
}

/** Resolves when the signal is aborted. */
export async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}

async function serve(
  { options, roles, readiness }: Service,
  notices: Readonly<Record<string, number>>,
  tell: Tell
): Promise<HttpServer | undefined> {
  if (options.http === undefined) return undefined
  // HTTP and the metrics library are loaded by those alone who ask for them.
  const [{ serveHttp }, { viewOf }] = await Promise.all([
    import('../daemon/http/http-server.js'),
    import('../daemon/http/sync-view.js')
  ])
  const { host, port } = options.http
  const server = await serveHttp({ host, port: port! }, { ...viewOf(roles, procLines, notices), ...readiness })
  tell(`HTTP at ${server.url}`)
  return server
}

function* procLines(connections: Iterable<TableConnection>): Generator<string> {
  yield CONN_SYNC_HEADER.trimEnd()
  for (const connection of connections) yield connSyncLine(connection).trimEnd()
}

async function reload({ daemon, options }: Service, tell: Tell): Promise<void> {
  try {
    daemon.configure(await settingsOf(options, { onFact: (text) => tell(text, 'SETTINGS') }))
    tell('settings reloaded', 'RELOAD')
  } catch (error) {
    tell(`reload failed, keeping the current settings: ${explain(error)}`, 'RELOAD_FAILED')
  }
}
