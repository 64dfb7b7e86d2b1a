import { spawn } from 'node:child_process'
import { mkdirSync, openSync, closeSync, readFileSync, writeFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SEARCH_PATH } from './packages.js'
import type { Outcome } from './scenario.js'

/** What a boot left behind. */
export interface Boot {
  readonly name: string
  readonly title: string
  /** `undefined` if the guest hung, died or threw; `failure` says which. */
  readonly outcome?: Outcome
  readonly failure?: string
  /** `uname -r` of the guest. */
  readonly kernel?: string
  readonly seconds: number
  /** Where the guest's output and files are. */
  readonly folder: string
}

const MODULES =
  'ipv6 veth bridge vxlan sctp ip_vs ip_vs_rr ip_vs_lblc ip_vs_lblcr ip_vs_pe_sip sch_ingress act_skbedit cls_matchall cls_flower'

/**
 * Boots user-mode-linux with the host's file system as its root, lets it run one scenario, and reads what it wrote.
 * The guest's exit status does not come back, so the result is a file; no file is a failure.
 *
 * @param name - File name of the scenario, without its ending.
 * @param folder - A folder of its own, which the guest writes to.
 * @param seed - Seed of whatever the scenario draws by chance.
 * @param timeLimit - Seconds.
 */
export async function boot(
  name: string,
  title: string,
  folder: string,
  seed: number,
  timeLimit: number
): Promise<Boot> {
  const began = performance.now()
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'init'), initScript(name, folder, seed), { mode: 0o755 })
  const timedOut = await runGuest(folder, timeLimit)
  const seconds = (performance.now() - began) / 1000
  const base = { name, title, seconds, folder }
  const result = readResult(folder)
  if (result !== undefined) return { ...base, ...result }
  const output = readFileSync(join(folder, 'output'), 'utf8').trim().split('\n').slice(-5).join('\n')
  return {
    ...base,
    failure: `${timedOut ? `no result after ${timeLimit} s` : 'the guest ended without a result'}\n${output}`
  }
}

function readResult(folder: string): Pick<Boot, 'outcome' | 'failure' | 'kernel'> | undefined {
  const path = join(folder, 'result.json')
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Pick<Boot, 'outcome'>) : undefined
}

/** Process 1 of the guest. POSIX sh; everything it starts finds its own files on the host's file system. */
function initScript(name: string, folder: string, seed: number): string {
  const guest = fileURLToPath(new URL('guest.js', import.meta.url))
  return `#!/bin/sh
exec >'${folder}/output' 2>&1
export PATH='${SEARCH_PATH}' HOME=/root LAB_FOLDER='${folder}' LAB_SEED=${seed}
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs tmp /run
mkdir -p /run/netns /run/host/lib/modules
ln -s "/usr/lib/uml/modules/$(uname -r)" "/run/host/lib/modules/$(uname -r)"
for module in ${MODULES}; do modprobe -d /run/host "$module"; done
ip link set lo up
'${process.execPath}' '${guest}' '${name}'
poweroff -f
`
}

/** The console is of no use to us, but a guest that dies early says why there. */
async function runGuest(folder: string, timeLimit: number): Promise<boolean> {
  const console = openSync(join(folder, 'console'), 'w')
  const options = ['mem=1G', 'quiet', 'log_buf_len=32M', 'rootfstype=hostfs', 'rw', `init=${folder}/init`]
  // A group of its own: the guest is several processes, and all of them must go when time is up.
  const guest = spawn('linux.uml', [...options, 'con=null', 'con0=fd:0,fd:1'], {
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
