/**
 * `ipvs-sync wait-ready`: waits until an agent is ready, or reports that it is not.
 *
 * @module
 */

import { get } from 'node:http'
import { setTimeout } from 'node:timers/promises'
import type { Command } from 'commander'
import { readReadyFile, type Readiness } from '../../agent/ready-file.js'
import { IpvsSyncError } from '../../errors.js'
import type { Io } from '../io.js'
import { addNotes } from '../notes.js'
import { integerOption, parseListen, type HostPort } from '../parsers.js'

interface Options {
  readonly http?: HostPort
  readonly readyFile?: string
  /** Seconds. */
  readonly timeout: number
  readonly quiet?: true
  readonly require?: 'complete'
}

/** Interval of the checks and limit of one, in milliseconds. */
const STEP = 200
const PATIENCE = 1000
/** Interval of the status lines while it waits. */
const PROGRESS = 1000

/** Adds its options. */
export function configure(command: Command): void {
  command
    .option('--http <[host:]port>', 'check /readyz of an agent or a backup here', (text) => parseListen('--http', text))
    .option('--ready-file <file>', "read an agent's --ready-file")
    .addOption(
      command
        .createOption('--require <outcome>', 'accept this outcome only: not alone, not incomplete')
        .choices(['complete'])
    )
    .option('--timeout <seconds>', 'seconds to wait; 0 checks once', integerOption('--timeout', 0, 86_400), 60)
    .option('--quiet', 'print nothing')
  addNotes(command, {
    text: [
      'Exit code: 0 ready, 1 not ready in time, 2 usage. For keepalived: a vrrp_script with --timeout 0 and --quiet.'
    ],
    examples: [
      'ipvs-sync wait-ready --ready-file /run/ipvs-sync/ready --timeout 120',
      'ipvs-sync wait-ready --http 9848 --timeout 0 --quiet'
    ]
  })
}

/** Waits. */
export async function execute(command: Command, io: Io): Promise<number> {
  const options = command.opts<Options>()
  const ask = questionOf(options)
  const end = performance.now() + options.timeout * 1000
  let shown = ''
  let next = 0
  for (;;) {
    const { ready: isReady, outcome, status } = await ask()
    const ready = isReady && (options.require === undefined || outcome === options.require)
    const over = ready || performance.now() >= end || io.signal.aborted
    if (!over && options.quiet !== true && status !== shown && performance.now() >= next) {
      io.stderr.write(`${status}\n`)
      shown = status
      next = performance.now() + PROGRESS
    }
    if (over && !options.quiet) io.stdout.write(`${status}\n`)
    if (over) return ready ? 0 : 1
    // An aborted signal is no error: the loop ends as not ready.
    await setTimeout(STEP, undefined, { signal: io.signal }).catch(() => undefined)
  }
}

function questionOf({ http, readyFile }: Options): () => Promise<Readiness> {
  if (http !== undefined) return () => askHttp(http)
  if (readyFile !== undefined) return () => Promise.resolve(readReadyFile(readyFile, Date.now()))
  throw new IpvsSyncError('ERR_CONFIG', 'agent: expected --http [HOST:]PORT or --ready-file FILE, got neither')
}

/** An agent that does not answer is not ready. */
async function askHttp({ host, port = 0 }: HostPort): Promise<Readiness> {
  return new Promise((resolve) => {
    const request = get({ host, port, path: '/readyz', timeout: PATIENCE }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => (text = (text + chunk).slice(0, 1000)))
      response.on('end', () => {
        // The status of an agent begins with its outcome.
        const outcome = /^ready \((complete|incomplete|alone)\)/.exec(text)?.[1] as Readiness['outcome']
        resolve({ ready: response.statusCode === 200, outcome, status: text.trim() })
      })
      response.on('error', fail)
    })
    const fail = (error: Error): void => resolve({ ready: false, status: `no agent answers: ${error.message}` })
    request.on('timeout', () => request.destroy(new Error('it took too long')))
    request.on('error', fail)
  })
}
