/**
 * What the columns of a table hold, by its header's names: `ip_vs_conn_seq_show`, `ip_vs_conn_sync_seq_show`, and
 * `ipvsadm -Lnc`.
 *
 * @module
 */

import { IpvsSyncError } from '../errors.js'
import { ROW } from '../wire/rows.js'

/** How a field is written. */
export const FIELD = {
  /** Of no use here. */
  OTHER: 0,
  PROTOCOL: 1,
  /** Hex, as the kernel writes it. */
  ADDRESS: 2,
  PORT: 3,
  /** `address:port` in decimal. */
  ENDPOINT: 4,
  STATE: 5,
  /** Seconds. */
  SECONDS: 6,
  /** `minutes:seconds`. */
  TIME: 7,
  ORIGIN: 8
} as const

/** The columns of a table. */
export interface TableForm {
  /** One of {@link FIELD} for each column that every line has. */
  readonly fields: Uint8Array
  /** For an address: the row's first word of it. For an endpoint too. */
  readonly targets: Uint8Array
  /** For a port: the row's word. For an endpoint too. */
  readonly ports: Uint8Array
  /** Whether the columns are those of `ip_vs_conn`: IPv4 lines of such a table have fixed places. */
  readonly isUsual: boolean
  /** Whether a persistence engine's name may follow. */
  readonly hasEngine: boolean
  /** `raw`: engine data begin one space behind the name and reach to the end of the line. `word`: they are a word. */
  readonly engineData: 'none' | 'raw' | 'word'
}

const SIDES: Readonly<Record<string, readonly [address: number, port: number]>> = {
  client: [ROW.CLIENT, ROW.CLIENT_PORT],
  virtual: [ROW.VIRTUAL, ROW.VIRTUAL_PORT],
  destination: [ROW.DESTINATION, ROW.DESTINATION_PORT]
}
const KERNEL: Readonly<Record<string, readonly [field: number, side?: string]>> = {
  Pro: [FIELD.PROTOCOL],
  FromIP: [FIELD.ADDRESS, 'client'],
  FPrt: [FIELD.PORT, 'client'],
  ToIP: [FIELD.ADDRESS, 'virtual'],
  TPrt: [FIELD.PORT, 'virtual'],
  DestIP: [FIELD.ADDRESS, 'destination'],
  DPrt: [FIELD.PORT, 'destination'],
  State: [FIELD.STATE],
  Expires: [FIELD.SECONDS],
  Origin: [FIELD.ORIGIN]
}
const REQUIRED = Object.keys(KERNEL).filter((name) => name !== 'Origin')
const IPVSADM: typeof KERNEL = {
  pro: [FIELD.PROTOCOL],
  expire: [FIELD.TIME],
  state: [FIELD.STATE],
  source: [FIELD.ENDPOINT, 'client'],
  virtual: [FIELD.ENDPOINT, 'virtual'],
  destination: [FIELD.ENDPOINT, 'destination']
}
/** The line above the header of `ipvsadm -Lnc`. */
const TITLE = 'IPVS connection entries'

/**
 * Reads a table's first line.
 *
 * @param name - What to call the source in the error.
 * @returns Undefined for a title: the header follows.
 * @throws IpvsSyncError `ERR_IO` for any other line.
 */
export function readTableStart(line: string, name: string): TableForm | undefined {
  const form = formOf(line)
  if (form !== undefined || line.trim() === TITLE) return form
  const shown = JSON.stringify(line.trim().slice(0, 60))
  throw new IpvsSyncError(
    'ERR_IO',
    `${name}: expected a header with the columns ${REQUIRED.join(' ')}, or ipvsadm -Lnc's, got ${shown}`
  )
}

function formOf(line: string): TableForm | undefined {
  const names = line.trim().split(/\s+/)
  if (Object.keys(IPVSADM).every((name, i) => names[i] === name)) {
    const rest = names.slice(6).join(' ')
    return {
      ...fieldsOf(Object.keys(IPVSADM), IPVSADM),
      isUsual: false,
      hasEngine: rest !== '',
      engineData: rest === '' ? 'none' : 'word'
    }
  }
  const engine = names.indexOf('PEName')
  const fixed = engine < 0 ? names : names.slice(0, engine)
  if (!REQUIRED.every((name) => fixed.includes(name))) return undefined
  return {
    ...fieldsOf(fixed, KERNEL),
    isUsual: fixed.join(' ') === REQUIRED.join(' '),
    hasEngine: engine >= 0,
    engineData: engine >= 0 && names[engine + 1] === 'PEData' ? 'raw' : 'none'
  }
}

/** Of two columns with one name the last counts. */
function fieldsOf(names: readonly string[], known: typeof KERNEL): Pick<TableForm, 'fields' | 'targets' | 'ports'> {
  const meanings = names.map((name, i) => (names.lastIndexOf(name) === i ? known[name] : undefined))
  return {
    fields: Uint8Array.from(meanings, (meaning) => meaning?.[0] ?? FIELD.OTHER),
    targets: Uint8Array.from(meanings, (meaning) => SIDES[meaning?.[1] ?? '']?.[0] ?? 0),
    ports: Uint8Array.from(meanings, (meaning) => SIDES[meaning?.[1] ?? '']?.[1] ?? 0)
  }
}
