/**
 * Output of the demonstration: both tables side by side on a terminal, or a line a second elsewhere.
 *
 * @module
 */
import { counted } from '../../text.js'
import type { Endpoint, TableConnection } from '../../wire/connection.js'
import { pairUp, type DemoSnapshot } from './snapshot.js'

/** Size of the screen, and whether it has colours. */
export interface ScreenSize {
  readonly columns: number
  readonly rows: number
  readonly color: boolean
}

/** Minimum number of connections shown, however low the screen. */
const FEWEST = 5
/** Width of a narrow right column: state and remaining time. */
const RIGHT = 17
/** Minimum width of the left column: protocol, client and state; and with the real server. */
const LEFT = 40
const LEFT_WITH_SERVER = 56
/** Minimum width of a column that shows a whole connection. */
const WIDE = 46

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
  const paint = size.color ? styled : plain
  const pairs = pairUp(snapshot, order)
  const widths = widthsOf(size.columns)
  const above = [...title(snapshot.seconds, total, route, size.columns, paint), ...headings(snapshot, widths, paint)]
  const { master } = snapshot
  const both = pairs.filter((pair) => pair.master !== undefined && pair.backup !== undefined).length
  const waiting = master.connections.length - both
  const text =
    `${paint('green', `${both} on both`)}: a kernel backup would continue these if the master failed now.  ` +
    `${paint('yellow', `${waiting} not announced`)}: the master waits for a connection's 3rd packet ` +
    '(sync_threshold 3 50) and announces no handshakes; ended connections are announced at once.'
  const below = ['', ...fill(text, size.columns)]
  // One line counts the connections that do not fit, and one is the cursor's.
  const room = Math.max(FEWEST, size.rows - above.length - below.length - 2)
  const lines = [
    ...above,
    ...pairs.slice(0, room).map((pair) => {
      const { master, backup } = pair
      const { left, right, narrow } = widths
      const one =
        master === undefined
          ? paint('dim', fit('(gone)', left))
          : fit(row(master, left < LEFT_WITH_SERVER ? '' : target(master)), left)
      if (backup === undefined)
        return columns(one, paint('yellow', fit(narrow ? '·  not yet' : '·  not announced yet', right)))
      const other = narrow ? `${backup.state.padEnd(12)}${clock(backup.expires)}` : row(backup, clock(backup.expires))
      return columns(one, paint(master?.state === backup.state ? 'green' : 'yellow', fit(other, right)))
    }),
    ...(pairs.length > room ? [paint('dim', `… and ${pairs.length - room} more`)] : ['']),
    ...below
  ]
  return lines.map((line) => {
    // Cuts a line at a width, without counting or cutting escape sequences.
    const width = size.columns
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
  })
}

interface Widths {
  readonly left: number
  readonly right: number
  /** Whether the right column has no room for the client. */
  readonly narrow: boolean
}

function widthsOf(columns: number): Widths {
  const half = Math.floor((columns - 3) / 2)
  if (half >= WIDE) return { left: half, right: half, narrow: false }
  const left = Math.max(LEFT, columns - 3 - RIGHT)
  return { left, right: Math.max(0, columns - 3 - left), narrow: true }
}

function title(seconds: number, total: number, route: string, columns: number, paint: Paint): string[] {
  return [
    ...fill(
      `${paint('bold', 'ipvs-sync')}: two directors on this machine, a master and a backup, exchanging connections`,
      columns
    ),
    ...fill(
      `over real UDP, ${route}, as the Linux kernel's own sync daemons do.  ${clock(seconds)} of ${clock(total)}, q quits`,
      columns
    ).map((line) => paint('dim', line)),
    ''
  ]
}

function headings({ master, backup }: DemoSnapshot, { left, right, narrow }: Widths, paint: Paint): string[] {
  const learned = `${counted(backup.messages, 'message')} received`
  const rows: [keyof typeof STYLES, string, string][] = [
    [
      'bold',
      `MASTER  ${counted(master.connections.length, 'connection')}`,
      `BACKUP  ${narrow ? backup.connections.length : counted(backup.connections.length, 'connection')}`
    ],
    [
      'dim',
      `made-up clients; ${counted(master.messages, 'message')} sent`,
      narrow ? counted(backup.messages, 'message') : `learned from ${learned}`
    ],
    ['dim', heading(left < LEFT_WITH_SERVER ? '' : 'real server'), narrow ? 'state       left' : heading('expires in')]
  ]
  return rows.map(([style, one, other]) => columns(paint(style, fit(one, left)), paint(style, fit(other, right))))
}

/** Returns the figures in one line, for a log. */
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

function heading(last: string): string {
  return `${'prot'.padEnd(5)}${'client'.padEnd(24)}${'state'.padEnd(11)} ${last}`.trimEnd()
}

function row({ protocol, client, state }: TableConnection, last: string): string {
  return `${protocol.padEnd(5)}${text(client).padEnd(24)}${state.padEnd(11)} ${last}`.trimEnd()
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
const STYLES_IN = new RegExp(STYLE, 'g')

/** Breaks text between words at a width; escape sequences are not counted. */
function fill(text: string, width: number): string[] {
  const lines = ['']
  for (const word of text.split(/(?<=\S)(?=\s)/)) {
    const line = lines.at(-1)! + word
    if (line.replaceAll(STYLES_IN, '').length <= width || lines.at(-1) === '') lines[lines.length - 1] = line
    else lines.push(word.trimStart())
  }
  return lines
}
