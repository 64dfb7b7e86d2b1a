// The frame of the command: what is loaded, what is printed, and the exit codes.
import { EventEmitter } from 'node:events'
import { readFileSync } from 'node:fs'
import { PassThrough, Writable } from 'node:stream'
import t from 'tap'
import { COMMANDS, type CommandEntry, runProgram } from '../../src/cli/program.js'
import { exitCodeOf, explain, fileFault } from '../../src/cli/errors.js'
import { processIo, type ProcessLike } from '../../src/cli/io.js'
import { addDaemonOptions, addSysctlOptions, readText, settingsOf, udpOptionsOf } from '../../src/cli/options.js'
import type { DaemonOptions, SysctlOptions } from '../../src/cli/options.js'
import { integerOption, parseHostPort, parseListen } from '../../src/cli/parsers.js'
import { run } from '../../src/cli/run.js'
import { IpvsSyncError } from '../../src/errors.js'
import { sysctlDefaults } from '../../src/sysctl/index.js'
import { testIo, type TestIo } from '../fixtures/support/test-io.js'

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string
}

t.test('--version, -V and help, on standard output', async (t) => {
  for (const argv of [['--version'], ['-V'], ['--version', 'sysctl']]) {
    const io = testIo()
    t.equal(await run(argv, io), 0)
    t.equal(io.output().split('\n')[0], version, 'alone on its line, for scripts')
    t.match(io.output(), /^kernels: legacy .* strict/m)
  }
  for (const argv of [['--help'], ['help']]) {
    const io = testIo({ columns: 80 })
    t.equal(await run(argv, io), 0)
    for (const { name } of COMMANDS) t.match(io.output(), new RegExp(`^  ${name} `, 'm'))
    t.equal(io.errors(), '')
  }
})

t.test('every command has its module, and its own help that fits a screen', async (t) => {
  for (const { name, load } of COMMANDS) {
    const { configure, execute } = await load()
    t.strictSame([typeof configure, typeof execute], ['function', 'function'], name)
    for (const columns of [60, 80, 100, 200]) {
      const io = testIo({ columns })
      t.equal(await run([name, '--help'], io), 0)
      t.match(io.output(), new RegExp(`^Usage: ipvs-sync ${name} `))
      t.match(io.output(), /^Examples:\n {2}/m)
      t.notMatch(io.output(), /default: (false|\[\])/, 'what is off or empty by itself is not told as a value')
      const [text = '', examples = ''] = io.output().split('\nExamples:\n')
      // An example stays a line that can be copied, and so does what a line of JSON looks like.
      const wide = text.split('\n').filter((line) => line.length > columns && !/^ +["{]/.test(line))
      t.strictSame(wide, [], `${name} at ${columns} columns`)
      t.ok(Math.max(...examples.split('\n').map((line) => line.length)) <= 100, name)
      if (columns === 100) t.ok(io.output().split('\n').length <= 60, `${name} fits a screen`)
    }
  }
})

t.test('wrong usage exits 2, in one line with a suggestion and no stack', async (t) => {
  const cases: [string[], RegExp][] = [
    [[], /^Usage: ipvs-sync COMMAND/],
    [['sysctll'], /^ipvs-sync: unknown command 'sysctll'\n\(Did you mean sysctl\?\)/],
    [['sysctl', '--formt', 'json'], /unknown option '--formt'\n\(Did you mean --format\?\)/],
    [['sysctl', '--format', 'xml'], /Allowed choices are table, json/],
    [['sysctl', 'more'], /too many arguments/],
    [['sysctl', '--sysctl', 'sync_ports=3'], /^ipvs-sync: sync_ports: expected a power of two ≥ 1 .*, got "3"/],
    [['sysctl', '--sysctl', 'sync_ports'], /^ipvs-sync: --sysctl: expected NAME=VALUE, got "sync_ports"\n$/],
    [['--frobnicate'], /unknown option/],
    [['help', 'decod'], /^ipvs-sync: unknown command 'decod'\n\(Did you mean decode\?\)/],
    [['completion'], /missing required argument 'bash\|zsh\|fish\|man'/]
  ]
  for (const [argv, expected] of cases) {
    const io = testIo()
    t.equal(await run(argv, io), 2, argv.join(' '))
    t.match(io.errors(), expected)
    t.notMatch(io.errors(), /\n\s+at /)
    t.equal(io.output(), '')
  }
})

t.test('only the chosen command is loaded', async (t) => {
  const loaded: string[] = []
  const entry = (name: string, execute: () => Promise<number>): CommandEntry => ({
    name,
    summary: `does ${name}`,
    load: async () => {
      loaded.push(name)
      return { configure: (command) => void command.argument('[file]'), execute }
    }
  })
  const commands = [entry('one', async () => 1), entry('two', async () => Promise.reject(new Error('no')))]
  const start = async (...argv: string[]): Promise<number> => runProgram(argv, testIo(), '0', commands)
  t.equal(await start('--help'), 0)
  t.strictSame(loaded, [])
  t.equal(await start('one', 'x'), 1)
  t.equal(await start('help', 'one'), 0)
  t.equal(await start('one', '--help'), 0)
  t.strictSame(loaded, ['one', 'one', 'one'])
  await t.rejects(start('two'), { message: 'no' })
})

t.test('errors: codes, and one line', async (t) => {
  const system = Object.assign(new Error('open failed'), { syscall: 'open' })
  t.strictSame(
    [
      new IpvsSyncError('ERR_CONFIG', ''),
      new IpvsSyncError('ERR_ENCODE', ''),
      new IpvsSyncError('ERR_IO', ''),
      system,
      1
    ].map(exitCodeOf),
    [2, 2, 3, 3, 3]
  )
  t.equal(explain(new IpvsSyncError('ERR_IO', 'a\n b')), 'a b')
  t.equal(explain(system), 'open failed')
  const fault = (code: string): string => fileFault(Object.assign(new Error(`${code}: no, open 'x'`), { code }))
  t.strictSame(['ENOENT', 'EACCES', 'EISDIR', 'EIO'].map(fault), [
    'no such file',
    'permission denied',
    'is a directory',
    "EIO: no, open 'x'"
  ])
  t.match(explain(new TypeError('x')), /^internal error: x; please report/)
  t.match(explain(null), /^internal error: null/)
})

t.test('a reader that leaves is no error; a full disk is', async (t) => {
  const broken = async (reason: string): Promise<[number, TestIo]> => {
    const io = testIo()
    io.stdout.write = () => {
      io.stdout.emit('error', Object.assign(new Error(`write ${reason}`), { code: reason }))
      return false
    }
    const code = run(['sysctl'], io)
    io.stderr.emit('error', new Error('nobody reads'))
    return [await code, io]
  }
  const [quiet, io] = await broken('EPIPE')
  t.strictSame([quiet, io.errors()], [0, ''])
  const [full, told] = await broken('ENOSPC')
  t.strictSame([full, told.errors()], [3, 'ipvs-sync: standard output: write ENOSPC\n'])
  // A file takes everything at first, and says later that it could not.
  const late = Object.assign(testIo(), {
    stdout: new Writable({
      write(_chunk, _encoding, done) {
        process.nextTick(() => done(Object.assign(new Error('write ENOSPC'), { code: 'ENOSPC' })))
      }
    })
  })
  t.equal(await run(['sysctl'], late), 3)
  t.equal(late.errors(), 'ipvs-sync: standard output: write ENOSPC\n')
})

t.test('signals are taken only when somebody asks; one that comes twice is one, and a later one kills', async (t) => {
  const source = Object.assign(new EventEmitter(), {
    stdin: process.stdin,
    stdout: new PassThrough(),
    stderr: new PassThrough(),
    env: { A: 'b' }
  })
  const due: (() => void)[] = []
  const io = processIo(source as unknown as ProcessLike, (callback) => void due.push(callback))
  t.equal(io.env['A'], 'b')
  t.equal(io.stdin, process.stdin)
  t.equal(source.listenerCount('SIGINT'), 0)
  t.equal(io.signal, io.signal)
  t.strictSame([source.listenerCount('SIGINT'), source.listenerCount('SIGTERM'), io.signal.aborted], [1, 1, false])
  source.emit('SIGTERM')
  source.emit('SIGTERM')
  source.emit('SIGINT')
  t.strictSame([source.listenerCount('SIGINT'), source.listenerCount('SIGTERM'), io.signal.aborted], [1, 1, true])
  t.equal(due.length, 1)
  due[0]!()
  t.strictSame([source.listenerCount('SIGINT'), source.listenerCount('SIGTERM')], [0, 0], 'from here on they kill')
  processIo(source as unknown as ProcessLike).signal.throwIfAborted()
  source.emit('SIGINT')
  let reloads = 0
  const stop = io.onReload(() => reloads++)
  source.emit('SIGHUP')
  stop()
  source.emit('SIGHUP')
  t.equal(reloads, 1)
  t.ok(processIo().stdout === process.stdout)
})

/** Options as the program would parse them. */
async function optionsOf(...argv: string[]): Promise<DaemonOptions & SysctlOptions> {
  let options: unknown
  const entry: CommandEntry = {
    name: 'x',
    summary: 'x',
    load: async () => ({
      configure: (command) => void addSysctlOptions(addDaemonOptions(command)),
      execute: async (command) => {
        options = command.opts()
        return 0
      }
    })
  }
  await runProgram(['x', ...argv], testIo(), '0', [entry])
  return options as DaemonOptions & SysctlOptions
}

t.test("a sync daemon's options are ipvsadm's", async (t) => {
  const plain = await optionsOf('--mcast-interface', 'eth1')
  t.strictSame(plain, { mcastInterface: 'eth1', syncid: 0, mcastPort: 8848, mcastTtl: 1, peer: [], sysctl: [] })
  t.strictSame(udpOptionsOf(plain, sysctlDefaults), {
    mcastInterface: 'eth1',
    mcastPort: 8848,
    mcastTtl: 1,
    peers: [],
    channels: 1,
    bufferBytes: 0
  })
  const peers = await optionsOf(
    '--peer',
    '10.0.0.1',
    '--peer',
    '[fd00::1]:9',
    '--mcast-group',
    'ff02::1',
    '--syncid',
    '255'
  )
  t.strictSame(udpOptionsOf(peers, { ...sysctlDefaults, syncPorts: 128, syncSockSize: -1 }), {
    mcastGroup: 'ff02::1',
    mcastPort: 8848,
    mcastTtl: 1,
    peers: [{ address: '10.0.0.1' }, { address: 'fd00::1', port: 9 }],
    channels: 64,
    bufferBytes: 0
  })
  t.throws(() => udpOptionsOf({ ...plain, mcastInterface: undefined } as never, sysctlDefaults), { code: 'ERR_CONFIG' })
  for (const argv of [
    ['--syncid', '256'],
    ['--syncid', '-1'],
    ['--mcast-group', '10.0.0.1'],
    ['--mcast-ttl', '0'],
    ['--mcast-port', '65536'],
    ['--sync-maxlen', '1e3'],
    ['--peer', 'host'],
    ['--peer', '10.0.0.1:0'],
    ['--peer', '']
  ])
    await t.rejects(optionsOf(...argv), { code: 'ERR_CONFIG', field: /.+/ }, argv.join(' '))
})

t.test('settings: our defaults, then the file or the kernel, then each --sysctl', async (t) => {
  const folder = t.testdir({
    good: 'net.ipv4.vs.sync_ports = 4\nsync_version=0',
    bad: '\nsync_ports = 5',
    live: { sync_ports: '8\n' }
  })
  const settings = async (sysctlFrom: string | undefined, ...sysctl: string[]): Promise<number[]> => {
    const { syncPorts, syncVersion } = await settingsOf(
      { sysctl, ...(sysctlFrom !== undefined && { sysctlFrom }) },
      { folder: `${folder}/live` }
    )
    return [syncPorts, syncVersion]
  }
  t.strictSame(await settings(undefined), [1, 1])
  t.strictSame(await settings(`${folder}/good`, 'sync_ports=2', ' net.ipv4.vs.sync_ports = 16'), [16, 0])
  t.strictSame(await settings('kernel'), [8, 1])
  const facts: string[] = []
  const reading = { folder: `${folder}/live`, onFact: (text: string) => facts.push(text) }
  await settingsOf({ sysctl: [], sysctlFrom: 'kernel' }, reading)
  t.match(facts, [/^read from the kernel: .*sync_ports/, /^not in this kernel, our defaults: .*sync_period|sync_/])
  // Before the next testdir(), which replaces this one.
  await t.rejects(settings(`${folder}/bad`), {
    code: 'ERR_CONFIG',
    field: 'sync_ports',
    message: /bad: line 2: sync_ports/
  })
  const odd = t.testdir({ newer: 'no_such_variable = 1\nsync_ports = 4\n', empty: {}, full: { no_such: '1\n', sync_version: '1\n' } }) // prettier-ignore
  facts.length = 0
  t.equal((await settingsOf({ sysctl: [], sysctlFrom: `${odd}/newer` }, reading)).syncPorts, 4)
  t.match(facts, [/newer: line 1: ignored: .*no_such_variable/])
  facts.length = 0
  await settingsOf({ sysctl: [], sysctlFrom: 'kernel' }, { ...reading, folder: `${odd}/full` })
  t.equal(facts.at(-1), 'in this kernel, not used: no_such')
  await t.rejects(settingsOf({ sysctl: [], sysctlFrom: 'kernel' }, { folder: `${odd}/empty` }), {
    code: 'ERR_NO_IPVS'
  })
  const strange = t.testdir({ none: '= 1' })
  await t.rejects(settings(`${strange}/none`), { code: 'ERR_CONFIG', field: undefined })
  await t.rejects(settings('/no/such'), { code: 'ERR_IO' })
  await t.rejects(readText('--check', '/no/such'), { code: 'ERR_IO', message: /^--check \/no\/such: no such file$/ })
})

t.test('parsers of values', async (t) => {
  t.strictSame(
    ['h', 'h:1', '10.0.0.1:65535', '[::1]', '[::1]:2', '::1', 'fd00::1:2'].map((text) => parseHostPort('--x', text)),
    [
      { host: 'h' },
      { host: 'h', port: 1 },
      { host: '10.0.0.1', port: 65535 },
      { host: '::1' },
      { host: '::1', port: 2 },
      { host: '::1' },
      { host: 'fd00::1:2' }
    ]
  )
  for (const text of ['', ':1', 'h:', 'h:0', 'h:65536', '[::1', '[]:1'])
    t.throws(() => parseHostPort('--x', text), { code: 'ERR_CONFIG' })
  t.strictSame(
    ['9', '0', 'h:0', '[::]:9'].map((text) => parseListen('--http', text)),
    [
      { host: '127.0.0.1', port: 9 },
      { host: '127.0.0.1', port: 0 },
      { host: 'h', port: 0 },
      { host: '::', port: 9 }
    ]
  )
  for (const text of ['h', '65536', 'h:x'])
    t.throws(() => parseListen('--http', text), { code: 'ERR_CONFIG', field: 'http' })
  t.equal(integerOption('--n', 1, Infinity)('7'), 7)
  t.throws(() => integerOption('--n', 1, Infinity)('0'), {
    message: '--n: expected an integer of at least 1, got "0"'
  })
  t.throws(() => integerOption('--n', 1, 2)('x'), { message: /expected an integer 1…2, got "x"$/ })
})

t.test('sysctl: every variable as a table or JSON Lines, and files checked line by line', async (t) => {
  const outputOf = async (...argv: string[]): Promise<[number, string, string]> => {
    const io = testIo()
    const code = await run(['sysctl', ...argv], io)
    return [code, io.output(), io.errors()]
  }
  const [code, table] = await outputOf('--sysctl', 'sync_threshold=0 20')
  t.equal(code, 0)
  t.match(table, 'sync_threshold = 0 20 packets  (changed)\n  default:  3 50\n  accepted: two integers')
  t.match(table, 'sync_version = 1\n  default:  1\n')
  t.match(table, 'sync_ports = 1 port\n')
  t.match(table, 'sync_refresh_period = 0 s\n')
  const [, json] = await outputOf('--format', 'json')
  const lines = json
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  t.equal(lines.length, Object.keys(sysctlDefaults).length)
  t.match(lines[1], { name: 'sync_threshold', value: [3, 50], default: [3, 50], unit: 'packets' })
  const folder = t.testdir({ good: 'sync_ports=2\n', bad: 'sync_ports=2\nnet.ipv4.vs.sync_ports=3\n' })
  t.strictSame(await outputOf('--check', `${folder}/good`), [
    0,
    '',
    `${folder}/good: 1 setting of net.ipv4.vs, all accepted\n`
  ])
  const [found, told, summary] = await outputOf('--check', `${folder}/bad`)
  t.equal(found, 1)
  t.match(told, `${folder}/bad:2: sync_ports: expected a power of two`)
  t.match(summary, '2 settings of net.ipv4.vs, 1 not accepted')
  t.strictSame((await outputOf('--check', '/no/such'))[0], 3)
})
