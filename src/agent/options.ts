/**
 * What an agent is told.
 *
 * @module
 */

import type { AgentId } from './protocol/messages.js'
import type { AgentTimes } from './protocol/options.js'
import type { NoticeEvent } from '../engine/events.js'
import type { IpvsSyncError } from '../errors.js'
import type { KernelTableOptions } from '../procfs/kernel-table.js'
import type { ReceivingTransport, SendingTransport } from '../transport/transport.js'
import type { Milliseconds, TimestampMs } from '../units.js'
import type { SyncOptions } from '../daemon/sync-options.js'

/** Options of an {@link Agent}. */
export interface AgentOptions extends SyncOptions {
  /** 0…255: that of the kernels' sync daemons, which pass over answers of another one. 0 by default. */
  readonly syncid?: number
  /** Networks whose messages and requests are heard; all where there is none. */
  readonly accept?: readonly string[]
  /** Connections a second of an answer. By default what a receiver with the default buffer bears: 460 messages a second. */
  readonly rate?: number
  /** Whether it gives its table to others. True by default. */
  readonly answers?: boolean
  /** How long it looks for a table, and other times: see {@link AgentTimes}. */
  readonly times?: Partial<AgentTimes>
  /** A file that keeps the table over a restart. */
  readonly store?: string
  /** How often it is written. 60,000 ms by default, and never more than a tenth of the time. */
  readonly storeInterval?: Milliseconds
  /** A file that says whether it is ready: see `readReadyFile`. */
  readonly readyFile?: string
  /** Whether to look at the kernel's own table, where there is one. True by default. */
  readonly kernel?: boolean
  /** Where the kernel's table is. */
  readonly kernelFiles?: KernelTableOptions
  /** Interval of its reads. 5,000 ms by default; 1,000 while it announces; at least 50 times the duration of the last read. */
  readonly kernelInterval?: Milliseconds
  /** Maximum duration of one read of the kernel's table. 60,000 ms by default. */
  readonly kernelLimit?: Milliseconds
  /** Whether what a store kept is brought to a kernel that was restarted, where no other agent answers. True by default. */
  readonly restore?: boolean
  /**
   * Whether an answer counts as complete only when the kernel's own backup daemon has it too, by key; it is brought what it
   * lacks. False by default.
   */
  readonly verifyKernel?: boolean
  /** keepalived's notify FIFO. While it says MASTER, the kernel's (or the warm) table is announced. */
  readonly notifyFifo?: string
  /** The VRRP instance that counts; by default any that is MASTER. */
  readonly instance?: string
  /** Whether to announce as master. True by default; false where the kernel's own master daemon does. */
  readonly announce?: boolean
  /** Its name among agents: random by default. */
  readonly id?: AgentId
  /** Brings messages instead of UDP. */
  readonly receiver?: ReceivingTransport
  /** Carries answers and what agents say instead of UDP: one channel. */
  readonly sender?: SendingTransport
  /** Carries what is brought to this kernel instead of UDP. */
  readonly bringer?: SendingTransport
  /** Carries what is announced as master instead of UDP. */
  readonly announcer?: SendingTransport
  /** Milliseconds since 1970: a stored table's age is counted by it. The system's by default. */
  readonly wallClock?: () => TimestampMs
}

/** What an {@link Agent} tells. */
export interface AgentEvents {
  /** The sockets are open. The argument says where, for a person. */
  listening: [description: string]
  /** It is ready, or not; and a line for a person. */
  status: [ready: boolean, text: string]
  /** keepalived gave this director another role. */
  role: [master: boolean]
  /** Something that a person should know, and that stops nothing. */
  notice: [event: NoticeEvent]
  /** A socket failed after the start. Where nobody listens for this, it passes. */
  error: [error: IpvsSyncError]
  /** Everything is closed. */
  close: []
}
