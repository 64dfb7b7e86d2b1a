import { spawn } from 'node:child_process'
import { mkdirSync, openSync, closeSync, readFileSync, writeFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { GuestKernel } from './guest-kernel.js'
import type { KernelFacts } from './kernel-facts.js'
import { SEARCH_PATH } from './packages.js'
import type { Outcome } from './scenario.js'

/** Result of one boot. */
export interface Boot {
  readonly name: string
  readonly title: string
  /** `undefined` if the guest hung, died or threw; `failure` says which. */
  readonly outcome?: Outcome
  readonly failure?: string
  /** What the guest found out about its kernel; `undefined` if it did not get that far. */
  readonly facts?: KernelFacts
  readonly seconds: number
  /** Where the guest's output and files are. */
  readonly folder: string
}

const MODULES =
  'ipv6 veth bridge vxlan sctp ip_vs ip_vs_rr ip_vs_lblc ip_vs_lblcr ip_vs_pe_sip sch_ingress sch_netem act_skbedit cls_matchall cls_flower'

/** One scenario to boot. */
export interface Job {
  /** File name of the scenario, without its ending. */
  readonly name: string
  readonly title: string
  /** Folder that this guest alone writes to. */
  readonly folder: string
  /** Seed of whatever the scenario draws by chance. */
  readonly seed: number
  /** Length of the random scenarios, a factor. */
  readonly scale: number
  /** Seconds on a processor that is not emulated. */
  readonly timeLimit: number
  /** For a long scenario: which part of it. */
  readonly only?: string
}

/**
 * Boots a kernel with the host's file system as its root, lets it run one scenario, and reads what it wrote.
 * The guest's exit status does not come back, so the result is a file; no file is a failure.
 */
export async function boot(
  kernel: GuestKernel,
  { name, title, folder, seed, scale, only, timeLimit }: Job
): Promise<Boot> {
  const began = performance.now()
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'init'), initScript(kernel, name, folder, seed, scale, only), { mode: 0o755 })
  const limit = timeLimit * kernel.slowness
  const timedOut = await runGuest(kernel, folder, limit)
  const seconds = (performance.now() - began) / 1000
  const base = { name, title, seconds, folder }
  const result = join(folder, 'result.json')
  if (existsSync(result)) return { ...base, ...(JSON.parse(readFileSync(result, 'utf8')) as Pick<Boot, 'outcome'>) }
  const why = timedOut ? `no result after ${limit} s` : 'the guest ended without a result'
  const [output, console] = ['output', 'console'].map((file) => lastLines(join(folder, file)))
  return { ...base, failure: `${why}\n${output === '' ? console : output}` }
}

function lastLines(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n').slice(-5).join('\n') : ''
}

/** Process 1 of the guest. POSIX sh; everything it starts finds its own files on the host's file system. */
function initScript(
  { modules, slowness }: GuestKernel,
  name: string,
  folder: string,
  seed: number,
  scale: number,
  only: string | undefined
): string {
  const guest = fileURLToPath(new URL('guest.js', import.meta.url))
  const standard = 'ln -s /proc/self/fd /dev/fd; ln -s fd/0 /dev/stdin; ln -s fd/1 /dev/stdout; ln -s fd/2 /dev/stderr'
  return `#!/bin/sh
exec >'${folder}/output' 2>&1
export PATH='${SEARCH_PATH}' HOME=/root TMPDIR=/run
export LAB_FOLDER='${folder}' LAB_SEED=${seed} LAB_SCALE=${scale} LAB_EMULATED=${slowness > 1 ? 1 : 0}${only === undefined ? '' : ` LAB_ONLY='${only}'`}
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs tmp /run
mkdir -p /run/netns /run/host/lib/modules
[ -e /dev/fd ] || { ${standard}; }
ln -s "${modules}/$(uname -r)" "/run/host/lib/modules/$(uname -r)"
for module in ${MODULES}; do modprobe -d /run/host "$module"; done
ip link set lo up
'${process.execPath}' '${guest}' '${name}'
sync
poweroff -f
`
}

/** The console is read only where a guest dies early. Returns whether the time limit ended it. */
async function runGuest(kernel: GuestKernel, folder: string, timeLimit: number): Promise<boolean> {
  const console = openSync(join(folder, 'console'), 'w')
  const [program, ...words] = kernel.command(folder)
  // A separate process group: the guest can be several processes, and the time limit must end all of them.
  const guest = spawn(program, words, {
    stdio: ['ignore', console, console],
    detached: true,
    env: { ...process.env, PATH: SEARCH_PATH, TMPDIR: folder }
  })
  closeSync(console)
  return new Promise((resolve) => {
    let timedOut = false
    const stop = (): void => {
      timedOut = true
      if (guest.pid !== undefined) process.kill(-guest.pid, 'SIGKILL')
    }
    const timer = setTimeout(stop, timeLimit * 1000)
    process.once('exit', stop)
    guest.once('close', () => {
      clearTimeout(timer)
      process.removeListener('exit', stop)
      resolve(timedOut)
    })
  })
}
