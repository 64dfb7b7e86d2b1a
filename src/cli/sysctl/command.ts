/**
 * `ipvs-sync sysctl`: prints the variables of `net.ipv4.vs`, or checks a file.
 *
 * @module
 */

import { Option, type Command } from 'commander'
import { counted } from '../../text.js'
import { readSysctls } from '../../sysctl/index.js'
import type { Io } from '../io.js'
import { addNotes } from '../notes.js'
import { integerOption } from '../parsers.js'
import { addSysctlOptions, readText, settingsOf, type SysctlOptions } from '../options.js'
import { printJson, printTable } from './print.js'

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
