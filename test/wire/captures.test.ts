import { readFileSync } from 'node:fs'
import t from 'tap'
import { agreement } from '../fixtures/support/agreement.js'
import { procLine } from '../fixtures/support/proc-line.js'
import { allCapturedMessages, captureNames, capturedMessages } from '../fixtures/support/vectors.js'
import * as wire from '../../src/wire/index.js'

const { decodeMessage, encodeMessage } = wire
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

t.test('no message of a kernel has a problem, and every reading agrees on it', async (t) => {
  const check = agreement(wire)
  const messages = allCapturedMessages()
  t.equal(messages.length, 75)
  for (const { name, bytes } of messages) t.strictSame(check(bytes).problems, [], name)
})

t.test('what was decoded encodes to the very bytes that the kernel sent', async (t) => {
  for (const { name, bytes } of allCapturedMessages())
    t.equal(hex(encodeMessage(decodeMessage(bytes))), hex(bytes), name)
})

t.test('the last record of every connection that the kernel still held says what its table said', async (t) => {
  for (const capture of captureNames()) {
    const last = new Map<string, string>()
    for (const { bytes } of capturedMessages(capture)) {
      for (const connection of decodeMessage(bytes).connections) {
        const line = procLine(connection)
        last.set(`${keyOf(line)} ${connection.engine?.data ?? ''}`, line)
      }
    }
    const lines = new Set(last.values())
    const file = new URL(`../fixtures/captures/${capture}/backup.ip_vs_conn_sync`, import.meta.url)
    const [, ...held] = readFileSync(file, 'utf8').trimEnd().split('\n')
    for (const row of held) {
      const line = row.trim().split(/ +/).slice(0, 8).join(' ')
      t.ok(lines.has(line), `${capture}: ${line}`)
    }
  }
})

/** Protocol, client and virtual service: with the engine data, which the kernel's file leaves out, they name a connection. */
function keyOf(line: string): string {
  return line.split(' ').slice(0, 5).join(' ')
}

/** What the laboratory gave the connections' sequence data: read from the capture's bytes by hand. */
const IN = { initial: 1000, delta: 7, previousDelta: 0xfffffffe }
const OUT = { initial: 0x11223344, delta: 9, previousDelta: 8 }

t.test('sequence data of kernels are right in both versions, each in its byte order', async (t) => {
  for (const capture of ['seq', 'seq-v0']) {
    const connections = capturedMessages(capture).flatMap(({ bytes }) => decodeMessage(bytes).connections)
    const [carrying, rest] = [true, false].map((has) =>
      connections.filter(({ inSequence }) => (inSequence !== undefined) === has)
    )
    t.strictSame([connections.length, carrying!.length], [12, 8], capture)
    for (const { inSequence, outSequence, flags } of carrying!) {
      t.strictSame([inSequence, outSequence], [IN, OUT], capture)
      t.match(flags.join(), /IN_SEQ|OUT_SEQ/)
    }
    for (const { flags } of rest!) t.notMatch(flags.join(), /_SEQ/, capture)
  }
  const [first] = capturedMessages('seq-v0').filter(({ bytes }) => bytes[0] !== 0)
  const swapped = decodeMessage(first!.bytes, { sequenceByteOrder: 'big' })
  t.equal(swapped.connections[0]?.inSequence?.initial, 0xe8030000, 'the other order is the caller’s choice')
})

t.test('persistence-engine data of kernels are all there, in records of odd lengths too', async (t) => {
  const connections = capturedMessages('sip').flatMap(({ bytes }) => decodeMessage(bytes).connections)
  const templates = connections.filter(({ flags }) => flags.includes('TEMPLATE'))
  t.strictSame([connections.length, templates.length], [95, 80])
  for (const { engine } of templates) {
    t.equal(engine?.name, 'sip')
    t.match(Buffer.from(engine!.data, 'hex').toString('latin1'), /^[!-~]+$/, 'a Call-ID')
  }
  for (const connection of connections) if (!templates.includes(connection)) t.equal(connection.engine, undefined)
})
