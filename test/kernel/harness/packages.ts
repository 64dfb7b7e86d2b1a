import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

const SYSTEM = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']

/** Search path of programs, here and in the guest: ipvsadm and its kind are in sbin, which a login may leave out. */
export const SEARCH_PATH = [...new Set([...(process.env['PATH'] ?? '').split(delimiter), ...SYSTEM])].join(delimiter)

/**
 * Returns the Debian packages of the programs that this machine lacks.
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
