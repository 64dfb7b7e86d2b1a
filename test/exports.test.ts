// The package's face: every option is known by name, every type of a public signature can be imported, and every export is
// used by a test.
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'
import * as agent from '../src/agent/index.js'
import * as capture from '../src/capture/index.js'
import * as director from '../src/director/index.js'
import * as engine from '../src/engine/index.js'
import * as root from '../src/index.js'
import * as relay from '../src/relay/index.js'
import * as trust from '../src/trust/index.js'
import * as wire from '../src/wire/index.js'
import { tcpConnection } from './fixtures/support/connections.js'

const entries = { '.': root, wire, engine, capture, director, agent, relay, trust } as const
const src = fileURLToPath(new URL('../src', import.meta.url))
const tests = fileURLToPath(new URL('.', import.meta.url))

function indexOf(entry: string): string {
  return entry === '.' ? join(src, 'index.ts') : join(src, entry, 'index.ts')
}

t.test('every export is used in a test', async (t) => {
  const text = readdirSync(tests, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts') && name !== 'exports.test.ts')
    .map((name) => readFileSync(join(tests, name), 'utf8'))
    .join('\n')
  const words = new Set(text.match(/[A-Za-z_$][\w$]*/g))
  for (const [entry, module] of Object.entries(entries)) {
    t.strictSame(
      Object.keys(module).filter((name) => !words.has(name)),
      [],
      entry
    )
  }
})

/** Public parts of a declaration that have types: everything but private members and function bodies. */
function visitTypes(node: ts.Node, use: (name: ts.Identifier) => void): void {
  const isPrivate =
    ts.canHaveModifiers(node) &&
    (ts.getModifiers(node) ?? []).some(
      ({ kind }) => kind === ts.SyntaxKind.PrivateKeyword || kind === ts.SyntaxKind.ProtectedKeyword
    )
  const name = (node as ts.Node & { readonly name?: ts.Node }).name
  if (isPrivate || ts.isBlock(node) || (name !== undefined && ts.isPrivateIdentifier(name))) return
  if (ts.isTypeReferenceNode(node)) {
    const { typeName } = node
    use(ts.isIdentifier(typeName) ? typeName : typeName.right)
  }
  if (ts.isExpressionWithTypeArguments(node) && ts.isIdentifier(node.expression)) use(node.expression)
  // The value of a constant has no written type; that of a property or parameter has one.
  if (ts.isPropertyDeclaration(node) || ts.isParameter(node) || ts.isVariableDeclaration(node)) {
    if (node.type !== undefined) visitTypes(node.type, use)
    return
  }
  ts.forEachChild(node, (child) => visitTypes(child, use))
}

t.test('every type of a public signature is exported', async (t) => {
  const files = Object.keys(entries).map(indexOf)
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ESNext,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    skipLibCheck: true,
    noLib: true,
    types: []
  }
  const program = ts.createProgram(files, options)
  const checker = program.getTypeChecker()
  const resolve = (symbol: ts.Symbol): ts.Symbol =>
    (symbol.flags & ts.SymbolFlags.Alias) !== 0 ? checker.getAliasedSymbol(symbol) : symbol
  const exportsOf = (file: string): ts.Symbol[] => {
    const module = checker.getSymbolAtLocation(program.getSourceFile(file)!)!
    return checker.getExportsOfModule(module).map(resolve)
  }
  // Other entries may name types of any entry: those of the root above all.
  const anywhere = new Set(files.flatMap(exportsOf))
  const missing: string[] = []
  for (const entry of Object.keys(entries)) {
    const own = new Set(exportsOf(indexOf(entry)))
    const exported = entry === '.' ? own : anywhere
    for (const symbol of own) {
      for (const declaration of symbol.declarations ?? []) {
        visitTypes(declaration, (name) => {
          const found = checker.getSymbolAtLocation(name)
          const target = found && resolve(found)
          const [declared] = target?.declarations ?? []
          if (target === undefined || declared === undefined || ts.isTypeParameterDeclaration(declared)) return
          const file = relative(src, declared.getSourceFile().fileName)
          if (file.startsWith('..') || exported.has(target)) return
          const text = `${entry}: ${target.name} (${file}), named by ${symbol.name}`
          if (!missing.includes(text)) missing.push(text)
        })
      }
    }
  }
  t.strictSame(missing, [])
})

const connection = tcpConnection(0)
const message = { version: 1, syncid: 5, connections: [connection] } as const
const bytes = wire.encodeMessage(message)
const network = new root.MemoryNetwork()
const sender = network.open('10.9.0.1')
const receiver = network.open('10.9.0.2')
const keys = new trust.KeyRing([new trust.Key(new Uint8Array(32))])
const sealer = new trust.Sealer({ key: new trust.Key(new Uint8Array(32)) })
const verifier = new trust.Verifier({ keys })
const trustClock = { now: () => 1, after: () => () => undefined }
const pace = { rate: 1000, burst: 10 } as unknown as engine.Pace
const peers = [{ address: '127.0.0.1' }]
const server = { address: '10.0.1.1', port: 80, forwarding: 'MASQ' }
const service = { protocol: 'TCP', virtual: { address: '10.0.0.1', port: 80 }, scheduler: 'rr', servers: [] }

/** Every export that takes options, with those that it needs, and a misspelt name of one that it accepts. */
const CALLS: readonly (readonly [name: string, call: (options: never) => unknown, needs: object, accepted: string])[] =
  [
    ['decodeMessage', (options) => root.decodeMessage(bytes, options), {}, 'wireLength'],
    ['problemsOf', (options) => root.problemsOf(bytes, options), {}, 'flagChecks'],
    ['labelBytes', (options) => root.labelBytes(bytes, options), {}, 'flagChecks'],
    ['formatMessage', (options) => root.formatMessage(bytes, options), {}, 'style'],
    ['encodeMessage', (options) => root.encodeMessage(message, options), {}, 'sequenceByteOrder'],
    ['encodeMessages', (options) => root.encodeMessages(message, options), {}, 'maxLength'],
    ['MessageReader', (options) => new wire.MessageReader(options), {}, 'flagChecks'],
    ['MessageView', (options) => new wire.MessageView(options), {}, 'engines'],
    ['ConnectionTable', (options) => new root.ConnectionTable(options), {}, 'maxConnections'],
    ['ConnectionTable.walk', (options) => new root.ConnectionTable().walk(options), {}, 'templates'],
    ['BackupEngine', (options) => new root.BackupEngine(options), { syncid: 5 }, 'maxConnections'],
    ['MasterEngine', (options) => new root.MasterEngine(options), { syncid: 5 }, 'syncMaxlen'],
    ['FullTableSender', (options) => new engine.FullTableSender([], options), { pace, now: 1 }, 'times'],
    [
      'BulkMessages',
      (options) => new engine.BulkMessages(options),
      { version: 1, syncid: 5, maxLength: 1472, channels: 1 },
      'maxLength'
    ],
    ['CaptureReader', (options) => new root.CaptureReader(options), {}, 'ports'],
    ['readCapture', (options) => root.readCapture(new Uint8Array(), options), {}, 'fragmentSeconds'],
    ['openCapture', (options) => root.openCapture('/nowhere', options), {}, 'ports'],
    ['MemoryNetwork', (options) => new root.MemoryNetwork(options), {}, 'duplication'],
    ['UdpReceiver', (options) => new root.UdpReceiver(options), { peers }, 'mcastPort'],
    ['UdpSender', (options) => new root.UdpSender(options), { peers }, 'mcastTtl'],
    ['SyncMaster', (options) => new root.SyncMaster(options), { transport: sender }, 'syncid'],
    ['SyncBackup', (options) => new root.SyncBackup(options), { transport: receiver }, 'syncid'],
    ['SyncMaster.announceTable', (options) => masterOf().announceTable(options), {}, 'signal'],
    ['SyncMaster.close', (options) => masterOf().close(options), {}, 'discard'],
    ['Agent', (options) => new root.Agent(options), { peers }, 'mcastInterface'],
    [
      'AgentEngine',
      (options) => new agent.AgentEngine(options),
      { id: 1n, syncid: 5, chance: () => 0, table: { size: 0, messages: () => [][Symbol.iterator]() } },
      'answerBurst'
    ],
    ['Relay', (options) => new relay.Relay(options), { site: 'a', syncid: 5, receiver, sender, links: [] }, 'site'],
    ['RelayEngine', (options) => new relay.RelayEngine(options), { origin: {}, links: [] }, 'links'],
    ['RelayTable', (options) => new relay.RelayTable(options), { syncid: 5 }, 'maxConnections'],
    ['UdpLink', (options) => new relay.UdpLink(options), { address: '127.0.0.1', keys }, 'wallClock'],
    [
      'NatsLink',
      (options) => new relay.NatsLink(options),
      { servers: [], fleet: 'a', site: 'b', syncid: 5 },
      'ringBytes'
    ],
    ['Sealer', (options) => new trust.Sealer(options), { key: new trust.Key(new Uint8Array(32)) }, 'wallClock'],
    ['Verifier', (options) => new trust.Verifier(options), { keys }, 'toleranceMs'],
    [
      'SealedSender',
      (options) => new trust.SealedSender(sender, options),
      { sealer, syncid: 5, clock: trustClock },
      'repair'
    ],
    [
      'SealedReceiver',
      (options) => new trust.SealedReceiver(receiver, options),
      { verifier, syncid: 5, clock: trustClock },
      'requireKey'
    ],
    ['Director', (options) => new director.Director(options), { services: [] }, 'availablePages'],
    ['Service', (options) => new director.Service(options), service, 'persistence'],
    ['Server', (options) => new director.Server(new director.Service(service), options), server, 'weight']
  ]

function masterOf(): root.SyncMaster {
  return new root.SyncMaster({ transport: new root.MemoryNetwork().open('10.9.0.1') })
}

t.test('an unknown option is refused by name, with a suggestion', async (t) => {
  for (const [name, call, needs, accepted] of CALLS) {
    const misspelt = accepted.slice(0, -1) + accepted.slice(-1).toUpperCase()
    const options = { ...needs, [misspelt]: 1 } as unknown as never
    const message = `unknown option ${misspelt}; did you mean ${accepted}?`
    const wanted = { name: 'IpvsSyncError', field: misspelt, message }
    const run = async (): Promise<unknown> => call(options)
    await t.rejects(run(), wanted, name)
    const other = async (): Promise<unknown> => call('text' as unknown as never)
    await t.rejects(
      other(),
      { name: 'IpvsSyncError', message: /options: expected an object, got the string "text"/ },
      name
    )
  }
})

t.test('every class and function with options is in the table of calls', async (t) => {
  const called = new Set(CALLS.map(([name]) => name))
  const missing = new Set<string>()
  for (const entry of Object.keys(entries)) {
    const text = readFileSync(indexOf(entry), 'utf8')
    for (const [, name = ''] of text.matchAll(/\b(\w+)Options\b/g))
      if (Object.values(entries).some((module) => name in module) && !called.has(name)) missing.add(name)
  }
  t.strictSame([...missing], [])
})
