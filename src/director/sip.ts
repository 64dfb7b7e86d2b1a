/**
 * The `sip` persistence engine: the Call-ID of a message (`ip_vs_pe_sip`).
 *
 * @module
 */

/** Longest Call-ID that the engine takes, in bytes. */
const MAX_CALL_ID = 255
const [LF, CR, SPACE, TAB, COLON] = [10, 13, 32, 9, 58]
/** The header's two names, in lower case. */
const NAMES = ['call-id', 'i'].map((name) => Array.from(name, (letter) => letter.charCodeAt(0)))

/** The Call-ID of a SIP message, or undefined where it has none that the engine takes. */
export function callIdOf(payload: Uint8Array | undefined): Uint8Array | undefined {
  if (payload === undefined) return undefined
  for (let line = nextLine(payload, 0); line < payload.length; line = nextLine(payload, line)) {
    const name = NAMES.find((letters) =>
      letters.every((letter, at) => (payload[line + at]! | 0x20) === (letter | 0x20))
    )
    if (name === undefined) continue
    let at = skipBlanks(payload, line + name.length)
    if (payload[at] !== COLON) continue
    at = skipBlanks(payload, at + 1)
    let end = at
    while (end < payload.length && payload[end] !== CR && payload[end] !== LF) end++
    const length = end - at
    // A value that the packet cuts off may be longer: it is not taken.
    return end < payload.length && length > 0 && length <= MAX_CALL_ID ? payload.slice(at, end) : undefined
  }
  return undefined
}

function nextLine(payload: Uint8Array, from: number): number {
  const end = payload.indexOf(LF, from)
  return end < 0 ? payload.length : end + 1
}

function skipBlanks(payload: Uint8Array, from: number): number {
  let at = from
  while (payload[at] === SPACE || payload[at] === TAB) at++
  return at
}
