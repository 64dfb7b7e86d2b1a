// Kernel directors recorded under random traffic: the model agrees with every table and record, and a model with a
// planted fault does not.
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { tmpdir } from 'node:os'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { gunzipSync } from 'node:zlib'
import t from 'tap'
import ts from 'typescript'
import { judge, type DirectorRecording, type ModelParts } from '../kernel/harness/director-recording.js'

const root = fileURLToPath(new URL('../../', import.meta.url))
const recordings = ['random-1', 'random-2', 'random-3'].map((name) => {
  const bytes = readFileSync(join(root, `test/fixtures/directors/${name}.json.gz`))
  return JSON.parse(gunzipSync(bytes).toString()) as DirectorRecording
})

/** A fault of one file: what stands there, and what is planted instead. */
const FAULTS: readonly (readonly [name: string, file: string, from: string, to: string])[] = [
  ['an ACK does not establish', 'transitions', '. 5 1 .  . 5 1 6  . 5 1 .', '. 5 . .  . 5 1 6  . 5 . .'],
  ['secure_tcp lets a client establish', 'transitions', '. 5 3 .  10 5 1 6', '. 5 1 .  10 5 1 6'],
  ['an SCTP INIT-ACK of the server is lost', 'transitions', '0-2>5;5>6 | 0-2>3', '0-2>5;5>6 | 0>3'],
  [
    'a segment without flags is an ACK',
    'transitions',
    'TCP_EVENT.ACK : TCP_EVENT.NONE',
    'TCP_EVENT.ACK : TCP_EVENT.ACK'
  ],
  ['TIME_WAIT is not reused', 'reuse', 'state === TCP_STATE.TIME_WAIT ||', ''],
  ['replies do not show themselves', 'move', 'connection.flags &= ~NOOUTPUT', 'void NOOUTPUT'],
  ['a UDP reply does not assure', 'move', 'if (isReply) assureController(connection)', ''],
  [
    'the timeout is set at changes only',
    'move',
    'connection.timeoutMs = timeouts.udp',
    'connection.timeoutMs ||= timeouts.udp'
  ],
  ['activity is not counted', 'move', 'server.active += by', ''],
  ['replies count as packets', 'director', 'connection.isServerSideSeen = true', 'connection.packets++'],
  ['AH and ESP use another port', 'director', 'const ISAKMP = 500', 'const ISAKMP = 4500'],
  ['BYPASS announces its first packet', 'director', 'announcer !== undefined && !isBypass', 'announcer !== undefined'],
  ['weight 0 does not reschedule', 'director', "return 'weight-zero'", 'return undefined'],
  [
    'templates restart by no connection',
    'opener',
    'lifetimes.restart(template, now)\n    return connection\n  }\n\n  /** Opens a connection that',
    'return connection\n  }\n\n  /** Opens a connection that'
  ],
  ['the netmask is ignored', 'opener', 'packet.source) & mask[0]!', 'packet.source)'],
  ['port 20 is scheduled', 'opener', '=== FTP_DATA_PORT', '=== -1'],
  ['BYPASS is inactive', 'opener', 'const FORWARDING_BYPASS = 4', 'const FORWARDING_BYPASS = 4 | FLAG.INACTIVE'],
  [
    'drop_packet drops one later',
    'defences',
    'if (--this.#counter > 0) return false',
    'if (this.#counter-- > 0) return false'
  ],
  ['a later server wins a tie', 'schedulers', 'leastCost * weight(server) <= own', 'leastCost * weight(server) < own'],
  ['rr passes a server over', 'schedulers', '(from + step) % servers.length', '(from + step + 1) % servers.length'],
  ['sh falls back to another bucket', 'schedulers', '(2 * first + offset) % BUCKETS', '(first + offset) % BUCKETS'],
  [
    'overload comes one late',
    'services',
    '>= this.upperThreshold) this.isOverloaded',
    '> this.upperThreshold) this.isOverloaded'
  ],
  [
    'new servers stand last',
    'services',
    'this.servers = [server, ...this.servers]',
    'this.servers = [...this.servers, server]'
  ],
  ['Call-IDs are cut', 'sip', 'payload.slice(at, end)', 'payload.slice(at, at + 1)'],
  ['expired entries stay', 'lifetimes', 'if (connection.controls === 0) {', 'if (connection.controls === -1) {'],
  [
    'records say another timeout',
    'announcer',
    'Math.floor(connection.timeoutMs / 1000)',
    'Math.ceil(connection.timeoutMs / 1000) + 1'
  ]
]

const FOLDERS = ['wire', 'sysctl', 'table', 'capture', 'engine', 'director'] as const
const work = mkdtempSync(join(tmpdir(), 'ipvs-sync-faults-'))
t.teardown(() => rmSync(work, { recursive: true }))
symlinkSync(join(root, 'node_modules'), join(work, 'node_modules'))
writeFileSync(join(work, 'package.json'), '{"type":"module"}')

function compile(source: string): string {
  const [target, module] = [ts.ScriptTarget.ES2022, ts.ModuleKind.ESNext]
  return ts.transpileModule(source, { compilerOptions: { target, module, verbatimModuleSyntax: true } }).outputText
}

/** The package's pure part as JavaScript. */
function compileAll(): string {
  const base = join(work, 'sound')
  const src = join(root, 'src')
  const top = readdirSync(src).filter((name) => name.endsWith('.ts') && name !== 'index.ts')
  const nested = FOLDERS.flatMap((folder) =>
    readdirSync(join(src, folder), { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name))
  )
  for (const name of [...top, ...nested].filter((file) => file.endsWith('.ts'))) {
    const to = join(base, name.replace(/\.ts$/, '.js'))
    mkdirSync(dirname(to), { recursive: true })
    writeFileSync(to, compile(readFileSync(join(src, name), 'utf8')))
  }
  return base
}

/** The model with a fault; all but the director is shared. */
function plant(base: string, number: number): string {
  const [, file, from, to] = FAULTS[number]!
  const folder = join(work, `fault-${number}`)
  mkdirSync(folder)
  for (const name of readdirSync(base)) if (name !== 'director') symlinkSync(join(base, name), join(folder, name))
  cpSync(join(base, 'director'), join(folder, 'director'), { recursive: true })
  const source = readFileSync(join(root, 'src/director', `${file}.ts`), 'utf8')
  if (!source.includes(from)) throw new Error(`${file}.ts holds no ${JSON.stringify(from)}`)
  writeFileSync(join(folder, 'director', `${file}.js`), compile(source.replace(from, to)))
  return folder
}

async function partsOf(folder: string): Promise<ModelParts> {
  const load = (name: string): Promise<object> => import(pathToFileURL(join(folder, name)).href) as Promise<object>
  return { ...(await load('director/index.js')), ...(await load('engine/index.js')) } as unknown as ModelParts
}

const base = compileAll()

t.test('the model agrees with the kernel in every entry, counter and record', async (t) => {
  const parts = await partsOf(base)
  for (const recording of recordings) {
    const { compared, disagreements } = judge(recording, parts)
    t.strictSame(disagreements, [])
    t.ok(compared > 5000, `${compared} compared`)
  }
})

for (const [number, [name]] of FAULTS.entries()) {
  t.test(`a planted fault is found: ${name}`, async (t) => {
    const parts = await partsOf(plant(base, number))
    t.ok(recordings.some((recording) => judge(recording, parts, 1).disagreements.length > 0))
  })
}
