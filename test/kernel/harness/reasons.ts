import type { FlagChecks } from 'ipvs-sync'

const TEMPLATE_STATE = /BACKUP(?: v0)?, Invalid tpl state/

// What a kernel's backup logs at debug level 7, as the codes of our problems. `undefined`: an echo of the line before it.
const REASONS: readonly (readonly [RegExp, string | undefined])[] = [
  [/BACKUP, message header too short/, 'SHORT_MESSAGE'],
  // What an empty datagram is to it.
  [/receiving message error/, 'SHORT_MESSAGE'],
  [/BACKUP, bogus message size/, 'SIZE_MISMATCH'],
  [/BACKUP, Ignoring syncid/, undefined],
  [
    /BACKUP, Dropping buffer, too small|BACKUP v0, bogus conn|BACKUP v0, Dropping buffer bogus conn options/,
    'RECORD_TRUNCATED'
  ],
  [/BACKUP, Dropping buffer, msg > buffer/, 'RECORD_LENGTH'],
  [/BACKUP, Dropping buffer, Unknown version/, 'RECORD_VERSION'],
  [/Err: -10 in decoding/, 'RECORD_TYPE'],
  [/Err: -20 in decoding/, 'RECORD_TOO_SHORT'],
  [/Err: -30 in decoding/, 'PARAMETER_TRUNCATED'],
  [/Err: -40 in decoding/, 'PARAMETER_LENGTH'],
  [/BACKUP, bogus conn options length/, 'SEQUENCE_LENGTH'],
  [/BACKUP, conn options found twice/, 'SEQUENCE_REPEATED'],
  [/BACKUP, Par\.data found twice 0x2/, 'ENGINE_DATA_REPEATED'],
  [/BACKUP, bogus par\.data len > 16/, 'ENGINE_NAME_LENGTH'],
  [/BACKUP, Par\.data found twice 0x4/, 'ENGINE_NAME_REPEATED'],
  [/Err: -(50|60|70) in decoding/, undefined],
  [/BACKUP, Unknown mandatory param/, 'PARAMETER_UNKNOWN'],
  [/BACKUP(?: v0)?, Unsupported protocol/, 'PROTOCOL_UNKNOWN'],
  [/BACKUP(?:\[ v\d\]| v0)?, Invalid flags/, 'FLAGS_REFUSED'],
  [TEMPLATE_STATE, 'TEMPLATE_STATE'],
  [/BACKUP(?: v0)?, Invalid \w+ state/, 'STATE_RANGE'],
  [/BACKUP, Invalid PE parameters/, 'ENGINE_NAME_MISSING'],
  [/BACKUP, no .* engine found/s, 'ENGINE_UNKNOWN'],
  [/BACKUP, Single msg dropped err/, undefined]
]

/** The code that a line of the kernel's log stands for; the line itself if it is unknown. */
export function reasonOf(line: string, generation: FlagChecks): string | undefined {
  // This generation logs such a state and applies the record.
  if (generation === 'legacy' && TEMPLATE_STATE.test(line)) return undefined
  const known = REASONS.find(([pattern]) => pattern.test(line))
  return known === undefined ? line : known[1]
}

/** Cuts a log into one list of lines for each datagram that the backup took from its socket. */
export function splitByDatagram(lines: readonly string[]): string[][] {
  const datagrams: string[][] = []
  for (const line of lines) {
    if (line.includes('Enter: ip_vs_receive')) datagrams.push([])
    else if (/BACKUP|receiving message error/.test(line)) datagrams.at(-1)?.push(line)
  }
  return datagrams
}

/** The row of docs/protocol.md section 4 that a line of the log, or a code, belongs to. */
export const ROWS: readonly (readonly [string, readonly string[]])[] = [
  ['36 bytes are left', ['RECORD_TRUNCATED']],
  ['record length fits what is left', ['RECORD_LENGTH']],
  ['record version is 0', ['RECORD_VERSION']],
  ['type is IPv6, or 0', ['RECORD_TYPE']],
  ['fixed part fits the record', ['RECORD_TOO_SHORT']],
  ['parameter has 2 bytes, length ≥ 1, fits', ['PARAMETER_TRUNCATED', 'PARAMETER_LENGTH']],
  ['sequence data is 24 long, not repeated', ['SEQUENCE_LENGTH', 'SEQUENCE_REPEATED']],
  ['engine data and name fit, not repeated', ['ENGINE_DATA_REPEATED', 'ENGINE_NAME_LENGTH', 'ENGINE_NAME_REPEATED']],
  ['unknown parameter has bit 0x40', ['PARAMETER_UNKNOWN']],
  ['flags are not refused (strict alone)', ['FLAGS_REFUSED']],
  ['protocol is known, state in range', ['PROTOCOL_UNKNOWN', 'STATE_RANGE']],
  ['template: state < 2 (strict alone)', ['TEMPLATE_STATE']],
  ['engine data has a known engine name', ['ENGINE_NAME_MISSING', 'ENGINE_UNKNOWN']]
]
