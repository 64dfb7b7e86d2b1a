/** Milliseconds that a command runs, its output thrown away: wall PROGRAM ARGS…; or with `--peak` first, its peak memory in MiB. */
import { spawnSync } from 'node:child_process'

const args = process.argv.slice(2)
const peak = args[0] === '--peak'
const [program = '', ...rest] = peak ? ['/usr/bin/time', '-f', '%M', ...args.slice(1)] : args
const begin = process.hrtime.bigint()
const { status, stderr, error } = spawnSync(program, rest, { stdio: ['ignore', peak ? 'ignore' : 'ignore', 'pipe'] })
const took = Number(process.hrtime.bigint() - begin) / 1e6
if (error !== undefined) throw error
if (status !== 0) throw new Error(`${program} ended with ${status}: ${stderr.toString().slice(-300)}`)
console.log(peak ? Number(stderr.toString().trim().split('\n').at(-1)) / 1024 : took)
