/**
 * What the demonstration draws: both tables side by side on a terminal, or a line a second elsewhere.
 *
 * @module
 */
import { counted } from '../../counted.js'
import type { Endpoint, TableConnection } from '../../wire/connection.js'
import { pairUp, type DemoSnapshot, type Pair } from './snapshot.js'

/** Where it is drawn. */
export interface ScreenSize {
  readonly columns: number
  readonly rows: number
  readonly color: boolean
}

/** Lines above and below the connections. */
const FRAME = 11
const FEWEST = 5

/**
 * Draws one picture.
 *
 * @param snapshot - Both processes.
 * @param order - See {@link pairUp}.
 * @param total - Seconds that the demonstration lasts.
 * @param route - Where the messages travel: `multicast 224.0.0.81 on lo`.
 * @returns Lines, none wider than the screen.
 */
export function drawScreen(
  snapshot: DemoSnapshot,
  order: Map<string, number>,
  total: number,
  route: string,
  size: ScreenSize
): string[] {
  const { master, backup, seconds } = snapshot
  const paint = size.color ? styled : plain
  const pairs = pairUp(snapshot, order)
  const room = Math.max(FEWEST, size.rows - FRAME)
  const half = Math.floor((size.columns - 3) / 2)
  const both = pairs.filter((pair) => pair.master !== undefined && pair.backup !== undefined).length
  const waiting = master.connections.length - both
  const lines = [
    `${paint('bold', 'ipvs-sync')}: two directors on this machine, a master and a backup, exchanging connections`,
    paint(
      'dim',
      `over real UDP, ${route}, as the Linux kernel's own sync daemons do.  ${clock(seconds)} of ${clock(total)}, q quits`
    ),
    '',
    columns(
      paint('bold', fit(`MASTER  ${counted(master.connections.length, 'connection')}`, half)),
      paint('bold', fit(`BACKUP  ${counted(backup.connections.length, 'connection')}`, half))
    ),
    columns(
      paint('dim', fit(`made-up clients; ${counted(master.messages, 'message')} sent`, half)),
      paint('dim', fit(`learned from ${counted(backup.messages, 'message')} received`, half))
    ),
    columns(paint('dim', fit(heading('real server'), half)), paint('dim', fit(heading('expires in'), half))),
    ...pairs.slice(0, room).map((pair) => drawPair(pair, half, paint)),
    ...(pairs.length > room ? [paint('dim', `… and ${pairs.length - room} more`)] : ['']),
    '',
    `${paint('green', `${both} on both`)}: if the master dies now, the backup carries these on.  ` +
      `${paint('yellow', `${waiting} not announced`)}: the master waits for a`,
    `connection's 3rd packet (sync_threshold 3 50), and never tells of handshakes; ended ones it tells at once.`
  ]
  return lines.map((line) => clip(line, size.columns))
}

/** One line that says it all, for a log. */
export function drawLine({ master, backup, seconds }: DemoSnapshot): string {
  return (
    `${clock(seconds)}  master: ${counted(master.connections.length, 'connection')}, ${counted(master.messages, 'message')} sent` +
    `  ->  backup: ${counted(backup.connections.length, 'connection')} learned from ${counted(backup.messages, 'message')}`
  )
}

type Paint = (style: keyof typeof STYLES, text: string) => string

const STYLES = { bold: '1', dim: '2', green: '32', yellow: '33', red: '31' } as const

const styled: Paint = (style, text) => `${ESCAPE}[${STYLES[style]}m${text}${ESCAPE}[0m`
const plain: Paint = (_style, text) => text

function drawPair({ master, backup }: Pair, half: number, paint: Paint): string {
  const left = master === undefined ? paint('dim', fit('(gone)', half)) : fit(row(master, target(master)), half)
  if (backup === undefined) return columns(left, paint('yellow', fit('·  not announced yet', half)))
  const right = fit(row(backup, clock(backup.expires)), half)
  return columns(left, paint(master?.state === backup.state ? 'green' : 'yellow', right))
}

function heading(last: string): string {
  return `${'prot'.padEnd(5)}${'client'.padEnd(24)}${'state'.padEnd(12)}${last}`
}

function row({ protocol, client, state }: TableConnection, last: string): string {
  return `${protocol.padEnd(5)}${text(client).padEnd(24)}${state.padEnd(12)}${last}`
}

function target({ destination }: TableConnection): string {
  return text(destination)
}

function text({ address, port }: Endpoint): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}

function clock(seconds: number): string {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`
}

function columns(left: string, right: string): string {
  return `${left} │ ${right}`
}

function fit(line: string, width: number): string {
  return line.length > width ? `${line.slice(0, Math.max(0, width - 1))}…` : line.padEnd(width)
}

const ESCAPE = '\u001b'
const STYLE = new RegExp(`(${ESCAPE}\\[\\d+m)`)

/** Cuts a line at a width, without counting or cutting what paints it. */
function clip(line: string, width: number): string {
  let seen = 0
  let cut = ''
  for (const part of line.split(STYLE)) {
    if (part.startsWith(ESCAPE)) cut += part
    else {
      cut += part.slice(0, Math.max(0, width - seen))
      seen += part.length
    }
  }
  return cut
}
