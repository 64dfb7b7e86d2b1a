/**
 * `ipvs-sync watch`: a full-screen view of a group, a running daemon, or a capture.
 *
 * @module
 */

import type { Readable } from 'node:stream'
import type { Command } from 'commander'
import { IpvsSyncError } from '../../errors.js'
import { SYNC_GROUP } from '../../wire/constants.js'
import { fileSource } from '../decode/sources.js'
import { thisHost, type Host } from '../doctor/host.js'
import type { Io } from '../io.js'
import { addNotes } from '../notes.js'
import { addDaemonOptions, type DaemonOptions } from '../options.js'
import { integerOption, parseListen, type HostPort } from '../parsers.js'
import { drawWatch, pressKey, watchLine, type WatchView } from './screen.js'
import { watchCapture, watchGroup, watchHttp, type WatchSource } from './sources.js'

interface Options extends DaemonOptions {
  readonly http?: HostPort
  readonly capture?: string
  readonly speed: number
  /** Undefined watches until interrupted. */
  readonly seconds?: number
}

/** Adds its options. */
export function configure(command: Command): void {
  addDaemonOptions(command)
    .option('--http <[host:]port>', 'watch a running daemon here instead of the group', (text) =>
      parseListen('--http', text)
    )
    .option('--capture <file>', 'replay a capture instead; - is standard input')
    .option('--speed <factor>', 'replay this many times as fast; 0 at once', integerOption('--speed', 0, 1_000_000), 1)
    .option('--seconds <number>', 'end after this many seconds', integerOption('--seconds', 1, 86_400))
  addNotes(command, {
    text: [
      'Keys: q quits, p pauses, s changes the order of the senders, / filters lines. Without a terminal it prints a line a second. It reads only.'
    ],
    examples: [
      'ipvs-sync watch --mcast-interface eth1 --syncid 5',
      'ipvs-sync watch --http 9848',
      'ipvs-sync watch --capture sync.pcap --speed 10'
    ]
  })
}

/** Shows the view until the user quits. */
export async function execute(command: Command, io: Io, host: Host = thisHost): Promise<number> {
  const options = command.opts<Options>()
  const end = new AbortController()
  const stop = (): void => end.abort()
  if (io.signal.aborted) stop()
  io.signal.addEventListener('abort', stop, { once: true })
  const source = await sourceOf(options, io, host, end.signal)
  const timer = options.seconds === undefined ? undefined : setTimeout(stop, options.seconds * 1000)
  const show = io.stdout.isTTY === true ? showScreen : showLines
  try {
    await show(source, io, end)
  } finally {
    stop()
    clearTimeout(timer)
    await source.close()
  }
  return 0
}

async function sourceOf(options: Options, io: Io, host: Host, end: AbortSignal): Promise<WatchSource> {
  const { http, capture, mcastInterface, syncid, mcastGroup = SYNC_GROUP, mcastPort } = options
  if (http !== undefined)
    return watchHttp(host, `${http.host.includes(':') ? `[${http.host}]` : http.host}:${http.port ?? 0}`, end)
  if (capture !== undefined)
    return watchCapture(capture, capture === '-' ? io.stdin : fileSource(capture).chunks, syncid, options.speed, end)
  if (mcastInterface === undefined)
    throw new IpvsSyncError(
      'ERR_CONFIG',
      '--mcast-interface: expected an interface name, or --http PORT, or --capture FILE',
      { field: 'mcast-interface' }
    )
  return watchGroup(host, { interfaceName: mcastInterface, syncid, group: mcastGroup, port: mcastPort }, end)
}

/** Prints a line a second, and a last one. */
async function showLines(source: WatchSource, io: Io, end: AbortController): Promise<void> {
  const print = (): void =>
    void io.stdout.write(`${watchLine(source.snapshot(), new Date().toISOString().slice(11, 19))}\n`)
  const timer = setInterval(print, 1000)
  try {
    await Promise.race([source.ended, aborted(end.signal)])
  } finally {
    clearInterval(timer)
  }
  print()
}

/** Enters the alternate screen without a cursor, and leaves it again. */
const ENTER = '\u001b[?1049h\u001b[?25l'
const LEAVE = '\u001b[?25h\u001b[?1049l'

/** Redraws twice a second in place: each line overwrites the old one, so nothing flickers. */
async function showScreen(source: WatchSource, io: Io, end: AbortController): Promise<void> {
  const { stdout } = io
  const stdin: Readable & { readonly isTTY?: boolean; setRawMode?: (isRaw: boolean) => unknown } = io.stdin
  let view: WatchView = { sort: 'messages', filter: '', isTyping: false, isPaused: false }
  let snapshot = source.snapshot()
  const draw = (): void => {
    if (!view.isPaused) snapshot = source.snapshot()
    const { columns = 80, rows = 24 } = stdout as { readonly columns?: number; readonly rows?: number }
    const lines = drawWatch(snapshot, view, { columns, rows }, io.env['NO_COLOR'] === undefined)
    stdout.write(`\u001b[H${lines.map((line) => `${line}\u001b[K`).join('\r\n')}`)
  }
  const onKey = (chunk: Buffer | string): void => {
    const text = String(chunk)
    // A key such as an arrow arrives as one escape sequence; several typed keys may arrive in one chunk.
    for (const key of text.length > 1 && text.startsWith('\u001b') ? [] : text) {
      const next = pressKey(view, key)
      if (next === 'quit') {
        end.abort()
        return
      }
      view = next
    }
    draw()
  }
  const reads = stdin.isTTY === true
  stdout.write(ENTER)
  const timer = setInterval(draw, 500)
  stdout.on('resize', draw)
  if (reads) {
    stdin.setRawMode?.(true)
    stdin.on('data', onKey)
  }
  try {
    draw()
    // A capture that has ended stays on the screen until the user quits.
    source.ended.catch(() => end.abort())
    await aborted(end.signal)
    await source.ended
  } finally {
    clearInterval(timer)
    stdout.off('resize', draw)
    if (reads) {
      stdin.off('data', onKey)
      stdin.setRawMode?.(false)
      stdin.pause()
    }
    stdout.write(LEAVE)
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
