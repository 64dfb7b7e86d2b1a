/**
 * `ipvs-sync completion`: completion scripts and the manual page, generated from the options.
 *
 * @module
 */

import type { Command } from 'commander'
import type { Io } from '../io.js'
import { addNotes } from '../notes.js'
import { describeProgram, type CommandDescription, type OptionDescription } from './describe.js'

/** Adds the argument and the examples. */
export function configure(command: Command): void {
  command.addArgument(command.createArgument('<bash|zsh|fish|man>', 'for whom').choices(['bash', 'zsh', 'fish', 'man']))
  addNotes(command, {
    examples: [
      'source <(ipvs-sync completion bash)',
      'ipvs-sync completion zsh > "${fpath[1]}/_ipvs-sync"',
      'ipvs-sync completion fish > ~/.config/fish/completions/ipvs-sync.fish',
      'ipvs-sync completion man | man -l -'
    ]
  })
}

/** Prints the completion script or the manual page. */
export async function execute(command: Command, io: Io): Promise<number> {
  const program = command.parent!
  const commands = describeProgram(program)
  const makers: Record<string, () => string> = {
    bash: () => bashCompletion(commands),
    zsh: () => zshCompletion(commands),
    fish: () => {
      // For fish: into `~/.config/fish/completions/ipvs-sync.fish`.
      const lines = commands.flatMap(({ name, text, options, words }) => {
        const seen = `-n '__fish_seen_subcommand_from ${name}'`
        return [
          `complete -c ipvs-sync -n __fish_use_subcommand -f -a ${name} -d ${quote(text, "\\'")}`,
          ...options.map((option) => `complete -c ipvs-sync ${seen} ${fishOption(option)}`),
          ...words.map((word) => `complete -c ipvs-sync ${seen} -f -a ${word}`)
        ]
      })
      const names = commands.map(({ name }) => name).join(' ')
      lines.push(`complete -c ipvs-sync -n '__fish_seen_subcommand_from help' -f -a '${names}'`)
      return `${HEAD}${lines.join('\n')}\n`
    },
    man: () => manualPage(commands, program.version()!.split('\n')[0]!)
  }
  io.stdout.write(makers[command.args[0]!]!())
  return Promise.resolve(0)
}

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

const HEAD = '# ipvs-sync: made by `ipvs-sync completion`, do not edit.\n'

/** The option whose value is a network interface of this machine. */
const INTERFACE = '--mcast-interface'

/** For bash: `source <(ipvs-sync completion bash)`. Where it offers nothing, bash offers files. */
function bashCompletion(commands: readonly CommandDescription[]): string {
  const names = commands.map(({ name }) => name).join(' ')
  const cases = commands.map(
    ({ name, options, words }) => `    ${name}) words='${[...options.map(({ long }) => long), ...words].join(' ')}' ;;`
  )
  const values = commands.flatMap(({ name, options }) =>
    options
      .filter(({ takesValue }) => takesValue)
      .map((option) => `    '${name} ${option.long}') words=${bashValues(option)} ;;`)
  )
  return `${HEAD}_ipvs_sync() {
  local word=\${COMP_WORDS[COMP_CWORD]} words=''
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '${names} help --help --version' -- "$word"))
    return
  fi
  case "\${COMP_WORDS[1]} \${COMP_WORDS[COMP_CWORD-1]}" in
${values.join('\n')}
    *) case \${COMP_WORDS[1]} in
${cases.join('\n')}
    help) words='${names}' ;;
    esac ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _ipvs_sync ipvs-sync
`
}

function bashValues({ long, choices }: OptionDescription): string {
  return long === INTERFACE ? '"$(ls /sys/class/net 2>/dev/null)"' : `'${choices.join(' ')}'`
}

/** For zsh: into a file `_ipvs-sync` of `$fpath`. */
function zshCompletion(commands: readonly CommandDescription[]): string {
  const names = commands.map(({ name, text }) => `    ${quote(`${name}:${text}`)}`)
  const cases = commands.map(({ name, options, words }) => {
    const specs = options.map(({ long, text, takesValue, choices }: OptionDescription): string => {
      const values = choices.length > 0 ? `(${choices.join(' ')})` : long === INTERFACE ? '_net_interfaces' : '_files'
      return quote(`*${long}[${text.replace(/[[\]:]/g, '\\$&')}]${takesValue ? `:value:${values}` : ''}`)
    })
    specs.push(words.length > 0 ? `'1:word:(${words.join(' ')})'` : "'*:file:_files'")
    return `    ${name}) _arguments ${specs.join(' \\\n      ')} ;;`
  })
  return `#compdef ipvs-sync
${HEAD}_ipvs_sync() {
  local -a commands=(
${names.join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local name=$words[2]
  shift words
  (( CURRENT-- ))
  case $name in
${cases.join('\n')}
    help) _arguments '1:command:(${commands.map(({ name }) => name).join(' ')})' ;;
  esac
}
if [ "$funcstack[1]" = _ipvs-sync ]; then _ipvs_sync; else compdef _ipvs_sync ipvs-sync; fi
`
}

function fishOption({ long, text, takesValue, choices }: OptionDescription): string {
  const few = long === INTERFACE ? '(__fish_print_interfaces)' : choices.join(' ')
  const values = few === '' ? ' -r' : ` -x -a '${few}'`
  return `-l ${long.slice(2)}${takesValue ? values : ''} -d ${quote(text, "\\'")}`
}

function quote(text: string, apostrophe = "'\\''"): string {
  return `'${text.replaceAll("'", apostrophe)}'`
}
