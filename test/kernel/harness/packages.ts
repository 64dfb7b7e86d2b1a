import { accessSync, constants, existsSync, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'

const PROGRAMS: Readonly<Record<string, string>> = {
  'linux.uml': 'user-mode-linux',
  ipvsadm: 'ipvsadm',
  ip: 'iproute2',
  tc: 'iproute2',
  modprobe: 'kmod',
  sysctl: 'procps'
}
const MODULES = '/usr/lib/uml/modules'
const SYSTEM = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']

/** Where programs are looked for, here and in the guest: ipvsadm and its kind live in sbin, which a login may leave out. */
export const SEARCH_PATH = [...new Set([...(process.env['PATH'] ?? '').split(delimiter), ...SYSTEM])].join(delimiter)

/** The Debian packages that the laboratory lacks on this machine; empty if it can run. */
export function missingPackages(): readonly string[] {
  const missing = [...missingOf(PROGRAMS)]
  if (!existsSync(MODULES) || readdirSync(MODULES).length === 0) missing.push('user-mode-linux')
  return [...new Set(missing)]
}

/**
 * The packages that are missing of some.
 *
 * @param programs - Package by program.
 */
export function missingOf(programs: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(programs)
    .filter(([program]) => !isInPath(program))
    .map(([, name]) => name)
}

function isInPath(program: string): boolean {
  return SEARCH_PATH.split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}
