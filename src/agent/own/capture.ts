/**
 * Captures what this host sends on the sync interface, with tcpdump as a child process. The kernel's daemons stay unchanged.
 *
 * @module
 */

import { spawn } from 'node:child_process'
import { isIP } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { CaptureReader } from '../../capture/capture-reader.js'
import type { Milliseconds } from '../../units.js'
import { MAX_CHANNELS } from '../../wire/constants.js'
import type { OpenOwnSource } from './own-source.js'

/** What is captured. */
export interface CaptureOptions {
  readonly mcastInterface: string
  readonly mcastGroup: string
  /** Port of the first channel; those of all 64 possible channels are captured. */
  readonly mcastPort: number
  /** Program to run: `tcpdump` of the search path by default. */
  readonly program?: string | undefined
}

/** Characters of standard error that are kept. */
const MAX_SAID = 4096
/** Kernel buffer of the capture, in KiB: a quarter of a second of the busiest master. */
const BUFFER_KIB = 8192
/** Time that the program is given to end. */
const END_LIMIT: Milliseconds = 1000

/** Returns the arguments of tcpdump: only what this host sends, IPv4 fragments included, which have no ports. */
export function captureArguments({ mcastInterface, mcastGroup, mcastPort }: CaptureOptions): string[] {
  const last = Math.min(65_535, mcastPort + MAX_CHANNELS - 1)
  const fragment = isIP(mcastGroup) === 6 ? 'ip6[6] = 44' : 'ip[6:2] & 0x1fff != 0'
  const filter = `dst host ${mcastGroup} and (udp dst portrange ${mcastPort}-${last} or (${fragment}))`
  // Without -Z root, tcpdump changes to the user tcpdump, which needs rights that the agent's unit does not give.
  const user = process.getuid?.() === 0 ? ['-Z', 'root'] : []
  return ['-i', mcastInterface, '-Q', 'out', '-n', '-p', '-U', '-s', '0', '-B', String(BUFFER_KIB), ...user, '-w', '-', filter] // prettier-ignore
}

/** Returns a function that starts tcpdump. Datagrams are handled as they are read, so its pipe holds back what is too much. */
export function captureSource(options: CaptureOptions): OpenOwnSource {
  const { program = 'tcpdump', mcastPort } = options
  return ({ onUp, onDatagram, onDrops, onEnd }) => {
    const child = spawn(program, captureArguments(options), { stdio: ['ignore', 'pipe', 'pipe'] })
    const reader = new CaptureReader({ ports: [[mcastPort, Math.min(65_535, mcastPort + MAX_CHANNELS - 1)]] })
    let said = ''
    let isUp = false
    let isClosed = false
    let canSignal = true
    let fault: Fault | undefined
    child.stdout.on('data', (chunk: Buffer) => {
      if (isClosed || fault !== undefined) return
      try {
        for (const item of reader.push(chunk))
          if (item.kind === 'datagram' && item.payload.length === item.wireLength) onDatagram(item.payload, item.source)
        if (reader.isDamaged) throw new Error('the capture is damaged')
      } catch (error) {
        fault = { code: 'OWN_CAPTURE_DAMAGED', text: `${program}: ${(error as Error).message}` }
        child.kill('SIGTERM')
      }
    })
    child.stderr.setEncoding('latin1').on('data', (text: string) => {
      said = (said + text).slice(-MAX_SAID)
      if (isClosed) return
      if (!isUp && said.includes('listening on')) {
        isUp = true
        onUp()
      }
      const drops = Array.from(said.matchAll(/^(\d+) packets? dropped by kernel/gm), ([, count]) => Number(count))
      if (drops.length > 0) onDrops(Math.max(...drops))
    })
    const ended = new Promise<void>((resolve) => {
      child.on('error', (error: NodeJS.ErrnoException) => {
        if (error.syscall === 'kill') canSignal = false
        else fault = explainStart(program, error)
      })
      child.once('close', (code, signal) => {
        const end = fault ?? explainEnd(program, said, signal ?? `exit code ${code}`)
        if (!isClosed) onEnd(end.code, end.text)
        resolve()
      })
    })
    return {
      poll() {
        // Before tcpdump listens, the signal would end it.
        if (isUp && canSignal) child.kill('SIGUSR1')
      },
      async close() {
        isClosed = true
        child.kill('SIGTERM')
        child.stdout.destroy()
        const limit = new AbortController()
        await Promise.race([ended, sleep(END_LIMIT, undefined, { signal: limit.signal }).catch(() => undefined)])
        limit.abort()
        child.unref()
      }
    }
  }
}

/** Why a capture ended. */
interface Fault {
  readonly code: string
  readonly text: string
}

function explainStart(program: string, { code, message }: NodeJS.ErrnoException): Fault {
  return code === 'ENOENT'
    ? { code: 'OWN_CAPTURE_MISSING', text: `${program} not found; install the package tcpdump` }
    : { code: 'OWN_CAPTURE_FAILED', text: `${program}: ${message}` }
}

function explainEnd(program: string, said: string, how: string): Fault {
  const last = said
    .trim()
    .split('\n')
    .at(-1)!
    .replace(/^tcpdump: /, '')
  if (/permi|not allowed|privilege/i.test(said))
    return {
      code: 'OWN_CAPTURE_DENIED',
      text: `${program}: ${last}; capturing needs root, or CAP_NET_RAW (setcap cap_net_raw+ep on tcpdump)`
    }
  return { code: 'OWN_CAPTURE_ENDED', text: `${program} ended (${how})${last === '' ? '' : `: ${last}`}` }
}
