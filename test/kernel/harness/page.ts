import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** The repository's root, seen from where the laboratory is built to. */
const ROOT = new URL('../../../../', import.meta.url)

/** The absolute path of a file of the repository. */
export function repositoryPath(path: string): string {
  return fileURLToPath(new URL(path, ROOT))
}

/** The text of a file of the repository: what is documented is what is tried. */
export function fileOf(path: string): string {
  return readFileSync(repositoryPath(path), 'utf8')
}

/** The fenced blocks of one language of a page, in order. */
export function blocksOf(page: string, language: string): string[] {
  return [...fileOf(page).matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)]
    .filter(([, found]) => found === language)
    .map(([, , body = '']) => body)
}

/** What a systemd unit starts, in order: a command line each. */
export function commandsOf(unit: string): string[] {
  const text = fileOf(unit).replace(/\\\n\s*/g, '')
  return [...text.matchAll(/^ExecStart=(.*)$/gm)].map(([, command = '']) => command)
}
