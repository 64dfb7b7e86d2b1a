import type { Connection } from 'ipvs-sync'
import type { WireRecord } from './message.js'

/** Bits of a record's flags: docs/protocol.md section 5. */
const METHOD = 0x7
const NOOUTPUT = 0x80
const INACTIVE = 0x100
const SEQUENCES = 0x600
const NO_CPORT = 0x800
const TEMPLATE = 0x1000

/** A field of a record, and whether the kernel's table lets it be known of a connection of a service. */
interface Field {
  readonly name: string
  readonly value: (record: WireRecord) => number
  readonly known: boolean
}

const FIELDS: readonly Field[] = [
  { name: 'forwarding method', value: ({ flags }) => flags & METHOD, known: true },
  { name: 'INACTIVE', value: ({ flags }) => flags & INACTIVE, known: true },
  { name: 'TEMPLATE', value: ({ flags }) => flags & TEMPLATE, known: true },
  { name: 'NO_CPORT', value: ({ flags }) => flags & NO_CPORT, known: true },
  { name: 'NOOUTPUT', value: ({ flags }) => flags & NOOUTPUT, known: false },
  { name: 'sequence flags', value: ({ flags }) => flags & SEQUENCES, known: false },
  {
    name: 'other flags',
    value: ({ flags }) => flags & ~(METHOD | NOOUTPUT | INACTIVE | SEQUENCES | NO_CPORT | TEMPLATE),
    known: false
  },
  { name: 'fwmark', value: ({ fwmark }) => fwmark, known: true },
  { name: 'timeout', value: ({ timeout }) => timeout, known: false }
]

/** The last record of each connection. */
export function pairRecords(records: readonly WireRecord[]): ReadonlyMap<string, WireRecord> {
  return new Map(records.map((record) => [keyOf(record), record]))
}

/**
 * What a resync from the kernel's table says of connections other than those who announced them first, by field.
 *
 * @param original - Records whose sender knew everything; those of another state than the copy's are not compared.
 * @returns Faults: a field that can be known differs. Notes: how often each field differs.
 */
export function recordDifferences(
  original: ReadonlyMap<string, WireRecord>,
  copies: ReadonlyMap<string, WireRecord>,
  name: string
): { readonly faults: readonly string[]; readonly notes: readonly string[] } {
  const pairs = [...original].flatMap(([key, record]) => {
    const copy = copies.get(key)
    return copy?.state === record.state ? [{ key, record, copy }] : []
  })
  const faults: string[] = []
  const notes: string[] = []
  for (const { name: field, value, known } of FIELDS) {
    const different = pairs.filter(({ record, copy }) => value(record) !== value(copy))
    const first = different[0]
    if (first === undefined) continue
    const line = `${name}: ${field} differs in ${different.length} of ${pairs.length}, first ${first.key}: ${value(first.record)}, resync ${value(first.copy)}`
    notes.push(line)
    if (known) faults.push(line)
  }
  if (pairs.length === 0) faults.push(`${name}: nothing to compare`)
  notes.push(`${name}: ${pairs.length} records compared; all other fields are equal`)
  return { faults, notes }
}

/** A connection without sequence data, which this kernel is known to read wrongly, and no table shows. */
export function withoutSequences(connection: Connection): Connection {
  const { inSequence, outSequence, ...rest } = connection
  if (inSequence === undefined && outSequence === undefined) return connection
  return { ...rest, flags: rest.flags.filter((flag) => !flag.endsWith('_SEQ')) }
}

function keyOf({ protocol, client, clientPort, virtual, virtualPort }: WireRecord): string {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
  return `${protocol} ${hex(client)}:${clientPort} ${hex(virtual)}:${virtualPort}`
}
