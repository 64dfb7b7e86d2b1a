/**
 * The manual page, in roff.
 *
 * @module
 */

import type { CommandDescription } from './describe.js'

/** Returns the section 1 manual page of the command. */
export function manualPage(commands: readonly CommandDescription[], version: string): string {
  return [
    `.TH IPVS-SYNC 1 "" "ipvs-sync ${version}" "User Commands"`,
    '.SH NAME',
    "ipvs\\-sync \\- speaks Linux IPVS's connection\\-synchronisation protocol",
    '.SH SYNOPSIS',
    '.B ipvs\\-sync',
    '.I COMMAND',
    '[options]',
    '.SH COMMANDS',
    ...commands.flatMap(({ name, usage, text, options, notes }: CommandDescription): string[] => [
      `.SS ${roff(`${name} ${usage}`)}`,
      roff(`${text}.`),
      ...options.flatMap(({ flags, fullText }) => ['.TP', `.B ${roff(flags)}`, roff(fullText)]),
      ...notes.text.flatMap((paragraph) => (paragraph.startsWith(' ') ? asTyped(paragraph) : ['.PP', roff(paragraph)])),
      ...(notes.examples.length > 0 ? ['.PP', 'Examples:', ...asTyped(notes.examples.join('\n'))] : [])
    ]),
    '.SH EXIT STATUS',
    '0 ok; 1 findings; 2 usage; 3 input or output.',
    '.SH SEE ALSO',
    '.BR ipvsadm (8),',
    '.BR keepalived (8)',
    ''
  ].join('\n')
}

/** Returns text as roff without line filling. */
function asTyped(text: string): string[] {
  return ['.PP', '.RS 4', '.nf', ...text.split('\n').map(roff), '.fi', '.RE']
}

/** Escapes text for roff. A leading dot or apostrophe would be a request. */
function roff(text: string): string {
  return text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replace(/^[.']/, '\\&$&')
}
