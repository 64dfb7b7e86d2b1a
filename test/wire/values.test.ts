import { inspect } from 'node:util'
import t from 'tap'
import { IpvsSyncError } from '../../src/errors.js'
import type { Connection, SyncMessage } from '../../src/wire/connection.js'
import { decodeMessage } from '../../src/wire/decode-message.js'
import { labelBytes } from '../../src/wire/dump-message.js'
import { encodeMessage, encodeMessages } from '../../src/wire/encode-message.js'
import { flagBits, flagNames, forwardingName, forwardingNumber } from '../../src/wire/flags.js'
import { formatMessage } from '../../src/wire/format-message.js'
import { fromHex, fromText } from '../../src/wire/hex.js'
import { MessageReader } from '../../src/wire/message-reader.js'
import { MessageWriter } from '../../src/wire/message-writer.js'
import type { EncodeOptions } from '../../src/wire/options.js'
import { protocolName, protocolNumber, stateName, stateNumber, stateTimeout } from '../../src/wire/protocols.js'
import { rowFromConnection } from '../../src/wire/row-values.js'
import { createRows, ROW } from '../../src/wire/rows.js'
import { bytes } from '../fixtures/support/packets.js'

const hex = (value: Uint8Array): string => Buffer.from(value).toString('hex')
const packed = (text: string): string => text.replace(/\s/g, '')

const TCP: Connection = {
  family: 'ipv4',
  protocol: 'TCP',
  client: { address: '10.1.0.2', port: 38988 },
  virtual: { address: '10.1.0.1', port: 80 },
  destination: { address: '10.2.0.2', port: 8080 },
  forwarding: 'DROUTE',
  flags: ['INACTIVE', 'IN_SEQ'],
  state: 'TIME_WAIT',
  fwmark: 5,
  timeout: 120,
  inSequence: { initial: 1, delta: 0xffffffff, previousDelta: 3 },
  outSequence: { initial: 0x80000000, delta: 5, previousDelta: 6 }
}
const SIP: Connection = {
  family: 'ipv6',
  protocol: 'UDP',
  client: { address: '2001:db8::2', port: 0 },
  virtual: { address: '2001:db8::1', port: 5060 },
  destination: { address: 'fd00::1', port: 5060 },
  forwarding: 'MASQ',
  flags: ['TEMPLATE'],
  state: 'ASSURED',
  fwmark: 0,
  timeout: 60,
  engine: { name: 'sip', data: '61ff' }
}
const message = (version: 0 | 1, ...connections: Connection[]): SyncMessage => ({ version, syncid: 7, connections })

/** Worked by hand from docs/protocol.md sections 2 to 5. */
const BYTES_V1 = `
  00 07 0099 02 01 0000
  00 06 003e 00000503 0005 984c 0050 1f90 00000005 00000078 0a010002 0a010001 0a020002
  01 18 00000001 ffffffff 00000003 80000000 00000005 00000006
  0000
  01 11 0051 00001000 0001 0000 13c4 13c4 00000000 0000003c
  20010db8000000000000000000000002 20010db8000000000000000000000001 fd000000000000000000000000000001
  02 02 61ff 03 03 736970`
const BYTES_V0 = `
  01 07 0034
  00 06 984c 0050 1f90 0a010002 0a010001 0a020002 0503 0005
  01000000 ffffffff 03000000 00000080 05000000 06000000`

/** A connection without some of its keys. */
function without(connection: Connection, ...keys: (keyof Connection)[]): Connection {
  return Object.fromEntries(
    Object.entries(connection).filter(([key]) => !keys.includes(key as keyof Connection))
  ) as unknown as Connection
}

t.test('values and bytes worked by hand are each other, in both versions', async (t) => {
  t.equal(hex(encodeMessage(message(1, TCP, SIP))), packed(BYTES_V1))
  t.equal(hex(encodeMessage(message(0, TCP))), packed(BYTES_V0))
  const v1 = decodeMessage(bytes(BYTES_V1))
  t.strictSame(JSON.parse(JSON.stringify(v1)), {
    version: 1,
    syncid: 7,
    size: 153,
    connections: [TCP, SIP],
    problems: []
  })
  const v0 = decodeMessage(bytes(BYTES_V0))
  t.strictSame(JSON.parse(JSON.stringify(v0)), {
    ...{ version: 0, syncid: 7, size: 52 },
    connections: [without(TCP, 'fwmark', 'timeout')],
    problems: []
  })
  const big: EncodeOptions = { sequenceByteOrder: 'big' }
  t.strictSame(JSON.stringify(decodeMessage(encodeMessage(message(0, TCP), big), big).connections), JSON.stringify(v0.connections)) // prettier-ignore
})

t.test('a row with sequence flags and no data is sent in version 0 with zeros, whatever was sent before', async (t) => {
  const { inSequence, outSequence, ...bare } = TCP
  t.ok(inSequence && outSequence)
  const writer = new MessageWriter()
  const rows = createRows(1)
  const sent = [TCP, bare].map((connection) => {
    rowFromConnection(connection, rows, 0)
    writer.begin(0, 7, 1472)
    t.ok(writer.add(rows, 0))
    return hex(writer.finish().subarray(-24))
  })
  t.strictSame(sent, [packed(BYTES_V0).slice(-48), '00'.repeat(24)])
})

t.test('a decoded connection shows its fields in the JSON’s order, to people too', async (t) => {
  const [tcp, sip] = decodeMessage(bytes(BYTES_V1)).connections
  t.equal(JSON.stringify(tcp), JSON.stringify(TCP))
  t.equal(JSON.stringify(sip), JSON.stringify(SIP))
  t.equal(inspect(sip, { depth: 3 }), inspect(SIP, { depth: 3 }))
  const [old] = decodeMessage(bytes(BYTES_V0)).connections
  t.strictSame(
    [old?.fwmark, old?.timeout, old?.engine, sip?.inSequence, sip?.outSequence],
    new Array(5).fill(undefined)
  )
})

t.test('one direction’s sequence data alone leaves zeros for the other', async (t) => {
  const [one, other] = [without(TCP, 'outSequence'), without(TCP, 'inSequence')]
  const [first, second] = decodeMessage(encodeMessage(message(1, one, other))).connections
  t.strictSame(first?.outSequence, { initial: 0, delta: 0, previousDelta: 0 })
  t.strictSame(second?.inSequence, { initial: 0, delta: 0, previousDelta: 0 })
  t.strictSame(second?.outSequence, TCP.outSequence)
})

t.test('an engine’s name or data alone is kept', async (t) => {
  const name = { ...SIP, engine: { name: 'sip', data: '' } }
  t.strictSame(decodeMessage(encodeMessage(message(1, name))).connections[0]?.engine, name.engine)
  const lone = bytes(
    '00 07 0030 01 01 0000 00 11 0028 00001000 0001 0000 13c4 13c4 00000000 0000003c',
    '00'.repeat(12),
    '02 02 61ff'
  )
  t.strictSame(decodeMessage(lone).connections[0]?.engine, { name: '', data: '61ff' })
  const reader = new MessageReader()
  const writer = new MessageWriter()
  t.equal(reader.read(lone).records, 1)
  writer.begin(1, 7, 1472)
  writer.add(reader.rows, 0)
  t.equal(hex(writer.finish()), hex(lone))
})

/** A change to a sound connection, and the field that the error must name. */
const REFUSED: [string, Record<string, unknown>][] = [
  ['family', { family: 'ipx' }],
  ['protocol', { protocol: 'TPC' }],
  ['protocol', { protocol: '256' }],
  ['protocol', { protocol: '99', state: '0' }],
  ['state', { state: 'OPEN' }],
  ['state', { state: '11' }],
  ['state', { state: '65536' }],
  ['state', { flags: ['TEMPLATE'], state: '2' }],
  ['flags', { flags: ['ONE_PACKET'] }],
  ['flags', { flags: ['NO_CPORT', 'TEMPLATE'], state: 'NONE' }],
  ['flags', { flags: ['SNYC'] }],
  ['forwarding', { forwarding: 'NAT' }],
  ['forwarding', { forwarding: '8' }],
  ['client.address', { client: { address: '10.1.0.256', port: 1 } }],
  ['virtual.address', { virtual: { address: '::1', port: 1 } }],
  ['destination.port', { destination: { address: '10.0.0.1', port: 65536 } }],
  ['destination.port', { destination: { address: '10.0.0.1', port: -1 } }],
  ['client.port', { client: { address: '10.0.0.1', port: 1.5 } }],
  ['fwmark', { fwmark: -1 }],
  ['timeout', { timeout: 4294967296 }],
  ['timeout', { timeout: Number.NaN }],
  ['inSequence.delta', { inSequence: { initial: 0, delta: -1, previousDelta: 0 } }],
  ['outSequence.initial', { outSequence: { initial: 2 ** 32, delta: 0, previousDelta: 0 } }],
  ['engine.name', { engine: { name: 'a'.repeat(17), data: '00' } }],
  ['engine.name', { engine: { name: 'sip€', data: '00' } }],
  ['engine.name', { engine: { name: 'pis', data: '00' } }],
  ['engine.name', { engine: { name: '', data: '00' } }],
  ['engine.data', { engine: { name: 'sip', data: '0' } }],
  ['engine.data', { engine: { name: 'sip', data: 'zz' } }],
  ['engine.data', { engine: { name: 'sip', data: '00'.repeat(256) } }]
]

const REFUSED_V0: [string, Connection][] = [
  ['connections[1].family', without(SIP, 'engine')],
  ['connections[1].flags', { ...TCP, flags: ['IN_SEQ', 'NFCT'] }],
  ['connections[1].flags', { ...TCP, flags: [] }],
  ['connections[1].engine', { ...TCP, engine: { name: 'sip', data: '00' } }]
]

function fieldOf(encode: () => unknown): string {
  try {
    encode()
  } catch (error) {
    if (error instanceof IpvsSyncError) return `${error.code} ${error.field ?? ''}`
    throw error
  }
  return 'no error'
}

t.test('what a kernel would refuse or a field cannot hold is not written, and the error names it', async (t) => {
  for (const [field, change] of REFUSED) {
    const wrong = { ...TCP, ...change }
    t.equal(fieldOf(() => encodeMessage(message(1, TCP, wrong))), `ERR_ENCODE connections[1].${field}`, JSON.stringify(change)) // prettier-ignore
  }
  for (const [field, wrong] of REFUSED_V0)
    t.equal(
      fieldOf(() => encodeMessage(message(0, TCP, wrong))),
      `ERR_ENCODE ${field}`
    )
  for (const syncid of [-1, 256, 1.5])
    t.equal(
      fieldOf(() => encodeMessage({ ...message(1), syncid })),
      'ERR_ENCODE syncid'
    )
  t.equal(
    fieldOf(() => encodeMessage({ ...message(1), version: 2 as 1 })),
    'ERR_ENCODE version'
  )
  t.throws(() => encodeMessage(message(1, { ...TCP, state: 'OPEN' })), {
    message: /^connections\[0\]\.state: expected NONE, .*, got "OPEN"$/
  })
  const pis = message(1, { ...SIP, engine: { name: 'pis', data: '00' } })
  t.equal(decodeMessage(encodeMessage(pis, { engines: ['pis'] }), { engines: ['pis'] }).problems.length, 0)
})

t.test('a message ends at 255 connections and at its length, and nothing is lost between messages', async (t) => {
  const many = Array.from({ length: 600 }, (_, i) => ({ ...TCP, client: { address: '10.0.0.1', port: i } }))
  t.equal(
    fieldOf(() => encodeMessage(message(1, ...many.slice(0, 256)))),
    'ERR_ENCODE connections'
  )
  t.equal(decodeMessage(encodeMessage(message(1, ...many.slice(0, 255)))).connections.length, 255)
  const wide = { ...SIP, engine: { name: 'sip', data: '00'.repeat(255) } }
  t.equal(
    fieldOf(() => encodeMessage(message(1, ...new Array<Connection>(255).fill(wide)))),
    'ERR_ENCODE connections'
  )
  for (const version of [0, 1] as const) {
    for (const [maxLength, most] of [
      [1, 1],
      [200, version === 1 ? 3 : 4],
      [65507, 255]
    ] as const) {
      const messages = encodeMessages(message(version, ...many), { maxLength }).map((one) => decodeMessage(one))
      const ports = messages.flatMap(({ connections }) => connections.map(({ client }) => client.port))
      t.strictSame(ports, Array.from(many.keys()))
      t.equal(Math.max(...messages.map(({ connections }) => connections.length)), most, `${version} ${maxLength}`)
      t.strictSame(messages.flatMap(({ problems }) => problems), []) // prettier-ignore
      if (maxLength > 1) t.ok(messages.every(({ size }) => size <= maxLength))
    }
  }
  const plain = without(TCP, 'inSequence', 'outSequence')
  const alone = encodeMessages(message(1, plain, plain), { maxLength: 1 }).map(({ length }) => length)
  t.strictSame(alone, [44, 44], 'a record longer than maxLength has its own message')
  t.equal(encodeMessages(message(1)).length, 1, 'none is a message too')
  t.ok(encodeMessages(message(1, ...many)).every(({ length }) => length <= 1472))
  for (const maxLength of [0, 65508, 1.5])
    t.equal(
      fieldOf(() => encodeMessages(message(1), { maxLength })),
      'ERR_USAGE maxLength'
    )
})

t.test('what the reader took in, the writer gives out', async (t) => {
  for (const [text, version] of [
    [BYTES_V1, 1],
    [BYTES_V0, 0]
  ] as const) {
    // prettier-ignore
    const reader = new MessageReader()
    const writer = new MessageWriter()
    const { records: count, end } = reader.read(bytes(text))
    t.equal(end, bytes(text).length)
    writer.begin(version, 7, 1472)
    for (let i = 0; i < count; i++) t.ok(writer.add(reader.rows, i))
    t.equal(hex(writer.finish()), packed(text))
  }
})

t.test('what was begun and not finished leaves no trace', async (t) => {
  const full = '255.255.255.255'
  const ones = { ...SIP, ...{ client: { address: full, port: 65535 }, virtual: { address: full, port: 65535 } } }
  const rows = createRows(3)
  rowFromConnection({ ...ones, family: 'ipv4', destination: ones.client, fwmark: 0xffffffff }, rows, 0)
  rowFromConnection(TCP, rows, 1)
  rowFromConnection(SIP, rows, 2)
  for (const [text, version] of [
    [BYTES_V1, 1],
    [BYTES_V0, 0]
  ] as const) {
    // prettier-ignore
    const writer = new MessageWriter()
    for (const start of [0, 1] as const) {
      writer.begin(start, 255, 1472)
      while (writer.add(rows, 0));
    }
    writer.begin(version, 7, 1472)
    for (let i = 1; i < 2 + version; i++) writer.add(rows, i)
    t.equal(hex(writer.finish()), packed(text))
  }
  const writer = new MessageWriter()
  writer.begin(1, 255, 1472)
  while (writer.add(rows, 0));
  writer.begin(0, 7, 1472)
  for (let i = 0; i < 5; i++) writer.add(rows, 1)
  t.strictSame(decodeMessage(writer.finish()).problems, [], 'reserved bytes are written too')
})

t.test('messages that were finished are never written again', async (t) => {
  const rows = createRows(1)
  rowFromConnection(TCP, rows, 0)
  const writer = new MessageWriter()
  writer.begin(0, 7, 1472)
  const messages = Array.from({ length: 5000 }, (_, i) => {
    rows.words[ROW.FWMARK] = i
    writer.begin(i % 2 === 0 ? 0 : 1, i % 256, i % 3 === 0 ? 65507 : 100)
    writer.add(rows, 0)
    return writer.finish()
  })
  for (const [i, bytes] of messages.entries()) {
    const { syncid, connections, problems } = decodeMessage(bytes)
    const expected = i % 2 === 0 ? undefined : i
    if (syncid !== i % 256 || connections[0]?.fwmark !== expected || problems.length > 0) t.fail(`message ${i}`)
  }
  t.equal(messages.length, 5000)
})

t.test('names and numbers lead to each other', async (t) => {
  t.strictSame(flagNames(0xffffffff | 0), flagNames(0xffffffff))
  t.match(flagNames(0x80004000 | 0).join(), '0x4000,0x80000000')
  for (let bit = 3; bit < 31; bit++) t.equal(flagBits(flagNames(1 << bit)), 1 << bit)
  for (let flags = 0; flags < 2048; flags++) t.equal(flagBits(flagNames(flags << 3)), flags << 3)
  t.equal(flagBits(['0x123456789']), undefined)
  for (let method = 0; method < 8; method++) t.equal(forwardingNumber(forwardingName(method)), method)
  for (let number = 0; number < 256; number++) t.equal(protocolNumber(protocolName(number)), number)
  for (const protocol of [6, 17, 132, 50, 99]) {
    for (let state = 0; state < 20; state++) {
      for (const template of [false, true])
        t.equal(stateNumber(protocol, template, stateName(protocol, template, state)), state)
    }
  }
  t.strictSame(
    [stateTimeout(6, false, 1), stateTimeout(6, true, 1), stateTimeout(50, false, 0), stateTimeout(99, false, 3)],
    [900, 180, 180, 180]
  )
  t.strictSame([fromHex('0'), fromHex('0g'), fromText('€')], [undefined, undefined, undefined])
})

t.test('a message as one line and as many', async (t) => {
  const line = 'version 1, syncid 7, 153 bytes, 2 connections (1 TCP, 1 UDP)'
  const lines = [
    line,
    '  0 TCP 10.1.0.2:38988 > 10.1.0.1:80 > 10.2.0.2:8080 DROUTE TIME_WAIT INACTIVE IN_SEQ timeout=120 fwmark=5 in=1-1+3 out=2147483648+5+6',
    '  1 UDP [2001:db8::2]:0 > [2001:db8::1]:5060 > [fd00::1]:5060 MASQ ASSURED TEMPLATE timeout=60 engine=sip:61ff'
  ]
  t.equal(formatMessage(bytes(BYTES_V1), { style: 'line' }), line)
  t.equal(formatMessage(bytes(BYTES_V1)), lines.join('\n'))
  t.equal(formatMessage(message(1, TCP, SIP)), [line.replace(' 153 bytes,', ''), ...lines.slice(1)].join('\n'))
  t.equal(formatMessage(message(0)), 'version 0, syncid 7, 0 connections')
  t.match(formatMessage(bytes(BYTES_V0)).split('\n')[0], /1 connection \(1 TCP\)$/)
})

t.test('problems stand where they belong, and nothing in a line moves a cursor', async (t) => {
  const text = formatMessage(bytes(BYTES_V1.replace('0099 02', '0099 03').replace('736970', '1b5b20')))
  t.match(
    text,
    /engine=\\x1b\[\\x20:61ff\n {2}! skip ENGINE_UNKNOWN: connection 1: .*\n {2}! drop RECORD_TRUNCATED: connection 2:/
  )
  t.match(text.split('\n')[0], /, ENGINE_UNKNOWN, RECORD_TRUNCATED$/)
  t.notMatch(text, /[^\n -~]/)
  t.match(
    formatMessage(bytes('0007 0001 ff')),
    /^version 0, syncid 7, 1 bytes, 0 connections, SIZE_MISMATCH\n {2}! drop SIZE_MISMATCH: .* \(size 1, length 5 bytes\)$/
  )
})

/** Sound headers with a byte or more behind what they count. */
const LEFTOVERS: [name: string, message: Uint8Array, lines: RegExp[]][] = [
  ['behind nothing', bytes('0007 0009 0001 0000 ff'), [/^version 1/, /LEFTOVER_BYTES: .*\(1 byte\)$/]],
  [
    'behind one',
    bytes('0107 001e', '00'.repeat(24), 'ffff'),
    [/^version 0/, /^ {2}0 IP /, /PROTOCOL_UNKNOWN/, /LEFTOVER_BYTES: .*\(2 bytes\)$/]
  ],
  [
    'behind two',
    bytes('0207 0035', '00'.repeat(48), 'ff'),
    [/^version 0/, /^ {2}0/, /UNKNOWN/, /^ {2}1/, /UNKNOWN/, /LEFTOVER_BYTES: .*\(1 byte\)$/]
  ]
]

t.test('what is left over is reported after the connections', async (t) => {
  for (const [name, message, wanted] of LEFTOVERS) {
    const lines = formatMessage(message).split('\n')
    t.equal(lines.length, wanted.length, name)
    for (const [i, line] of lines.entries()) t.match(line, wanted[i], name)
  }
})

t.test('a mistake in the call is reported by name, not as a fault of the bytes', async (t) => {
  const none = bytes('0007 0008 0001 0000')
  const call = decodeMessage as (...anything: unknown[]) => unknown
  const DECODE: [string, ...unknown[]][] = [
    ['bytes', undefined],
    ['bytes', 'text'],
    ['bytes', [1, 2]],
    ['bytes', new DataView(new ArrayBuffer(8))],
    ['options', none, null],
    ['flagChecks', none, { flagChecks: 'lax' }],
    ['sequenceByteOrder', none, { sequenceByteOrder: 'middle' }],
    ['engines', none, { engines: 'sip' }],
    ['wireLength', none, { wireLength: -1 }],
    ['wireLength', none, { wireLength: 1.5 }]
  ]
  for (const [field, ...given] of DECODE)
    t.throws(() => call(...given), { name: 'IpvsSyncError', code: 'ERR_USAGE', field }, `${field} ${String(given[0])}`)
  const empty = { version: 1, syncid: 7, connections: [] }
  for (const encode of [encodeMessage, encodeMessages] as ((...anything: unknown[]) => unknown)[]) {
    for (const message of [undefined, null, 'text'])
      t.throws(() => encode(message), { code: 'ERR_ENCODE', field: 'message' })
    t.throws(() => encode({ version: 1, syncid: 7 }), { code: 'ERR_ENCODE', field: 'connections' })
    t.throws(() => encode(empty, { sequenceByteOrder: 'middle' }), { code: 'ERR_USAGE', field: 'sequenceByteOrder' })
    t.throws(() => encode(empty, null), { code: 'ERR_USAGE', field: 'options' })
  }
  t.throws(() => formatMessage(null as unknown as SyncMessage), { code: 'ERR_ENCODE', field: 'message' })
})

/** Paths of objects in a value that are not frozen. */
function thawed(value: unknown, path = 'message'): string[] {
  if (typeof value !== 'object' || value === null) return []
  const inner = Object.entries(value).flatMap(([key, one]) => thawed(one, `${path}.${key}`))
  return Object.isFrozen(value) ? inner : [path, ...inner]
}

t.test('a decoded message is a plain value, frozen with all that it contains', async (t) => {
  for (const text of [BYTES_V0, BYTES_V1]) {
    const decoded = decodeMessage(bytes(text))
    t.strictSame(structuredClone(decoded), decoded)
    t.strictSame(JSON.parse(JSON.stringify(decoded)), decoded)
    t.strictSame({ ...decoded.connections[0] }, decoded.connections[0])
    t.strictSame(Object.keys(decoded.connections[0]!).slice(0, 4), ['family', 'protocol', 'client', 'virtual'])
    t.strictSame(thawed(decoded), [])
  }
  t.strictSame(thawed(decodeMessage(bytes('00'))), [])
  const [connection] = decodeMessage(bytes(BYTES_V1)).connections
  const changed = { ...connection!, state: 'CLOSE' }
  t.equal(changed.client.address, '10.1.0.2')
  t.equal(decodeMessage(encodeMessage(message(1, changed))).connections[0]?.state, 'CLOSE')
})

const DUMP = `
0000  00                                               reserved 0
0001  07                                               syncid 7
0002  00 99                                            size 153
0004  02                                               connections 2
0005  01                                               version 1
0006  00 00                                            spare 0
connection 0
0008  00                                               type IPv4
0009  06                                               protocol TCP
000a  00 3e                                            record version 0, length 62
000c  00 00 05 03                                      flags 0x0503 DROUTE INACTIVE IN_SEQ
0010  00 05                                            state TIME_WAIT
0012  98 4c                                            client port 38988
0014  00 50                                            virtual port 80
0016  1f 90                                            destination port 8080
0018  00 00 00 05                                      fwmark 5
001c  00 00 00 78                                      timeout 120 s
0020  0a 01 00 02                                      client 10.1.0.2
0024  0a 01 00 01                                      virtual 10.1.0.1
0028  0a 02 00 02                                      destination 10.2.0.2
002c  01                                               parameter 1, sequence data
002d  18                                               length 24
002e  00 00 00 01                                      in sequence initial 1
0032  ff ff ff ff                                      in sequence delta -1
0036  00 00 00 03                                      in sequence previous delta 3
003a  80 00 00 00                                      out sequence initial 2147483648
003e  00 00 00 05                                      out sequence delta 5
0042  00 00 00 06                                      out sequence previous delta 6
0046  00 00                                            padding
connection 1
0048  01                                               type IPv6
0049  11                                               protocol UDP
004a  00 51                                            record version 0, length 81
004c  00 00 10 00                                      flags 0x1000 MASQ TEMPLATE
0050  00 01                                            state ASSURED
0052  00 00                                            client port 0
0054  13 c4                                            virtual port 5060
0056  13 c4                                            destination port 5060
0058  00 00 00 00                                      fwmark 0
005c  00 00 00 3c                                      timeout 60 s
0060  20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 02  client 2001:db8::2
0070  20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01  virtual 2001:db8::1
0080  fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01  destination fd00::1
0090  02                                               parameter 2, engine data
0091  02                                               length 2
0092  61 ff                                            engine data 2 bytes
0094  03                                               parameter 3, engine name
0095  03                                               length 3
0096  73 69 70                                         engine name sip`.slice(1)

t.test('a dump labels every byte', async (t) => {
  const whole = bytes(BYTES_V1)
  t.equal(formatMessage(whole, { style: 'dump' }), DUMP)
  t.equal(formatMessage(message(1, TCP, SIP), { style: 'dump' }), DUMP)
  const v0 = formatMessage(bytes(BYTES_V0), { style: 'dump' }).split('\n')
  t.strictSame(
    v0
      .map((line) => (line.startsWith('0') ? line.slice(55) : line))
      .filter((_, i) => [0, 3, 4, 5, 12, 13, 14].includes(i)),
    ['connections 1', 'connection 0', 'reserved 0', 'protocol TCP', 'flags 0x0503 DROUTE INACTIVE IN_SEQ', 'state TIME_WAIT', 'in sequence initial 1'] // prettier-ignore
  )
  // The capture kept 20 bytes: they have the labels that they have in the whole message.
  const kept = formatMessage(whole.subarray(0, 20), { style: 'dump', wireLength: 153 }).split('\n')
  t.strictSame(kept.slice(0, -1), DUMP.split('\n').slice(0, 12))
  t.match(kept.at(-1), /^0012 {2}98 4c +client port 38988$/)
  const middle = formatMessage(whole.subarray(0, 19), { style: 'dump', wireLength: 153 }).split('\n')
  t.match(middle.at(-1), /^0012 {2}98 +client port, cut off$/)
})

t.test('long data take several lines', async (t) => {
  const long = { ...SIP, engine: { name: 'sip', data: '61'.repeat(20) } }
  t.strictSame(formatMessage(message(1, long), { style: 'dump' }).split('\n').slice(-5, -3), [
    `0052  ${'61 '.repeat(16)} engine data 20 bytes`,
    `0062  ${'61 '.repeat(4)}${' '.repeat(36)} "`
  ])
})

t.test('what a receiver does not read is labelled so', async (t) => {
  const labels = (text: string): string[] =>
    labelBytes(bytes(text)).map(({ offset, label, connection }) => `${offset} ${connection ?? '-'} ${label}`)
  t.strictSame(labels('00 07 0009 00 01 0000 ff').slice(-1), ['8 - behind the last connection, not read'])
  t.strictSame(labels('00 07 00'), ['0 - connections 0', '1 - syncid 7', '2 - size, cut off'])
  t.strictSame(labels('00 07 0010 01 01 0000 02 06 1024 00 00 00 00').slice(6), [
    '8 0 type 2',
    '9 0 protocol TCP',
    '10 0 record version 1, length 36',
    '12 0 flags 0x0000 MASQ'
  ])
  const head = '01 06 004c 00000000 0001 0001 0002 0003 00000000 00000384'
  const long = labels(`00 07 0054 01 01 0000 ${head} ${'00'.repeat(48)} 45 02 0000`)
  t.strictSame(long.slice(-3), [
    '80 0 parameter 69, unknown parameter, optional',
    '81 0 length 2',
    '82 0 unknown parameter 2 bytes'
  ])
  const broken = labels(`00 07 0054 01 01 0000 ${head} ${'00'.repeat(48)} 45 09 0000`)
  t.strictSame(broken.slice(-1), ['80 - not read: the receiver gives up at byte 81, PARAMETER_LENGTH'])
  const stray = labels(`00 07 0031 01 01 0000 00 06 0029 ${head.slice(11)} ${'00'.repeat(12)} 01 03 000102`)
  t.strictSame(stray.slice(-3), ['44 0 parameter 1, sequence data', '45 0 length 3', '46 0 sequence data 3 bytes'])
})

t.test('a value of another shape is refused by the name of what is wrong', async (t) => {
  const rows = createRows(1)
  const convert = (value: unknown): void => rowFromConnection(value as Connection, rows, 0, 'line')
  const sequence = { initial: 1, delta: 2, previousDelta: 3 }
  const full = { ...TCP, inSequence: sequence, outSequence: sequence, engine: { name: 'sip', data: '61' } }
  for (const value of [TCP, full, { ...TCP, more: 1 }]) t.doesNotThrow(() => convert(value))
  const cases: [value: unknown, field: string][] = [
    [undefined, 'line'],
    [null, 'line'],
    [[], 'line'],
    ['text', 'line'],
    [{ ...TCP, family: 4 }, 'line.family'],
    [{ ...TCP, protocol: undefined }, 'line.protocol'],
    [{ ...TCP, forwarding: 0 }, 'line.forwarding'],
    [{ ...TCP, client: '10.0.0.1' }, 'line.client'],
    [{ ...TCP, client: { port: 1 } }, 'line.client.address'],
    [{ ...TCP, flags: 'TEMPLATE' }, 'line.flags'],
    [{ ...TCP, flags: [1] }, 'line.flags'],
    [{ ...TCP, inSequence: 7 }, 'line.inSequence'],
    [{ ...TCP, engine: null }, 'line.engine'],
    [{ ...TCP, engine: { name: 'sip' } }, 'line.engine.data']
  ]
  for (const [value, field] of cases)
    t.throws(() => convert(value), { code: 'ERR_ENCODE', field, name: 'IpvsSyncError' })
})

t.test('an unknown name is refused with what is accepted, and the nearest', async (t) => {
  const rows = createRows(1)
  const messageOf = (change: object): string => {
    try {
      rowFromConnection({ ...TCP, ...change }, rows, 0)
    } catch (error) {
      return (error as Error).message
    }
    return ''
  }
  const cases: [object, string | RegExp][] = [
    [{ state: undefined }, 'connection.state: expected a string, got undefined'],
    [
      { forwarding: 'NAT' },
      'connection.forwarding: expected MASQ, LOCALNODE, TUNNEL, DROUTE, BYPASS or 0…7, got "NAT"'
    ],
    [{ forwarding: 'masq' }, /, got "masq"; did you mean MASQ\?$/],
    [{ protocol: 'tcp' }, /expected IP, ICMP, TCP.* or 0…255, got "tcp"; did you mean TCP\?$/],
    [{ flags: ['INACTIV'] }, /INACTIVE.* or a number such as 0x4000, got "INACTIV"; did you mean INACTIVE\?$/],
    [{ state: 'UDP' }, /expected NONE, ESTABLISHED, .* or 0…65535, got "UDP"$/],
    [{ state: 'X', flags: ['TEMPLATE'] }, 'connection.state: expected NONE, ASSURED or 0…65535, got "X"'],
    [{ state: 'X', protocol: '99' }, 'connection.state: expected 0…65535, got "X"'],
    [
      { client: { address: '10.0.0.1', port: '80' } },
      'connection.client.port: expected an integer 0…65535, got the string "80"'
    ],
    [{ client: { address: 'fe80::1', port: 1 } }, 'connection.client.address: expected an IPv4 address, got "fe80::1"']
  ]
  for (const [change, wanted] of cases) t.match(messageOf(change), wanted)
})
