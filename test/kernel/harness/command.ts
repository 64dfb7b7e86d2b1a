import { fileURLToPath } from 'node:url'

/** The package's command, as it ships. */
export const COMMAND = fileURLToPath(new URL('cli/main.js', import.meta.resolve('ipvs-sync')))

/** A shell line that runs the command. */
export function commandLine(words: string): string {
  return `'${process.execPath}' '${COMMAND}' ${words}`
}
