// Completions as the shells themselves give them, and the manual page. A shell that is not installed is skipped.
import { Command } from 'commander'
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { COMMANDS } from '../../src/cli/program.js'
import { describeProgram } from '../../src/cli/completion/describe.js'
import { manualPage } from '../../src/cli/completion/command.js'
import { addNotes, notesOf } from '../../src/cli/notes.js'
import { run } from '../../src/cli/run.js'
import { testIo } from '../fixtures/support/test-io.js'

const NAMES = COMMANDS.map(({ name }) => name)
const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string
}

async function made(what: string): Promise<string> {
  const io = testIo()
  t.equal(await run(['completion', what], io), 0)
  return io.output()
}

/** Why a shell is not asked here: it, or what it is to offer, is not there. */
function missing(shell: string): string | false {
  if (spawnSync(shell, ['--version']).status !== 0) return `there is no ${shell} on this machine`
  return networkInterfaces()['lo'] === undefined ? 'there is no interface lo' : false
}

/** What stands before the cursor, and all that can follow, in a folder with one file `sync.pcap`. */
const OFFERS: readonly [line: string, offered: readonly string[]][] = [
  ['ipvs-sync dec', ['decode']],
  ['ipvs-sync d', ['decode', 'demo', 'doctor']],
  ['ipvs-sync help wait', ['wait-ready']],
  ['ipvs-sync decode --form', ['--format']],
  ['ipvs-sync decode --format ', ['csv', 'hex', 'html', 'json', 'table', 'tshark']],
  ['ipvs-sync master --source k', ['kernel']],
  ['ipvs-sync completion z', ['zsh']],
  ['ipvs-sync backup --sync-m', ['--sync-maxlen']],
  ['ipvs-sync backup --mcast-interface lo', ['lo']]
]

t.test('bash offers what can follow', { skip: missing('bash') }, async (t) => {
  const script = await made('bash')
  for (const [line, offered] of OFFERS) {
    const words = line.split(' ').map((word) => `'${word}'`)
    const ask = `COMP_WORDS=(${words.join(' ')}) COMP_CWORD=${words.length - 1}; _ipvs_sync; printf '%s\\n' "\${COMPREPLY[@]}"`
    const answer = execFileSync('bash', ['-c', `${script}\n${ask}`], { encoding: 'utf8' })
    t.strictSame(answer.trimEnd().split('\n').sort(), offered, line)
  }
  const rest = `complete -p ipvs-sync; COMP_WORDS=(ipvs-sync decode --ports '') COMP_CWORD=3; _ipvs_sync; echo "\${#COMPREPLY[@]}"`
  t.equal(
    execFileSync('bash', ['-c', `${script}\n${rest}`], { encoding: 'utf8' }),
    'complete -o default -F _ipvs_sync ipvs-sync\n0\n',
    'files where nothing else is known'
  )
})

t.test('fish offers what can follow, and says what it is', { skip: missing('fish') }, async (t) => {
  const folder = t.testdir({ 'ipvs-sync.fish': await made('fish'), 'sync.pcap': '' })
  const ask = (line: string): string[] =>
    execFileSync('fish', ['--no-config', '-c', 'source ipvs-sync.fish; complete -C $argv[1]', line], {
      cwd: folder,
      encoding: 'utf8',
      env: { ...process.env, HOME: folder }
    })
      .trimEnd()
      .split('\n')
  for (const [line, offered] of OFFERS)
    t.strictSame(
      ask(line).map((row) => row.split('\t')[0]),
      offered,
      line
    )
  t.strictSame(ask('ipvs-sync sy'), [
    'sysctl\tprint every variable of net.ipv4.vs with value, default, range and meaning, or check a file'
  ])
  t.strictSame(ask('ipvs-sync decode sync'), ['sync.pcap'])
})

t.test('zsh fills in what can follow, when Tab is pressed', { skip: missing('zsh') }, async (t) => {
  const folder = t.testdir({ 'sync.pcap': '' })
  writeFileSync(join(folder, '_ipvs-sync'), await made('zsh'))
  const only = OFFERS.filter(([, offered]) => offered.length === 1)
  const lines = [...only.map(([line]) => line), 'ipvs-sync decode sync']
  const script = fileURLToPath(new URL('../fixtures/support/complete.zsh', import.meta.url))
  const answer = execFileSync('zsh', ['-f', script, './_ipvs-sync', ...lines], {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, HOME: folder, TERM: 'dumb' },
    timeout: 60_000
  })
  t.strictSame(
    answer
      .trimEnd()
      .split('\n')
      .map((line) => line.trimEnd()),
    [...only.map(([line, [word = '']]) => line.replace(/\S+$/, word)), 'ipvs-sync decode sync.pcap']
  )
})

t.test('every command and option stands in each, and in the manual page, which is up to date', async (t) => {
  const [bash, zsh, fish, man] = await Promise.all(['bash', 'zsh', 'fish', 'man'].map(made))
  for (const name of NAMES) for (const text of [bash, zsh, fish]) t.match(text, name)
  t.match(zsh, /--format\[.*:value:\(table json tshark hex csv html\)/)
  t.match(man, /^\.SS completion \[options\] <bash\|zsh\|fish\|man>$/m)
  t.match(man, `"ipvs-sync ${version}"`)
  t.match(man, /^0 to 255; a backup with 0 accepts every syncid \(default: 0\)$/m)
  t.match(man, /^Examples:\n\.PP\n\.RS 4\n\.nf\nipvs\\-sync backup /m)
  t.equal(
    readFileSync(new URL('../../man/ipvs-sync.1', import.meta.url), 'utf8'),
    man,
    'man/ is up to date: node lib/cli/main.js completion man > man/ipvs-sync.1'
  )
})

t.test('notes: what several callers add stands together; no examples, no heading', async (t) => {
  const bare = new Command('bare')
  t.strictSame(notesOf(bare), { text: [], examples: [] })
  const helpOf = (command: Command): string => {
    let text = ''
    command.configureOutput({ writeOut: (part) => (text += part), getOutHelpWidth: () => 40 }).outputHelp()
    return text
  }
  addNotes(bare, { text: ['one two three four five six seven eight nine ten'] })
  t.match(helpOf(bare), /\n\none two three four five six seven eight\nnine ten\n$/)
  t.notMatch(helpOf(bare), 'Examples')
  t.notMatch(manualPage(describeProgram(new Command().addCommand(bare)), '0'), 'Examples')
  addNotes(bare, { text: ['  kept  as it is'], examples: ['bare --x'] })
  t.match(helpOf(bare), /nine ten\n\n {2}kept {2}as it is\n\nExamples:\n {2}bare --x\n$/)
})
