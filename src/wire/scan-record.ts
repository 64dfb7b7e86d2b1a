/**
 * What the scans of both versions share: runs of records, and the checks that skip one connection for its numbers.
 *
 * @module
 */
import { CHECK, FLAG } from './constants.js'
import { flagNames } from './flags.js'
import { protocolName, stateCount } from './protocols.js'
import type { Run, ScanState } from './scan-state.js'

/** Adds a record to the run before it where it is of the same kind and follows at once. */
export function addRun(runs: Run[], kind: Run['kind'], from: number, to: number, parametersEnd: number): void {
  const last = runs.at(-1)
  if (last?.kind === kind && last.to === from && kind !== 'parameters') last.to = to
  else runs.push({ kind, from, to, parametersEnd })
}

/** The numbers of a record that a receiver judges. */
export interface Judged {
  readonly flags: number
  readonly protocol: number
  readonly state: number
  /** Byte offset of the record. */
  readonly at: number
  /** The connection's number. */
  readonly index: number
}

/**
 * Reports why a receiver skips the connection, if it does: flags first, then protocol and state.
 *
 * @returns Whether it does.
 */
export function refuse({ checks, findings }: ScanState, { flags, protocol, state, at, index }: Judged): boolean {
  const isTemplate = (flags & FLAG.TEMPLATE) !== 0
  if (checks & CHECK.FLAGS && (flags & FLAG.ONE_PACKET || (isTemplate && flags & FLAG.NO_CPORT))) {
    const names = flagNames(flags & (FLAG.ONE_PACKET | FLAG.TEMPLATE | FLAG.NO_CPORT)).join(' with ')
    return !findings.add('FLAGS_REFUSED', at, `receivers refuse ${names}`, index)
  }
  if (isTemplate) {
    if ((checks & CHECK.TEMPLATE_STATE) === 0 || state <= 1) return false
    return !findings.add('TEMPLATE_STATE', at, `a template's state is 0 or 1, not ${state}`, index)
  }
  const states = stateCount(protocol)
  if (states === 0) return !findings.add('PROTOCOL_UNKNOWN', at, `receivers do not know protocol ${protocol}`, index)
  if (state < states) return false
  const name = protocolName(protocol)
  return !findings.add('STATE_RANGE', at, `${name} has states 0 to ${states - 1}, not ${state}`, index)
}
