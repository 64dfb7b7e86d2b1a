/**
 * Text for a person: counts, and text that is safe on a terminal.
 *
 * @module
 */

/**
 * Returns a number with its noun: `1 message`, `2 messages`.
 *
 * @param number - Zero or more.
 * @param noun - In the singular; an "s" makes it the plural.
 */
export function counted(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}

/**
 * Escapes the control characters that `JSON.stringify` leaves (DEL and C1) as `\\u009b`, and the two line separators of
 * Unicode. The result is the same JSON, and cannot move a terminal's cursor.
 */
export function escapeControls(json: string): string {
  return json.replace(/[\u007f-\u009f\u2028\u2029]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}

/** Replaces control characters, C1 and direction marks too, so that a line of a log stays a line and moves no cursor. */
export function stripControls(text: string): string {
  // eslint-disable-next-line no-control-regex -- these are the characters that are replaced
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}
