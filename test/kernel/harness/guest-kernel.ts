import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { missingOf, SEARCH_PATH } from './packages.js'
import { repositoryPath } from './page.js'

/** A kernel that the laboratory can boot, with the host's files as its root. */
export interface GuestKernel {
  /** How it is started and where it comes from, for people. */
  readonly title: string
  /** Folder of `RELEASE/`, the modules. */
  readonly modules: string
  /** Factor of every time limit: an emulated processor is slower. */
  readonly slowness: number
  /**
   * Returns the program and its arguments that boot it.
   *
   * @param folder - The scenario's folder, which the guest may write to; its file `init` is process 1.
   */
  readonly command: (folder: string) => readonly [program: string, ...words: readonly string[]]
}

/** A kernel, or why there is none. */
export type FoundKernel = { readonly kernel: GuestKernel } | { readonly skipped: string }

const UML_MODULES = '/usr/lib/uml/modules'

/** Programs that every scenario needs, and the Debian packages that have them. */
const PROGRAMS = { ipvsadm: 'ipvsadm', ip: 'iproute2', tc: 'iproute2', modprobe: 'kmod', sysctl: 'procps' }
const QEMU_PROGRAMS = { 'qemu-system-x86_64': 'qemu-system-x86', cpio: 'cpio', xz: 'xz-utils', 'apt-get': 'apt' }

/**
 * Finds the kernel of a Debian package: `user-mode-linux` where it is installed, any other by download.
 *
 * @param name - Package or metapackage.
 */
export function findKernel(name: string): FoundKernel {
  const isUml = name === 'user-mode-linux'
  const missing = missingOf({ ...PROGRAMS, ...(isUml ? { 'linux.uml': name } : QEMU_PROGRAMS) })
  const packages = [...new Set(missing)]
  if (isUml && packages.length === 0 && (!existsSync(UML_MODULES) || readdirSync(UML_MODULES).length === 0))
    packages.push(name)
  if (packages.length > 0) return { skipped: `apt-get install ${packages.join(' ')}` }
  return isUml ? { kernel: USER_MODE_LINUX } : fetchKernel(name)
}

/** Linux as a process: no emulation, the host's files by hostfs. */
const USER_MODE_LINUX: GuestKernel = {
  title: 'user-mode-linux',
  modules: UML_MODULES,
  slowness: 1,
  command: (folder) => [
    'linux.uml',
    ...['mem=1G', 'quiet', 'log_buf_len=32M', 'rootfstype=hostfs', 'rw', `init=${folder}/init`],
    ...['con=null', 'con0=fd:0,fd:1']
  ]
}

/** Downloads and unpacks a kernel, unless that was done before; installs nothing. */
function fetchKernel(name: string): FoundKernel {
  const store = repositoryPath('node_modules/.cache/ipvs-sync-kernels')
  mkdirSync(store, { recursive: true })
  try {
    const output = execFileSync(repositoryPath('test/kernel/fetch-kernel.sh'), [name, store], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, PATH: SEARCH_PATH }
    })
    return { kernel: qemu(output.trim().split('\n').at(-1)!) }
  } catch (error) {
    const { stderr = '' } = error as { readonly stderr?: string }
    return { skipped: `the kernel of ${name} cannot be fetched: ${stderr.trim().split('\n').at(-1) ?? ''}` }
  }
}

/**
 * A Debian kernel under QEMU without KVM. `cx16=off`: the emulated cmpxchg16b of QEMU 7.2 corrupts 6.12. The root is read-only and cached,
 * so nothing may change on the host while a guest runs.
 */
function qemu(folder: string): GuestKernel {
  const share = (id: string, path: string, more = ''): readonly string[] => [
    '-fsdev',
    `local,id=${id},path=${path},security_model=none,multidevs=remap${more}`,
    '-device',
    `virtio-9p-pci,fsdev=${id},mount_tag=${id}`
  ]
  return {
    title: `${basename(folder).replace('_', ' ')} under QEMU without KVM`,
    modules: join(folder, 'lib/modules'),
    slowness: 4,
    command: (lab) => [
      'qemu-system-x86_64',
      ...'-machine pc -accel tcg,thread=multi -cpu max,cx16=off,la57=off -smp 1 -m 1536'.split(' '),
      ...'-nodefaults -no-user-config -display none -no-reboot -monitor none -nic none -serial stdio'.split(' '),
      ...share('host', '/', ',readonly=on'),
      ...share('lab', lab),
      ...['-kernel', join(folder, 'vmlinuz'), '-initrd', join(folder, 'initrd')],
      '-append',
      `console=ttyS0 quiet loglevel=5 panic=-1 mitigations=off nokaslr random.trust_cpu=on tsc=reliable rcupdate.rcu_expedited=1 log_buf_len=32M lab=${lab}`
    ]
  }
}
