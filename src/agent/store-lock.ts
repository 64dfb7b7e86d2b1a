/**
 * A lock that keeps two processes from using one stored table.
 *
 * @module
 */

import { readFileSync, rmSync, writeFileSync } from 'node:fs'

/** A lock, or the id of the running process that holds it. */
export type LockResult = { readonly release: () => void } | { readonly holder: number }

/**
 * Creates `PATH.lock` with the id of this process. The file of a process that has ended is taken over.
 *
 * @throws The system's error if the file cannot be created, as on a read-only file system.
 */
export function lockStore(path: string): LockResult {
  const lock = `${path}.lock`
  const create = (): void => writeFileSync(lock, `${process.pid}\n`, { flag: 'wx', mode: 0o600 })
  try {
    create()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    const holder = Number.parseInt(readFileSync(lock, 'latin1'), 10)
    if (isRunning(holder)) return { holder }
    rmSync(lock)
    create()
  }
  return { release: () => rmSync(lock, { force: true }) }
}

/** Returns whether another process has this id. The own id in a file is that of an earlier process, as in a container. */
function isRunning(pid: number): boolean {
  if (!(pid > 0) || pid === process.pid) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
