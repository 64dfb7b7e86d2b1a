/**
 * What the command line offers, as completions and the manual page need it.
 *
 * @module
 */

import type { Command } from 'commander'
import { notesOf, type Notes } from '../notes.js'

/** An option as it is typed. */
export interface OptionDescription {
  /** With its dashes. */
  readonly long: string
  /** With its dash, where there is one. */
  readonly short?: string
  /** With the value's name, as help shows it. */
  readonly flags: string
  readonly text: string
  /** What help says: the text, the values allowed, and the default. */
  readonly fullText: string
  /** Whether a value follows. */
  readonly takesValue: boolean
  /** The values allowed, where they are few. */
  readonly choices: readonly string[]
}

/** A command as it is typed. */
export interface CommandDescription {
  readonly name: string
  /** What follows the name in help. */
  readonly usage: string
  readonly text: string
  readonly options: readonly OptionDescription[]
  /** The words that its argument may be, where they are few. */
  readonly words: readonly string[]
  /** What help says behind the options. */
  readonly notes: Required<Notes>
}

/** Every command of a program whose commands are all configured; help itself is left out. */
export function describeProgram(program: Command): CommandDescription[] {
  return program.commands.map((command: Command): CommandDescription => {
    const help = command.createHelp()
    return {
      name: command.name(),
      usage: command.usage(),
      text: command.summary(),
      options: help.visibleOptions(command).map((option) => {
        const { long, short, flags, description, required, argChoices } = option
        const fullText = help.optionDescription(option)
        return {
          long: long!,
          ...(short !== undefined && { short }),
          flags,
          text: description,
          fullText,
          takesValue: required,
          choices: argChoices ?? []
        }
      }),
      words: command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []),
      notes: notesOf(command)
    }
  })
}
