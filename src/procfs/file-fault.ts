/**
 * What the system reports of a file, for a person.
 *
 * @module
 */

/** Returns the reason without the system's error code and call: `no such file`. */
export function fileFault(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'ENOENT') return 'no such file'
  if (code === 'EACCES') return 'permission denied'
  if (code === 'EISDIR') return 'is a directory'
  return message
}
