/** A line of `/proc/net/ip_vs_conn_sync` (or `ip_vs_conn`, which has no origin), taken apart but not interpreted. */
export interface KernelRow {
  /** Protocol, client, virtual: what makes a connection that one, in the kernel's own hex. */
  readonly key: string
  readonly protocol: string
  readonly client: string
  readonly clientPort: number
  readonly virtual: string
  readonly virtualPort: number
  readonly destination: string
  readonly destinationPort: number
  readonly state: string
  readonly origin: string
  /** Seconds left. */
  readonly expires: number
  /** Engine name and data, of `ip_vs_conn` alone. */
  readonly engine: string
}

/**
 * Reads a kernel's table. Own code of the laboratory on purpose: the package's reader is among the judged.
 *
 * @param text - The file, header line included; columns are found by the header.
 */
export function parseKernelTable(text: string): KernelRow[] {
  const [header = '', ...lines] = text.split('\n')
  const withOrigin = header.includes('Origin')
  return lines.filter((line) => line.trim() !== '').map((line) => parseRow(line, withOrigin))
}

function parseRow(line: string, withOrigin: boolean): KernelRow {
  const words = line.trim().split(/\s+/)
  const [protocol, client, clientPort, virtual, virtualPort, destination, destinationPort, state] = words as [
    string,
    string,
    string,
    string,
    string,
    string,
    string,
    string
  ]
  const rest = words.slice(8)
  const origin = withOrigin ? rest.shift()! : ''
  return {
    key: `${protocol} ${client} ${clientPort} ${virtual} ${virtualPort}`,
    protocol,
    client,
    clientPort: Number.parseInt(clientPort, 16),
    virtual,
    virtualPort: Number.parseInt(virtualPort, 16),
    destination,
    destinationPort: Number.parseInt(destinationPort, 16),
    state,
    origin,
    expires: Number(rest.shift()),
    engine: plainText(rest.join(' '))
  }
}

/**
 * Engine name and data so that both sides' can be compared: a kernel prints data raw and up to the first NUL, and a line
 * ends where they have a line feed. What cannot be seen is one blank.
 */
export function plainText(text: string): string {
  return text
    .replace(/[\0\n].*/s, '')
    .replace(/[^!-~]+/g, ' ')
    .trim()
}

/** An address in the kernel's own writing: `0A000001`, or eight groups of four lower-case digits. */
export function kernelAddress(bytes: Uint8Array): string {
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
  return bytes.length === 4 ? hex.toUpperCase() : hex.replace(/(.{4})(?!$)/g, '$1:')
}

/** How two tables differ, each as lines `key → what is known of it`. Seconds left may differ by `slack`. */
export function compareTables(kernel: readonly KernelRow[], ours: readonly KernelRow[], slack = 2): string[] {
  const lines: string[] = []
  const left = group(ours)
  for (const [key, rows] of group(kernel)) {
    lines.push(...compareRows(key, rows, left.get(key) ?? [], slack))
    left.delete(key)
  }
  for (const [key, rows] of left) lines.push(...compareRows(key, [], rows, slack))
  return lines
}

/** A key can stand more than once: a replaced connection, or a port that its flag denies. Rows are paired in order. */
function compareRows(key: string, kernel: readonly KernelRow[], ours: readonly KernelRow[], slack: number): string[] {
  const lines: string[] = []
  for (let row = 0; row < Math.max(kernel.length, ours.length); row++) {
    const [one, other] = [kernel[row], ours[row]]
    // What is about to expire may have gone on one side alone.
    if (one === undefined || other === undefined) {
      if ((one ?? other)!.expires > slack) lines.push(`${key}: kernel ${show(one)}, ours ${show(other)}`)
    } else if (tell(one) !== tell(other) || Math.abs(one.expires - other.expires) > slack) {
      lines.push(`${key}: kernel ${show(one)}, ours ${show(other)}`)
    }
  }
  return lines
}

function group(rows: readonly KernelRow[]): Map<string, KernelRow[]> {
  const grouped = new Map<string, KernelRow[]>()
  for (const row of rows) grouped.set(row.key, [...(grouped.get(row.key) ?? []), row])
  for (const same of grouped.values())
    same.sort((a, b) => (tell(a) < tell(b) ? -1 : tell(a) > tell(b) ? 1 : a.expires - b.expires))
  return grouped
}

function tell(row: KernelRow): string {
  return `${row.destination} ${row.destinationPort} ${row.state} ${row.origin} ${row.engine}`
}

function show(row: KernelRow | undefined): string {
  return row === undefined ? 'absent' : `${tell(row).trim()} ${row.expires} s`
}
