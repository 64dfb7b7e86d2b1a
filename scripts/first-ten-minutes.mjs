/* global setTimeout -- Node has it */
// What a stranger types in the first ten minutes and what comes back, run in a fresh directory from the packed file
// (after npm run build; needs multicast on lo):
//   node scripts/first-ten-minutes.mjs            writes docs/first-ten-minutes.md
//   node scripts/first-ten-minutes.mjs --check    compares it with what comes now, but for what no two machines share
// A command that prints nothing, or ends otherwise than it should, ends this with an error.
import { spawn, execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

// Log lines carry no time stamps under a journal: the page must be the same at every run.
process.env.JOURNAL_STREAM = '0:0'
const root = fileURLToPath(new URL('..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'ipvs-sync-first-'))
const PATH = `${join(folder, 'node_modules', '.bin')}:${process.env.PATH}`
const page = join(root, 'docs/first-ten-minutes.md')
/** What npm says about itself and the settings of the machine at hand. */
const NPM_OWN = /^(npm (warn|notice).*|)\n/gm
/** What differs from run to run, and what stands for it where two pages are compared. */
const VARYING = [
  [/^added \d+ packages.*$/m, 'added packages'],
  [/^.*default receive buffer.*\n/m, ''],
  [/(SYNC +)\d+$/m, '$1(seconds)'],
  [/ipvs-sync-[\d.]+\.tgz/g, 'ipvs-sync.tgz'],
  [/(--version\n)[\d.]+/, '$1(version)']
]
const out = []
const running = []

try {
  const [{ filename }] = JSON.parse(
    execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore']
    })
  )
  say('# The first ten minutes\n')
  say(
    'Made by `scripts/first-ten-minutes.mjs` in an empty directory, from the file that `npm pack` makes: every command and its real output, but for what npm says about itself. CI makes it again and compares all that no machine or moment changes.\n'
  )
  section('Install')
  shell('npm init -y | sed -n 1p', NPM_OWN)
  shell(`npm install --no-audit --no-fund ./${filename}`, NPM_OWN)
  shell('ipvs-sync --version')
  section('Look at a capture of a kernel')
  say('The capture is one of the fixtures in the repository.\n')
  execFileSync('cp', [join(root, 'test/fixtures/captures/tcp4-nat/sync.pcap'), join(folder, 'sync.pcap')])
  shell('ipvs-sync decode --format table sync.pcap')
  shell("ipvs-sync decode --format json sync.pcap | head -c 300; echo '…'")
  section('Run a backup, and a master for it')
  const backup = background('ipvs-sync backup --mcast-interface lo --syncid 5 --http 19848')
  await until(async () => (await fetch('http://127.0.0.1:19848/healthz')).ok)
  writeFileSync(join(folder, 'events.jsonl'), `${JSON.stringify(connection())}\n`)
  shell('cat events.jsonl')
  shell('ipvs-sync master --mcast-interface lo --syncid 5 < events.jsonl')
  await until(async () => (await text('/connections')).includes('198.51.100.7'))
  section('See what the backup has')
  shell('curl -s localhost:19848/connections?format=proc')
  shell("curl -s localhost:19848/metrics | grep -E '^ipvs_sync_(messages_received|connections_applied|table)'")
  backup.process.kill('SIGTERM')
  const code = await backup.ended
  if (code !== 0) throw new Error(`the backup ended with ${code}: ${backup.output()}`)
  say('What the backup said meanwhile, until SIGTERM ended it:\n')
  block(`$ ${backup.command}\n${backup.output()}`)
  section('Use it from a program')
  writeFileSync(
    join(folder, 'look.mjs'),
    `import { createReadStream } from 'node:fs'
import { formatMessage, decodeMessage, readCapture } from 'ipvs-sync'

for await (const item of readCapture(createReadStream('sync.pcap')))
  if (item.kind === 'datagram') console.log(formatMessage(decodeMessage(item.payload)).split('\\n')[0])
`
  )
  shell('cat look.mjs')
  shell('node look.mjs')
  finish(`${out.join('\n').trimEnd()}\n`)
} finally {
  for (const child of running) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
}

function finish(made) {
  if (process.argv[2] !== '--check') return writeFileSync(page, made)
  const [before, now] = [readFileSync(page, 'utf8'), made].map((text) =>
    VARYING.reduce((rest, [pattern, instead]) => rest.replace(pattern, instead), text)
  )
  if (before === now) return console.log('docs/first-ten-minutes.md is what happens')
  writeFileSync(join(folder, 'before'), before)
  writeFileSync(join(folder, 'now'), now)
  const { stdout } = spawnSync('diff', ['-u', 'before', 'now'], { cwd: folder, encoding: 'utf8' })
  console.error(`docs/first-ten-minutes.md is not what happens now; make it anew\n${stdout}`)
  process.exitCode = 1
}

function connection() {
  return {
    family: 'ipv4',
    protocol: 'TCP',
    client: { address: '198.51.100.7', port: 40000 },
    virtual: { address: '192.0.2.1', port: 80 },
    destination: { address: '10.0.0.11', port: 80 },
    forwarding: 'MASQ',
    flags: [],
    state: 'ESTABLISHED',
    fwmark: 0,
    timeout: 900,
    packets: 3
  }
}

function say(line) {
  out.push(line)
}

function section(title) {
  out.push(`## ${title}\n`)
}

function block(body) {
  out.push(`\`\`\`text\n${clean(body).trimEnd()}\n\`\`\`\n`)
}

/** No paths of the machine that made it. */
function clean(body) {
  return body.replaceAll(folder, '.').replaceAll(root, './')
}

function shell(command, without = /$^/) {
  const result = execFileSync('bash', ['-o', 'pipefail', '-c', `{ ${command}\n} 2>&1`], {
    cwd: folder,
    env: { ...process.env, PATH },
    encoding: 'utf8'
  })
  const shown = result.replace(without, '')
  if (shown.trim() === '') throw new Error(`${command}: it printed nothing`)
  block(`$ ${command}\n${shown}`)
}

function background(command) {
  const [name, ...args] = command.split(' ')
  const child = spawn(name, args, { cwd: folder, env: { ...process.env, PATH } })
  running.push(child)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  const ended = new Promise((resolve) => child.on('close', resolve))
  return { command, process: child, ended, output: () => output }
}

async function text(path) {
  return (await fetch(`http://127.0.0.1:19848${path}`)).text()
}

async function until(holds) {
  for (let tries = 0; tries < 200; tries++) {
    if (await holds().catch(() => false)) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error('what was waited for did not come')
}
