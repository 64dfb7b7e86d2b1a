import t from 'tap'
import type { Connection } from '../../src/wire/connection.js'
import { MessageReader } from '../../src/wire/message-reader.js'
import { connectionFromRow } from '../../src/wire/row-values.js'
import { ROW, ROW_WORDS } from '../../src/wire/rows.js'
import { kernelVectors, type KernelVector } from '../fixtures/support/vectors.js'

const SYNCID = 7

/** A line of /proc/net/ip_vs_conn_sync without origin and time; templates of protocol 0 show as IP. */
function procLine(connection: Connection): string {
  const { protocol, client, virtual, destination, state } = connection
  const ends = [client, virtual, destination].flatMap(({ address, port }) => [procAddress(address), hex(port)])
  const known = !['AH', 'ESP'].includes(protocol)
  const name = known ? protocol : protocol === 'AH' ? 'IP_51' : 'IP_50'
  return [name, ...ends, known ? state : 'ERR!'].join(' ')
}

const hex = (value: number, digits = 4): string => value.toString(16).toUpperCase().padStart(digits, '0')

/** Worked out by the platform's own parser of URLs, not by ours. */
function procAddress(text: string): string {
  if (!text.includes(':')) return text.split('.').map((octet) => hex(Number(octet), 2)).join('') // prettier-ignore
  const [head = '', tail] = new URL(`http://[${text}]`).hostname.slice(1, -1).split('::')
  const groups = (part: string | undefined): string[] => (part ? part.split(':') : [])
  const [first, last] = [groups(head), groups(tail)]
  const middle = new Array<string>(8 - first.length - last.length).fill('0')
  return [...first, ...middle, ...last].map((group) => group.padStart(4, '0')).join(':')
}

function applied(reader: MessageReader, vector: KernelVector): string[] {
  const count = reader.read(vector.bytes)
  if (reader.view.syncid !== SYNCID) return []
  return Array.from({ length: count }, (_, i) => i)
    .filter((i) => reader.rows.words[i * ROW_WORDS + ROW.VERDICT] === 0)
    .map((i) => procLine(connectionFromRow(reader.rows, i)))
}

t.test('a kernel made the rows that we would apply, and no others, of each of its 85 messages', async (t) => {
  const reader = new MessageReader()
  const vectors = kernelVectors()
  t.equal(vectors.length, 85)
  for (const vector of vectors) {
    const created = vector.created
      .filter((line) => !line.startsWith('PE '))
      .map((line) => line.trim().split(/ +/).slice(0, 8).join(' '))
    t.strictSame(applied(reader, vector).sort(), created.sort(), vector.name)
  }
})

t.test('where the kernel logged that it drops the rest, we do', async (t) => {
  const reader = new MessageReader()
  for (const { name, bytes, dmesg } of kernelVectors()) {
    reader.read(bytes)
    if (/Dropping buffer|bogus conn/.test(dmesg)) t.not(reader.view.fault, 0, name)
    // It says nothing about wrong sizes and short datagrams, which have their fault in the first four bytes.
    else if (reader.view.fault !== 0) t.ok(reader.view.faultOffset <= 2, name)
  }
})
