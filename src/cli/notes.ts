/**
 * What a command's help says behind its options: text that is filled to the terminal's width, and examples. The manual
 * page shows the same.
 *
 * @module
 */

import type { Command } from 'commander'

/** Text and examples. */
export interface Notes {
  /** Paragraphs. One that begins with a blank keeps its lines. */
  readonly text?: readonly string[]
  /** Commands, a line each; those that begin with `#` say what the next one is for. */
  readonly examples?: readonly string[]
}

const kept = new WeakMap<Command, Required<Notes>[]>()

/** Adds notes to the end of a command's help; what several callers add stands together. */
export function addNotes(command: Command, { text = [], examples = [] }: Notes): Command {
  const all = kept.get(command)
  if (all !== undefined) {
    all.push({ text, examples })
    return command
  }
  kept.set(command, [{ text, examples }])
  return command.addHelpText('after', ({ error }) => {
    const output = command.configureOutput()
    return helpText(command, error ? output.getErrHelpWidth!() : output.getOutHelpWidth!())
  })
}

/** Everything that was added. */
export function notesOf(command: Command): Required<Notes> {
  const all = kept.get(command) ?? []
  return { text: all.flatMap(({ text }) => text), examples: all.flatMap(({ examples }) => examples) }
}

function helpText(command: Command, width: number): string {
  const { text, examples } = notesOf(command)
  const help = command.createHelp()
  const paragraphs = text.map((paragraph) => (paragraph.startsWith(' ') ? paragraph : help.boxWrap(paragraph, width)))
  const shown = examples.length === 0 ? [] : [['Examples:', ...examples.map((line) => `  ${line}`)].join('\n')]
  return ['', ...paragraphs, ...shown].join('\n\n').slice(1)
}
