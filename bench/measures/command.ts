/**
 * Milliseconds of processor time that a command and its children take, its output thrown away: command PROGRAM ARGS…; or,
 * with `--peak` first, its peak memory in MiB.
 */
import { spawnSync } from 'node:child_process'

const args = process.argv.slice(2)
const peak = args[0] === '--peak'
const timed = peak
  ? ['/usr/bin/time', '-f', '%M', ...args.slice(1)]
  : ['bash', '-c', 'TIMEFORMAT="%3U %3S"; time "$@"', 'bash', ...args]
const [program = '', ...rest] = timed
const { status, stderr, error } = spawnSync(program, rest, { stdio: ['ignore', 'ignore', 'pipe'] })
if (error !== undefined) throw error
if (status !== 0) throw new Error(`${args.join(' ')} ended with ${status}: ${stderr.toString().slice(-300)}`)
const numbers = (stderr.toString().trim().split('\n').at(-1) ?? '').split(' ').map(Number)
const [first = NaN, second = 0] = numbers
console.log(peak ? first / 1024 : (first + second) * 1000)
