/**
 * `ipvs-sync simulate`: what a director with these settings would send, and what a failover would lose.
 *
 * @module
 */
import { Option, type Command } from 'commander'
import { applySysctl, type Sysctls } from '../../sysctl/index.js'
import type { Io } from '../io.js'
import { addNotes } from '../notes.js'
import { collect } from '../options.js'
import { integerOption, refuse } from '../parsers.js'
import { addInputOptions, readInputs, type InputOptions, type Inputs } from './inputs.js'
import { htmlReport, tableReport, type NamedRun } from './report.js'
import { simulate, type SentMessage } from './run.js'

interface Options extends InputOptions {
  readonly format?: 'table' | 'json' | 'html'
  readonly compare: readonly string[]
  readonly failoverAt?: number
  readonly loss: number
  readonly seed: number
}

/** Adds arguments, options and examples. */
export function configure(command: Command): void {
  addInputOptions(command)
    .argument('[capture...]', 'pcap or pcapng of the clients’ side, also in gzip; - is standard input')
    .addOption(new Option('--format <format>', 'what to print').choices(['table', 'json', 'html']).default('table'))
    .addOption(
      command
        .createOption('--compare <settings>', 'also run with NAME=VALUE…; may be repeated')
        .argParser(collect)
        .default([], 'none')
    )
    .option('--failover-at <seconds>', 'list what a failover at this time would lose', (text: string): number =>
      /^\d+(\.\d+)?$/.test(text) ? Number(text) : refuse('--failover-at', text, 'seconds, 0 or more')
    )
    .option(
      '--loss <probability>',
      'share of sync messages that are lost, 0 to 1',
      (text: string): number => {
        const value = /^\d*\.?\d+$/.test(text) ? Number(text) : NaN
        return value >= 0 && value <= 1 ? value : refuse('--loss', text, 'a number, 0 to 1')
      },
      0
    )
    .option('--seed <number>', 'seed of everything random', integerOption('--seed', 0, 2 ** 32 - 1), 1)
  addNotes(command, {
    text: [
      'The clock stops with the last packet; what the master holds is then sent. Frames that the director itself sends are recognised by their MAC address, or by IP identification and TTL, and not counted.',
      'Exit codes: 0 whatever the captures hold; 2 usage; 3 a file cannot be read, or is not a capture.'
    ],
    examples: [
      'ipvs-sync simulate --services ip_vs.txt --sysctl-from kernel clients.pcap',
      "ipvs-sync simulate --workload web --compare 'sync_refresh_period=10 sync_retries=2'"
    ]
  })
}

/** Runs the simulation. */
export async function execute(command: Command, io: Io): Promise<number> {
  const options = command.opts<Options>()
  const inputs = await readInputs(options, command.args)
  if (options.compare.length > 0 && command.args.includes('-'))
    refuse('--compare', '-', 'a capture file: standard input can be read only once')
  for (const note of inputs.notes) io.stderr.write(`ipvs-sync: ${note}\n`)
  const { loss, seed } = options
  if (options.format === 'json') {
    let frame = 0
    const onMessage = (sent: SentMessage): void => void io.stdout.write(jsonLine(sent, ++frame, options.local[0]))
    await simulate(inputs, { settings: inputs.settings, loss, seed, onMessage }, io)
    return 0
  }
  const runs: NamedRun[] = []
  for (const [name, settings] of variantsOf(inputs, options.compare))
    runs.push({ name, result: await simulate(inputs, { settings, loss, seed }, io) })
  const report = options.format === 'html' ? htmlReport : tableReport
  io.stdout.write(report(runs, options.failoverAt))
  return 0
}

/** The given settings, and each variant. */
function variantsOf({ settings }: Inputs, compare: readonly string[]): (readonly [string, Sysctls])[] {
  return [['as given', settings], ...compare.map((text) => [text, applyAll(settings, text)] as const)]
}

/** Applies `NAME=VALUE NAME=VALUE`, where a value may hold spaces: the next word with `=` begins the next setting. */
function applyAll(settings: Sysctls, text: string): Sysctls {
  const assignments: string[] = []
  for (const word of text.trim().split(/\s+/)) {
    if (word.includes('=')) assignments.push(word)
    else if (assignments.length === 0) refuse('--compare', text, 'NAME=VALUE, as often as needed')
    else assignments.push(`${assignments.pop()!} ${word}`)
  }
  return assignments.reduce((before, assignment) => {
    const at = assignment.indexOf('=')
    return applySysctl(before, assignment.slice(0, at), assignment.slice(at + 1))
  }, settings)
}

/** A message as `decode --format json` prints it. */
function jsonLine({ timeMs, channel, message }: SentMessage, frame: number, local = '0.0.0.0'): string {
  const { version, syncid, size, connections, problems } = message
  return `${JSON.stringify({
    // Six digits, as captures have them.
    time: new Date(timeMs).toISOString().replace('Z', '000Z'),
    source: { address: local, port: 0 },
    destination: { address: '224.0.0.81', port: 8848 + channel },
    frame,
    channel,
    version,
    syncid,
    size,
    connections,
    problems
  })}\n`
}
