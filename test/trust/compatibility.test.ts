// Compatibility on the wire with version 0.1.0 (commit 6329616), by messages that it wrote and by what it read of ours. The
// fixture was recorded by running that commit's own encoders and decoders.
import { readFileSync } from 'node:fs'
import t from 'tap'
import { decodeAgentMessage, encodeAgentMessage } from '../../src/agent/protocol/messages.js'
import { BackupEngine } from '../../src/engine/backup/backup.js'
import { Key } from '../../src/trust/keys.js'
import { encodeRepairMessage } from '../../src/trust/repair-messages.js'
import { Sealer } from '../../src/trust/sealer.js'
import type { Connection } from '../../src/wire/connection.js'
import { decodeMessage } from '../../src/wire/decode-message.js'
import { encodeMessage } from '../../src/wire/encode-message.js'

interface Recording {
  readonly sent: {
    readonly agent: readonly { readonly kind: string; readonly hex: string }[]
    readonly sync: readonly { readonly version: 0 | 1; readonly hex: string }[]
  }
  readonly read: readonly {
    readonly name: string
    readonly hex: string
    readonly connections: number
    readonly held: number
    readonly agent: string | null
  }[]
}

const FILE = new URL('../fixtures/trust/version-0.1.0.json', import.meta.url)
const { sent, read } = JSON.parse(readFileSync(FILE, 'utf8')) as Recording
const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'))
const CONNECTION: Connection = {
  family: 'ipv4',
  protocol: 'TCP',
  client: { address: '10.0.0.1', port: 1000 },
  virtual: { address: '10.9.9.9', port: 80 },
  destination: { address: '10.1.0.1', port: 80 },
  forwarding: 'MASQ',
  flags: [],
  state: 'ESTABLISHED',
  fwmark: 0,
  timeout: 900
}
const ENVELOPE = { from: '00000000000000aa', to: '00000000000000bb', request: 7, ready: true } as const

t.test('messages of version 0.1.0 mean the same here', async (t) => {
  for (const { version, hex } of sent.sync) {
    const { connections } = decodeMessage(bytesOf(hex))
    t.match(connections, [{ client: CONNECTION.client, destination: CONNECTION.destination, state: 'ESTABLISHED' }])
    const engine = new BackupEngine({ syncid: 5 })
    engine.handleDatagram(bytesOf(hex), { address: '10.0.0.9', port: 1 }, 1)
    t.equal(engine.table.size, 1, `version ${version}`)
  }
  const details: Readonly<Record<string, object>> = {
    hello: { connections: 300, origin: '0000cafe00000001' },
    request: { capacity: undefined },
    done: { connections: 300, messages: 9, round: 2 },
    list: { portion: 300, sums: [1, 2, 3] },
    repeat: { round: 300, pieces: [{ portion: 0, early: 5, late: 6 }] }
  }
  t.equal(sent.agent.length, 9)
  for (const { kind, hex } of sent.agent)
    t.match(decodeAgentMessage(bytesOf(hex)), { kind, ...ENVELOPE, ...details[kind] }, kind)
})

t.test('version 0.1.0 reads what is sent today, sealed or not, and ignores what is new', async (t) => {
  const sealer = new Sealer({
    key: new Key(new Uint8Array(32).fill(7)),
    wallClock: () => 1_700_000_000_000,
    sender: 1n
  })
  const plain: Readonly<Record<string, Uint8Array>> = {
    'version 0': encodeMessage({ version: 0, syncid: 5, connections: [CONNECTION] }),
    'version 1': encodeMessage({ version: 1, syncid: 5, connections: [CONNECTION] }),
    offer: encodeAgentMessage({ ...ENVELOPE, kind: 'offer', connections: 300 }, 5),
    request: encodeAgentMessage(
      { ...ENVELOPE, kind: 'request', capacity: { syncSockSize: 1, rmemDefault: 2, rmemMax: 3 } },
      5
    ),
    pulse: encodeRepairMessage({ kind: 'pulse', channel: 0 }, 5),
    challenge: encodeRepairMessage({ kind: 'challenge', channel: 0, sender: 1n, nonce: 2n }, 5)
  }
  const ours = Object.entries(plain).flatMap(([name, bytes]) => [
    [name, bytes] as const,
    [`${name}, sealed`, sealer.seal(bytes, 0)] as const
  ])
  t.equal(ours.length, read.length)
  for (const [index, [name, bytes]] of ours.entries()) {
    const recorded = read[index]!
    t.equal(Buffer.from(bytes).toString('hex'), recorded.hex, `${name}: the bytes that version 0.1.0 read`)
    const carriesOne = name.startsWith('version')
    t.equal(recorded.held, carriesOne ? 1 : 0, `${name}: connections applied`)
    const isAgents = name.startsWith('offer') || name.startsWith('request')
    t.equal(recorded.agent, isAgents ? name.replace(', sealed', '') : null, `${name}: as an agent read it`)
  }
})
