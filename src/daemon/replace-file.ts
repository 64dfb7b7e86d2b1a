/**
 * Files that are replaced as a whole: a reader sees the old content or the new one, also after a crash or a loss of power.
 *
 * The temporary file has a random name and is created with `O_EXCL` and `O_NOFOLLOW`, so that neither a link nor a file of
 * another user is ever written.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import {
  closeSync,
  constants,
  fchmodSync,
  fsyncSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync
} from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Milliseconds, TimestampMs } from '../units.js'

const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
/** Permissions of a new file. */
const PRIVATE = 0o600
const WRITABLE_BY_OTHERS = 0o002
/** A clock that was set back by less explains a file of the future. */
const CLOCK_TOLERANCE: Milliseconds = 20_000

/**
 * Replaces a file. Other work runs between the blocks.
 *
 * @param path - Keeps its permissions where it exists; a new file has 0600.
 * @param blocks - Content; taken one by one.
 * @throws The system's error, and the old file stays.
 */
export async function replaceFile(path: string, blocks: Iterable<Uint8Array>): Promise<void> {
  const temporary = temporaryName(path)
  try {
    const file = await open(temporary, CREATE, PRIVATE)
    try {
      await file.chmod(modeOf(path, PRIVATE))
      for (const block of blocks) await file.writeFile(block)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
    const folder = await open(dirname(path))
    await folder.sync().finally(() => folder.close())
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined)
    throw nameFile(error, temporary, path)
  }
}

/**
 * Replaces a small file, and blocks until it is done.
 *
 * @param path - Keeps its permissions where it exists.
 * @param mode - Permissions of a new file.
 * @throws The system's error, and the old file stays.
 */
export function replaceFileSync(path: string, text: string, mode = PRIVATE): void {
  const temporary = temporaryName(path)
  try {
    withFile(openSync(temporary, CREATE, PRIVATE), (file) => {
      fchmodSync(file, modeOf(path, mode))
      writeFileSync(file, text)
      fsyncSync(file)
    })
    renameSync(temporary, path)
    withFile(openSync(dirname(path), 'r'), fsyncSync)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw nameFile(error, temporary, path)
  }
}

/**
 * Returns why the content of a file is not to be trusted; undefined if it is, or if there is no file to read.
 *
 * Trusted owners are root, the user of this process, and the owner of the folder, who can replace the file anyway.
 *
 * @param wallClock - Milliseconds since 1970; without it the file's date is not checked.
 */
export function distrustOf(path: string, wallClock: TimestampMs = Infinity): string | undefined {
  let file
  try {
    file = statSync(path)
  } catch {
    // Absent, or out of reach: reading it reports why.
    return undefined
  }
  const owners = [0, process.getuid?.(), statSync(dirname(path)).uid]
  if (!owners.includes(file.uid)) return `${path}: expected a file of this user or of root, got one of user ${file.uid}`
  if ((file.mode & WRITABLE_BY_OTHERS) !== 0) return `${path}: expected a file that others cannot write; run chmod o-w`
  if (file.mtimeMs - wallClock > CLOCK_TOLERANCE) return `${path} is dated ahead of time`
  return undefined
}

function temporaryName(path: string): string {
  return `${path}.${randomBytes(8).toString('hex')}`
}

/** Puts the file's name in place of the random one: equal errors have equal messages, and are reported once. */
function nameFile(error: unknown, temporary: string, path: string): Error {
  const fault = error as Error
  fault.message = fault.message.replaceAll(temporary, path)
  return fault
}

function modeOf(path: string, otherwise: number): number {
  const file = statSync(path, { throwIfNoEntry: false })
  return file?.isFile() === true ? file.mode & 0o777 & ~WRITABLE_BY_OTHERS : otherwise
}

function withFile(file: number, action: (file: number) => void): void {
  try {
    action(file)
  } finally {
    closeSync(file)
  }
}
