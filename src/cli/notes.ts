/**
 * Text and examples below the options in a command's help. The manual page shows the same.
 *
 * @module
 */

import type { Command } from 'commander'

/** Text and examples of a command. */
export interface Notes {
  /** Paragraphs. One that begins with a space keeps its line breaks. */
  readonly text?: readonly string[]
  /** Commands, one a line; a line that begins with `#` describes the next one. */
  readonly examples?: readonly string[]
}

const kept = new WeakMap<Command, Required<Notes>[]>()

/** Adds notes to the end of a command's help. Notes of several callers are joined. */
export function addNotes(command: Command, { text = [], examples = [] }: Notes): Command {
  const all = kept.get(command)
  if (all !== undefined) {
    all.push({ text, examples })
    return command
  }
  kept.set(command, [{ text, examples }])
  return command.addHelpText('after', ({ error }) => {
    const output = command.configureOutput()
    const width = error ? output.getErrHelpWidth!() : output.getOutHelpWidth!()
    const { text, examples } = notesOf(command)
    const help = command.createHelp()
    const paragraphs = text.map((paragraph) => (paragraph.startsWith(' ') ? paragraph : help.boxWrap(paragraph, width)))
    const shown = examples.length === 0 ? [] : [['Examples:', ...examples.map((line) => `  ${line}`)].join('\n')]
    return ['', ...paragraphs, ...shown].join('\n\n').slice(1)
  })
}

/** Returns all notes of a command. */
export function notesOf(command: Command): Required<Notes> {
  const all = kept.get(command) ?? []
  return { text: all.flatMap(({ text }) => text), examples: all.flatMap(({ examples }) => examples) }
}
