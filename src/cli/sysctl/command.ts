/**
 * `ipvs-sync sysctl`: prints the variables of `net.ipv4.vs`, or checks a file.
 *
 * @module
 */

import { Option, type Command } from 'commander'
import { counted } from '../../text.js'
import { readSysctls } from '../../sysctl/parse.js'
import { SYSCTL_DEFINITIONS } from '../../sysctl/definitions.js'
import { textOf, type Sysctls } from '../../sysctl/settings.js'
import type { Io } from '../io.js'
import { addNotes } from '../notes.js'
import { integerOption } from '../parsers.js'
import { addSysctlOptions, readText, settingsOf, type SysctlOptions } from '../options.js'

interface Options extends SysctlOptions {
  readonly check?: string
  readonly hz: number
  readonly format: 'table' | 'json'
}

/** Adds the options. */
export function configure(command: Command): void {
  addSysctlOptions(command)
    .option(
      '--check <file>',
      'print the lines of a sysctl.conf that a kernel would refuse, with the reason; exit code 1 if there are any'
    )
    .option(
      '--hz <ticks>',
      "with --check: ticks a second of the kernel's clock, on which limits of seconds depend",
      integerOption('--hz', 1, 10_000),
      250
    )
    .addOption(new Option('--format <format>', 'output format').choices(['table', 'json']).default('table'))
  addNotes(command, {
    text: [
      'Values are defaults, changed by --sysctl-from and then by --sysctl. With --sysctl-from kernel, standard error lists which variables were read from the kernel.'
    ],
    examples: ['ipvs-sync sysctl --sysctl-from kernel', 'ipvs-sync sysctl --check /etc/sysctl.d/ipvs.conf']
  })
}

/** Prints the settings, or checks a file. */
export async function execute(command: Command, io: Io): Promise<number> {
  const options = command.opts<Options>()
  if (options.check !== undefined) return check(options.check, options.hz, io)
  const settings = await settingsOf(options, { onFact: (text) => void io.stderr.write(`ipvs-sync sysctl: ${text}\n`) })
  io.stdout.write(options.format === 'json' ? printJson(settings) : printTable(settings))
  return 0
}

async function check(file: string, hz: number, io: Io): Promise<number> {
  const { findings, assignments } = readSysctls(await readText('--check', file), undefined, { hz })
  for (const { line, error } of findings) io.stdout.write(`${file}:${line}: ${error.message}\n`)
  const verdict = findings.length === 0 ? 'all accepted' : `${findings.length} not accepted`
  io.stderr.write(`${file}: ${counted(assignments + findings.length, 'setting')} of net.ipv4.vs, ${verdict}\n`)
  return findings.length === 0 ? 0 : 1
}

/** Returns a block for each variable: name and value, then default, accepted values and meaning. */
function printTable(settings: Sysctls): string {
  const blocks = SYSCTL_DEFINITIONS.map(({ key, name, default: usual, unit, accepted, meaning }) => {
    const [value, normal] = [textOf(settings[key]), textOf(usual)]
    const changed = value === normal ? '' : '  (changed)'
    return `${name} = ${value}${unit === '' ? '' : ` ${value === '1' ? unit.replace(/(?<=.)s$/, '') : unit}`}${changed}\n  default:  ${normal}\n  accepted: ${accepted}\n  meaning:  ${meaning}\n`
  })
  return blocks.join('\n')
}

/** Returns one object a line: `{"name","value","default","unit","accepted","meaning"}`; `sync_threshold`'s values are arrays. */
function printJson(settings: Sysctls): string {
  return SYSCTL_DEFINITIONS.map(({ key, name, default: usual, unit, accepted, meaning }) => {
    return `${JSON.stringify({ name, value: settings[key], default: usual, unit, accepted, meaning })}\n`
  }).join('')
}
