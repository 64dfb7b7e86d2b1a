// Directors recorded in the kernel laboratory: the model announces what the kernel announced.
import t from 'tap'
import { parseMarks } from '../../src/director/index.js'
import { predictedRecords, recordedRecords } from '../fixtures/support/recorded-director.js'

const MARKS = [
  '5=dst host 10.0.1.101 and tcp dst port 80,443',
  '6=dst host 10.0.1.101 and udp dst port 90',
  '7=dst host fd00:1::101'
]

/** Records by connection, each list in order: two connections can overtake each other on two processors. */
function byConnection(records: readonly string[]): Record<string, string[]> {
  const grouped: Record<string, string[]> = {}
  for (const record of records) {
    const { protocol, client, virtual } = JSON.parse(record) as Record<string, unknown>
    const key = JSON.stringify([protocol, client, virtual])
    ;(grouped[key] ??= []).push(record)
  }
  return grouped
}

for (const name of ['tcp4-nat', 'tcp4-nat-v0', 'udp4', 'tcp-udp6', 'sctp', 'persist', 'persist-v0']) {
  t.test(`${name}: every record that the kernel sent, connection by connection, in order`, async (t) => {
    const recorded = recordedRecords(name)
    const { records, observer } = predictedRecords(name, parseMarks(MARKS))
    t.equal(records.length, recorded.length)
    t.strictSame(byConnection(records), byConnection(recorded))
    t.equal(observer.counts.unreadable, 0)
  })
}

t.test('one capture without persistence: the order across connections is the same too', async (t) => {
  t.strictSame(predictedRecords('tcp-udp6').records, recordedRecords('tcp-udp6'))
})
