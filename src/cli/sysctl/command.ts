/**
 * `ipvs-sync sysctl`: what there is to set, and whether a file sets it well.
 *
 * @module
 */

import { Option, type Command } from 'commander'
import { counted } from '../../text.js'
import { readSysctls } from '../../sysctl/index.js'
import type { Io } from '../io.js'
import { addNotes } from '../notes.js'
import { addSysctlOptions, readText, settingsOf, type SysctlOptions } from '../options.js'
import { printJson, printTable } from './print.js'

interface Options extends SysctlOptions {
  readonly check?: string
  readonly format: 'table' | 'json'
}

/** Adds its options. */
export function configure(command: Command): void {
  addSysctlOptions(command)
    .option('--check <file>', 'say which lines of a sysctl.conf a kernel would refuse, and why; exit code 1 if any')
    .addOption(new Option('--format <format>', 'how to print').choices(['table', 'json']).default('table'))
  addNotes(command, {
    text: [
      'Values are our defaults unless --sysctl or --sysctl-from say otherwise; --sysctl-from kernel shows the live ones.'
    ],
    examples: ['ipvs-sync sysctl --sysctl-from kernel', 'ipvs-sync sysctl --check /etc/sysctl.d/ipvs.conf']
  })
}

/** Prints the settings, or checks a file. */
export async function execute(command: Command, io: Io): Promise<number> {
  const options = command.opts<Options>()
  if (options.check !== undefined) return check(options.check, io)
  const settings = await settingsOf(options)
  io.stdout.write(options.format === 'json' ? printJson(settings) : printTable(settings))
  return 0
}

async function check(file: string, io: Io): Promise<number> {
  const { findings, assignments } = readSysctls(await readText('--check', file))
  for (const { line, error } of findings) io.stdout.write(`${file}:${line}: ${error.message}\n`)
  const verdict = findings.length === 0 ? 'all good' : `${findings.length} refused`
  io.stderr.write(`${file}: ${counted(assignments + findings.length, 'setting')} of net.ipv4.vs, ${verdict}\n`)
  return findings.length === 0 ? 0 : 1
}
