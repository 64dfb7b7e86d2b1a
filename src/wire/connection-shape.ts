/**
 * Whether a value that came from JSON has the shape of a connection. What the names and numbers in it mean is checked
 * where they become a row.
 *
 * @module
 */
import { IpvsSyncError } from '../errors.js'

type Fields = Readonly<Record<string, unknown>>

/**
 * Refuses a value that has not the shape of a `Connection`.
 *
 * @param value - Anything.
 * @param path - How the caller names it, for the error's `field`.
 * @throws IpvsSyncError `ERR_ENCODE`; `field` names the first thing that is missing or of another type.
 */
export function demandConnectionShape(value: unknown, path: string): void {
  const fields = demandObject(value, path)
  for (const name of ['family', 'protocol', 'forwarding', 'state']) demandText(fields[name], `${path}.${name}`)
  for (const name of ['client', 'virtual', 'destination']) {
    const endpoint = demandObject(fields[name], `${path}.${name}`)
    demandText(endpoint['address'], `${path}.${name}.address`)
  }
  const flags: unknown = fields['flags']
  if (!Array.isArray(flags) || flags.some((flag) => typeof flag !== 'string'))
    throw wrong(`${path}.flags`, 'a list of names', flags)
  for (const name of ['inSequence', 'outSequence'])
    if (fields[name] !== undefined) demandObject(fields[name], `${path}.${name}`)
  if (fields['engine'] === undefined) return
  const engine = demandObject(fields['engine'], `${path}.engine`)
  for (const name of ['name', 'data']) demandText(engine[name], `${path}.engine.${name}`)
}

function demandObject(value: unknown, path: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(path, 'an object', value)
  return value as Fields
}

function demandText(value: unknown, path: string): void {
  if (typeof value !== 'string') throw wrong(path, 'text', value)
}

function wrong(field: string, expected: string, value: unknown): IpvsSyncError {
  const found = value === undefined ? 'nothing' : JSON.stringify(value)
  return new IpvsSyncError('ERR_ENCODE', `${field}: expected ${expected}, got ${found}`, { field })
}
