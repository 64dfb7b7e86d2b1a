/**
 * Options and events of an agent.
 *
 * @module
 */

import type { OptionNames } from '../demand.js'
import type { AgentId } from './protocol/messages.js'
import type { AgentTimes } from './protocol/options.js'
import type { NoticeEvent } from '../engine/events.js'
import type { IpvsSyncError } from '../errors.js'
import type { KernelTableOptions } from '../procfs/kernel-table.js'
import type { ReceivingTransport, SendingTransport } from '../transport/transport.js'
import type { Milliseconds, TimestampMs } from '../units.js'
import { SYNC_OPTIONS, type SyncOptions } from '../daemon/sync-options.js'

/** Options of an {@link Agent}. */
export interface AgentOptions extends SyncOptions {
  /** 0…255: that of the kernels' sync daemons, which drop answers with another one. 0 by default. */
  readonly syncid?: number
  /** Networks whose messages and requests are accepted; all by default. */
  readonly accept?: readonly string[]
  /** Maximum rate of an answer in connections a second. By default the requesters' receive buffers decide. */
  readonly rate?: number
  /** Whether it sends its table to other agents. True by default. */
  readonly answers?: boolean
  /** Limit of the search for a table, and other times: see {@link AgentTimes}. */
  readonly times?: Partial<AgentTimes>
  /** A file that keeps the table over a restart. */
  readonly store?: string
  /** Interval of its saves. 60,000 ms by default, and at least nine times the duration of the last save. */
  readonly storeInterval?: Milliseconds
  /** A file that says whether it is ready: see `readReadyFile`. */
  readonly readyFile?: string
  /** Whether to read the kernel's own table, if there is one. True by default. */
  readonly kernel?: boolean
  /** Files of the kernel's table. */
  readonly kernelFiles?: KernelTableOptions
  /**
   * Where the agent learns from what its own kernel's master announces: `capture` runs tcpdump on the interface, the name of
   * an interface joins the group there (a veth pair on whose other end the kernel's master sends), `table` reads the
   * kernel's table alone. `auto`, the default, captures if the program and the right are there, and falls back to the table.
   */
  readonly own?: string
  /** Program that captures. `tcpdump` by default. */
  readonly captureProgram?: string
  /**
   * Interval of reads of the kernel's table. 5,000 ms by default, 300,000 while the own kernel's announcements are received;
   * at most 1,000 while the agent announces; at least 50 times the duration of the last read.
   */
  readonly kernelInterval?: Milliseconds
  /** Maximum duration of one read of the kernel's table. 60,000 ms by default. */
  readonly kernelLimit?: Milliseconds
  /** Whether stored connections are sent to a kernel that was restarted, if no other agent answers. True by default. */
  readonly restore?: boolean
  /**
   * Whether an answer is complete only when the kernel's own table has it too, by key; the agent sends the kernel what it
   * lacks. False by default.
   */
  readonly verifyKernel?: boolean
  /** keepalived's notify FIFO. While it says MASTER, the kernel's (or the warm) table is announced. */
  readonly notifyFifo?: string
  /** The VRRP instance that counts; by default any that is MASTER. */
  readonly instance?: string
  /** Whether to announce as master. True by default; false where the kernel's own master daemon does. */
  readonly announce?: boolean
  /** Id of the agent; random by default. */
  readonly id?: AgentId
  /** Receives messages instead of UDP. */
  readonly receiver?: ReceivingTransport
  /** Sends answers and agent messages instead of UDP: one channel. */
  readonly sender?: SendingTransport
  /** Sends messages to this host's kernel instead of UDP. */
  readonly bringer?: SendingTransport
  /** Sends announcements as master instead of UDP. */
  readonly announcer?: SendingTransport
  /** Milliseconds since 1970, for the age of a stored table and the time of sealed messages. The system's clock by default. */
  readonly wallClock?: () => TimestampMs
}

/** Events of an {@link Agent}. */
export interface AgentEvents {
  /** The sockets are open; the argument describes them. */
  listening: [description: string]
  /** The status changed: readiness, and a line of text. */
  status: [ready: boolean, text: string]
  /** keepalived gave this director another role. */
  role: [master: boolean]
  /** A notice; the agent continues. */
  notice: [event: NoticeEvent]
  /** A socket failed after the start. Without a listener it is ignored. */
  error: [error: IpvsSyncError]
  /** Everything is closed. */
  close: []
}

/** Names of the options. */
export const AGENT_OPTIONS: OptionNames<AgentOptions> = {
  ...SYNC_OPTIONS,
  syncid: true,
  accept: true,
  rate: true,
  answers: true,
  times: true,
  store: true,
  storeInterval: true,
  readyFile: true,
  kernel: true,
  kernelFiles: true,
  own: true,
  captureProgram: true,
  kernelInterval: true,
  kernelLimit: true,
  restore: true,
  verifyKernel: true,
  notifyFifo: true,
  instance: true,
  announce: true,
  id: true,
  receiver: true,
  sender: true,
  bringer: true,
  announcer: true,
  wallClock: true
}
