import t from 'tap'
import { MessageReader } from '../../src/wire/message-reader.js'
import { connectionFromRow } from '../../src/wire/row-values.js'
import { ROW, ROW_WORDS } from '../../src/wire/rows.js'
import { procLine } from '../fixtures/support/proc-line.js'
import { kernelVectors, type KernelVector } from '../fixtures/support/vectors.js'

const SYNCID = 7

function applied(reader: MessageReader, vector: KernelVector): string[] {
  const { syncid, records } = reader.read(vector.bytes)
  if (syncid !== SYNCID) return []
  return Array.from({ length: records }, (_, i) => i)
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
    const { fault, faultOffset } = reader.read(bytes)
    if (/Dropping buffer|bogus conn/.test(dmesg)) t.not(fault, 0, name)
    // It says nothing about wrong sizes and short datagrams, which have their fault in the first four bytes.
    else if (fault !== 0) t.ok(faultOffset <= 2, name)
  }
})
