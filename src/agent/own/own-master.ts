/**
 * What this host's kernel announces as master: it is applied to the agent's table, and what may have been missed is reported.
 * It comes from the other end of a veth pair that the kernel sends on, or from tcpdump as a child process on the sync
 * interface, with which the kernel's daemons stay unchanged.
 *
 * @module
 */

import type { Clock } from '../../daemon/clock.js'
import { defaultTimeout } from '../../engine/backup/timeouts.js'
import type { From } from '../../engine/events.js'
import { counted } from '../../text.js'
import type { ConnectionTable } from '../../table/connection-table.js'
import type { Milliseconds } from '../../units.js'
import { isAgentMessage } from '../../wire/agent-mark.js'
import { BACKUP_MASK, FLAG, MAX_CHANNELS } from '../../wire/constants.js'
import { MessageReader } from '../../wire/message-reader.js'
import { ROW, ROW_WORDS } from '../../wire/rows.js'
import { decodeAgentMessage, type AgentId } from '../protocol/messages.js'
import type { OpenOwnSource, OwnSource } from './own-source.js'
import { networkHolds, parseNetwork } from '../../addresses.js'
import { nodeSystem, type NetworkSystem } from '../../transport/system.js'
import type { UdpOptions } from '../../transport/udp-options.js'
import { UdpReceiver } from '../../transport/udp-receiver.js'
import { spawn } from 'node:child_process'
import { isIP } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { CaptureReader } from '../../capture/capture-reader.js'

/** Interval at which the source is asked for lost datagrams. */
const POLL_INTERVAL: Milliseconds = 5000
/** Pauses before a source that ended is opened again: the first, and the limit of their doubling. */
const FIRST_PAUSE: Milliseconds = 1000
const MAX_PAUSE: Milliseconds = 300_000
/** A source that lasted this long ended for another reason than the one before. */
const STEADY: Milliseconds = 60_000
/** Time that the agent's start waits for the source. */
const START_LIMIT: Milliseconds = 3000

/** Parts of an {@link OwnMaster}. */
export interface OwnMasterParts {
  readonly open: OpenOwnSource
  /** Where the source is, for notices: `capture on eth1`. */
  readonly description: string
  readonly table: ConnectionTable
  readonly clock: Clock
  /** Name of this agent, whose own messages a capture contains too. */
  readonly id: AgentId
  /** 0…255; messages with another syncid are ignored, 0 accepts all. */
  readonly syncid: number
  /** Whether this agent announces as master itself: what it sends is then ignored. */
  readonly isAnnouncing: () => boolean
  /** Receives notices. */
  readonly notify: (code: string, text: string) => void
  /** Called when something may have been missed: only the kernel's table shows it. */
  readonly onGap: () => void
}

/** Figures since the start. */
export interface OwnMasterReport {
  /** Whether everything that the kernel announces is received now. */
  readonly isCovering: boolean
  readonly messages: number
  readonly connections: number
  /** Times at which something may have been missed. */
  readonly gaps: number
  /** Datagrams that this host lost. */
  readonly drops: number
}

/** Keeps a source open, and applies its messages. */
export class OwnMaster {
  readonly #parts: OwnMasterParts
  readonly #reader = new MessageReader()
  /** Ports that this agent sends from. Its first message precedes its first answer, so they are known in time. */
  readonly #ownPorts: number[] = []
  #source: OwnSource | undefined
  #isUp = false
  #isClosed = false
  #openedAt = 0
  #pause = FIRST_PAUSE
  #sourceDrops = 0
  #messages = 0
  #connections = 0
  #gaps = 0
  #drops = 0
  #cancelTimer: () => void = () => undefined
  #started: () => void = () => undefined

  /** @param parts - The source and where its messages go. */
  constructor(parts: OwnMasterParts) {
    this.#parts = parts
  }

  /** Opens the source. Resolves when it is open or has failed, after 3 s at the latest; a failure is reported and retried. */
  async start(): Promise<void> {
    const cancel = this.#parts.clock.after(START_LIMIT, () => this.#started())
    await new Promise<void>((resolve) => {
      this.#started = resolve
      this.#open()
    })
    cancel()
  }

  /** Closes the source. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#isUp = false
    this.#cancelTimer()
    this.#started()
    await this.#source?.close()
  }

  /** Returns the figures. */
  report(): OwnMasterReport {
    return {
      isCovering: this.#isUp && !this.#parts.isAnnouncing(),
      messages: this.#messages,
      connections: this.#connections,
      gaps: this.#gaps,
      drops: this.#drops
    }
  }

  #open(): void {
    const { clock, description, notify, open } = this.#parts
    this.#openedAt = clock.now()
    this.#sourceDrops = 0
    this.#source = open({
      onUp: () => {
        this.#isUp = true
        notify('OWN_MASTER_RECEIVED', `${description}: receiving what this kernel's master announces`)
        this.#noteGap()
        this.#poll()
        this.#started()
      },
      onDatagram: (bytes, from) => this.#handleDatagram(bytes, from),
      onDrops: (total) => {
        if (total <= this.#sourceDrops) return
        this.#drops += total - this.#sourceDrops
        this.#sourceDrops = total
        this.#noteGap()
        notify('OWN_MASTER_LOST', `${description}: ${counted(this.#drops, 'datagram')} lost on this host`)
      },
      onEnd: (code, text) => {
        this.#isUp = false
        this.#source = undefined
        this.#cancelTimer()
        const pause = clock.now() - this.#openedAt >= STEADY ? FIRST_PAUSE : this.#pause
        this.#pause = Math.min(2 * pause, MAX_PAUSE)
        this.#cancelTimer = clock.after(pause, () => this.#open())
        notify(code, text)
        this.#noteGap()
        this.#started()
      }
    })
    // Closed by a handler that was called at once.
    if (this.#isClosed) void this.#source.close()
  }

  #poll(): void {
    this.#cancelTimer = this.#parts.clock.after(POLL_INTERVAL, () => {
      this.#source?.poll()
      this.#poll()
    })
  }

  #noteGap(): void {
    this.#gaps++
    this.#parts.onGap()
  }

  #handleDatagram(bytes: Uint8Array, { port }: From): void {
    const { id, syncid, table, clock, isAnnouncing } = this.#parts
    if (isAgentMessage(bytes)) {
      if (!this.#ownPorts.includes(port) && decodeAgentMessage(bytes)?.from === id) {
        this.#ownPorts.unshift(port)
        this.#ownPorts.length = Math.min(this.#ownPorts.length, 8)
      }
      return
    }
    if (isAnnouncing() || this.#ownPorts.includes(port)) return
    const message = this.#reader.read(bytes)
    if (message.records === 0 || (syncid !== 0 && message.syncid !== syncid)) return
    this.#messages++
    const { rows } = this.#reader
    const { words } = rows
    const now = clock.now()
    for (let i = 0, at = 0; i < rows.count; i++, at += ROW_WORDS) {
      const flags = words[at + ROW.FLAGS]!
      if (words[at + ROW.VERDICT] !== 0) continue
      // The connection is this director's own: without SYNC its origin is LOCAL.
      words[at + ROW.FLAGS] = flags & BACKUP_MASK & ~FLAG.SYNC
      if (words[at + ROW.TIMEOUT] === 0)
        words[at + ROW.TIMEOUT] = defaultTimeout({}, words[at + ROW.PROTOCOL]!, (flags & FLAG.TEMPLATE) !== 0, words[at + ROW.STATE]!) // prettier-ignore
      table.upsert(rows, i, now)
      this.#connections++
    }
  }
}

/**
 * Returns a function that joins the group on an interface.
 *
 * @param udp - With the interface of the private link.
 */
export function interfaceSource(
  udp: UdpOptions & { readonly mcastInterface: string },
  system: NetworkSystem = nodeSystem
): OpenOwnSource {
  const { mcastInterface } = udp
  return ({ onUp, onDatagram, onDrops, onEnd }) => {
    const receiver = new UdpReceiver(udp, system)
    const networks = (system.interfaces()[mcastInterface] ?? []).flatMap(({ cidr }) =>
      cidr === null ? [] : [parseNetwork(cidr)!]
    )
    let isOpen = true
    const end = (text: string): void => {
      if (!isOpen) return
      isOpen = false
      void receiver.close()
      onEnd('OWN_INTERFACE_LOST', text)
    }
    receiver
      .start({
        onDatagram(bytes, from) {
          // A socket that is bound to a group also receives what other interfaces of the host have joined.
          const isOfLink = from.address.endsWith(`%${mcastInterface}`) || networks.some((network) => networkHolds(network, from.address)) // prettier-ignore
          if (isOpen && isOfLink) onDatagram(bytes, from)
        },
        onNotice({ code, message }) {
          if (code === 'INTERFACE_LOST') end(message)
        },
        onError: ({ message }) => end(message)
      })
      .then(
        () => isOpen && onUp(),
        (error: unknown) => end((error as Error).message)
      )
    return {
      poll() {
        const drops = receiver.receiveDrops()
        if (isOpen && drops !== undefined) onDrops(drops)
      },
      async close() {
        isOpen = false
        await receiver.close()
      }
    }
  }
}

/** What is captured. */
interface CaptureOptions {
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
