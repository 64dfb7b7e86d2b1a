/**
 * Counters in the form that Prometheus reads.
 *
 * @module
 */

import { Counter, Gauge, Registry } from 'prom-client'
import type { SealReport, SequenceReport } from '../../transport/transport.js'

/** A number for each value of a label. */
export type ByLabel = Readonly<Record<string, number>>

/** What a master contributes. Arrays are by channel. */
export interface MasterMetrics {
  /** Messages that at least one peer took, as far as is known. */
  readonly sent: readonly number[]
  /** Messages that no peer took. */
  readonly undelivered: readonly number[]
  /** Failed sends by peer. */
  readonly sendErrors: ByLabel
  /** Closed messages that wait now. */
  readonly queueLength: readonly number[]
  /** Messages lost because the queue was full. */
  readonly queueDropped: readonly number[]
}

/** What a backup contributes. */
export interface BackupMetrics {
  /** Datagrams that arrived, by channel, then by version: `[[v0, v1], …]`. */
  readonly received: readonly (readonly [number, number])[]
  /** Messages dropped, whole or from some point on, by reason. */
  readonly dropped: ByLabel
  /** Connections created, updated or replaced. */
  readonly applied: number
  /** Connections skipped, by reason. */
  readonly skipped: ByLabel
  /** Messages to ports beyond sync_ports. */
  readonly beyondPorts: number
  /** Senders of the last 30 s. */
  readonly senders: number
  /** Seconds since the last message, by sender's address. */
  readonly age: ByLabel
  /** Datagrams that the receive buffers had no room for; undefined where the system does not tell. */
  readonly socketDrops: number | undefined
  /** Whether this director may hand out packets: not with `backup_only`. */
  readonly directing: boolean
  /** Counts of sealed messages; undefined without keys. */
  readonly seals?: SealReport | undefined
}

/** Connections in the table. */
export interface TableMetrics {
  readonly protocol: string
  readonly origin: 'LOCAL' | 'SYNC'
  readonly connections: number
}

/** Data of an agent. */
export interface AgentMetrics {
  readonly ready: boolean
  /** Whether it announces as master. */
  readonly announcing: boolean
  /** 1 for the current outcome, 0 for the others. */
  readonly outcome: ByLabel
  /** Other agents that are present. */
  readonly peers: number
  readonly tablesSent: number
  readonly tablesReceived: number
  /** Messages of other agents that had no effect, by reason. */
  readonly rejected: ByLabel
  /** Connections in the kernel's table, and seconds that its last read took; undefined before the first read. */
  readonly kernelConnections: number | undefined
  readonly kernelReadSeconds: number | undefined
  /** Part of it that the kernel took; seconds since the last complete read, and its Unix time. */
  readonly kernelReadSystemSeconds: number | undefined
  readonly kernelReadAgeSeconds: number | undefined
  readonly kernelReadSuccess: number | undefined
  /** 1 for the current source of the own kernel's connections, 0 for the others; undefined without a kernel's table. */
  readonly ownSource: ByLabel | undefined
  /** What the own kernel's master announced, and when some of it may have been missed; undefined if it is not received. */
  readonly ownMessages: number | undefined
  readonly ownConnections: number | undefined
  readonly ownGaps: number | undefined
  readonly ownDrops: number | undefined
  /** The table that is being received; undefined if none is. */
  readonly transferReceived: number | undefined
  readonly transferExpected: number | undefined
  readonly transferRate: number | undefined
  readonly transferRemainingSeconds: number | undefined
  /** Seconds since the stored table was saved; undefined without a stored table. */
  readonly storeAgeSeconds: number | undefined
}

/** Everything at one moment. */
export interface MetricsSnapshot {
  readonly master?: MasterMetrics
  readonly backup?: BackupMetrics
  readonly agent?: AgentMetrics
  /** Notices, by code. */
  readonly notices?: ByLabel
  /** Ceiling of the tables; undefined where it is not known. */
  readonly tableLimit?: number
  readonly table: readonly TableMetrics[]
}

/** One metric: what it is called, which labels it has, and how to fill it. */
interface Definition {
  readonly name: string
  readonly help: string
  readonly type: typeof Counter | typeof Gauge
  readonly labels: readonly string[]
  readonly samples: (now: MetricsSnapshot) => readonly Sample[]
}

interface Sample {
  readonly labels: Readonly<Record<string, string | number>>
  readonly value: number
}

const DEFINITIONS: readonly Definition[] = [
  {
    name: 'ipvs_sync_messages_received_total',
    help: 'Datagrams received, by channel and protocol version.',
    type: Counter,
    labels: ['channel', 'version'],
    samples: ({ backup }) =>
      (backup?.received ?? []).flatMap((versions, channel) =>
        versions.map((value, version) => ({ labels: { channel, version }, value }))
      )
  },
  {
    name: 'ipvs_sync_messages_dropped_total',
    help: 'Messages dropped, whole or from some point on, by reason.',
    type: Counter,
    labels: ['reason'],
    samples: ({ backup }) => byLabel('reason', backup?.dropped)
  },
  {
    name: 'ipvs_sync_connections_applied_total',
    help: 'Connections of messages that changed the table.',
    type: Counter,
    labels: [],
    samples: ({ backup }) => single(backup?.applied)
  },
  {
    name: 'ipvs_sync_connections_skipped_total',
    help: 'Connections of messages that were skipped, by reason.',
    type: Counter,
    labels: ['reason'],
    samples: ({ backup }) => byLabel('reason', backup?.skipped)
  },
  {
    name: 'ipvs_sync_messages_sent_total',
    help: 'Messages sent, by channel; those that no peer took are not counted.',
    type: Counter,
    labels: ['channel'],
    samples: ({ master }) => byChannel(master?.sent)
  },
  {
    name: 'ipvs_sync_send_errors_total',
    help: 'Messages that the system or a peer refused, by peer (or group).',
    type: Counter,
    labels: ['peer'],
    samples: ({ master }) => byLabel('peer', master?.sendErrors)
  },
  {
    name: 'ipvs_sync_messages_undelivered_total',
    help: 'Messages that no peer took, by channel.',
    type: Counter,
    labels: ['channel'],
    samples: ({ master }) => byChannel(master?.undelivered)
  },
  {
    name: 'ipvs_sync_queue_length',
    help: 'Closed messages that wait to be sent, by channel.',
    type: Gauge,
    labels: ['channel'],
    samples: ({ master }) => byChannel(master?.queueLength)
  },
  {
    name: 'ipvs_sync_queue_dropped_total',
    help: 'Messages lost because sync_qlen_max was reached, by channel.',
    type: Counter,
    labels: ['channel'],
    samples: ({ master }) => byChannel(master?.queueDropped)
  },
  {
    name: 'ipvs_sync_table_connections',
    help: 'Connections in the table, by protocol and origin.',
    type: Gauge,
    labels: ['protocol', 'origin'],
    samples: ({ table }) =>
      table.map(({ protocol, origin, connections }) => ({ labels: { protocol, origin }, value: connections }))
  },
  {
    name: 'ipvs_sync_table_limit',
    help: 'Maximum number of connections in the table.',
    type: Gauge,
    labels: [],
    samples: ({ tableLimit }) => single(tableLimit)
  },
  {
    name: 'ipvs_sync_notices_total',
    help: 'Notices of the log, by code.',
    type: Counter,
    labels: ['code'],
    samples: ({ notices }) => byLabel('code', notices)
  },
  {
    name: 'ipvs_sync_messages_beyond_ports_total',
    help: 'Messages of our syncid to ports beyond sync_ports, which are not received.',
    type: Counter,
    labels: [],
    samples: ({ backup }) => single(backup?.beyondPorts)
  },
  {
    name: 'ipvs_sync_senders',
    help: 'Senders whose last message is less than 30 s old.',
    type: Gauge,
    labels: [],
    samples: ({ backup }) => single(backup?.senders)
  },
  {
    name: 'ipvs_sync_last_message_seconds',
    help: 'Seconds since the last message of each known sender.',
    type: Gauge,
    labels: ['sender'],
    samples: ({ backup }) => byLabel('sender', backup?.age)
  },
  {
    name: 'ipvs_sync_socket_drops_total',
    help: 'Datagrams that the receive buffers had no room for, by the kernel’s own count.',
    type: Counter,
    labels: [],
    samples: ({ backup }) => single(backup?.socketDrops)
  },
  {
    name: 'ipvs_sync_directing',
    help: 'Whether this director may hand out packets: 0 while it is a backup with backup_only set.',
    type: Gauge,
    labels: [],
    samples: ({ backup }) => single(backup && Number(backup.directing))
  },
  {
    name: 'ipvs_sync_seal_messages_total',
    help: 'Messages by verdict on their signature. Needs --key-file.',
    type: Counter,
    labels: ['verdict'],
    samples: ({ backup }) => byLabel('verdict', backup?.seals?.verdicts)
  },
  {
    name: 'ipvs_sync_seal_missing',
    help: 'Signed messages that are missing now, by sender and channel.',
    type: Gauge,
    labels: ['sender', 'channel'],
    samples: ({ backup }) => bySequence(backup?.seals, 'missing')
  },
  {
    name: 'ipvs_sync_seal_reordered_total',
    help: 'Signed messages that arrived behind a later one, by sender and channel.',
    type: Counter,
    labels: ['sender', 'channel'],
    samples: ({ backup }) => bySequence(backup?.seals, 'reordered')
  },
  {
    name: 'ipvs_sync_seal_duplicates_total',
    help: 'Signed messages that arrived again, by sender and channel.',
    type: Counter,
    labels: ['sender', 'channel'],
    samples: ({ backup }) => bySequence(backup?.seals, 'duplicates')
  },
  {
    name: 'ipvs_sync_seal_requests_total',
    help: 'Requests for the retransmission of missing messages.',
    type: Counter,
    labels: [],
    samples: ({ backup }) => single(backup?.seals?.requests)
  },
  {
    name: 'ipvs_sync_seal_repaired_total',
    help: 'Missing messages that a retransmission brought.',
    type: Counter,
    labels: [],
    samples: ({ backup }) => single(backup?.seals?.repaired)
  },
  {
    name: 'ipvs_sync_seal_lost_total',
    help: 'Missing messages that are no longer requested.',
    type: Counter,
    labels: [],
    samples: ({ backup }) => single(backup?.seals?.lost)
  },
  {
    name: 'ipvs_sync_agent_ready',
    help: 'Whether this director may take over.',
    type: Gauge,
    labels: [],
    samples: ({ agent }) => single(agent && Number(agent.ready))
  },
  {
    name: 'ipvs_sync_agent_announcing',
    help: 'Whether the agent announces connections as master.',
    type: Gauge,
    labels: [],
    samples: ({ agent }) => single(agent && Number(agent.announcing))
  },
  {
    name: 'ipvs_sync_agent_outcome',
    help: 'Why the agent is ready: 1 for the current outcome, 0 for the others.',
    type: Gauge,
    labels: ['outcome'],
    samples: ({ agent }) => byLabel('outcome', agent?.outcome)
  },
  {
    name: 'ipvs_sync_agent_peers',
    help: 'Other agents that are present.',
    type: Gauge,
    labels: [],
    samples: ({ agent }) => single(agent?.peers)
  },
  {
    name: 'ipvs_sync_agent_tables_sent_total',
    help: 'Full tables sent to other agents.',
    type: Counter,
    labels: [],
    samples: ({ agent }) => single(agent?.tablesSent)
  },
  {
    name: 'ipvs_sync_agent_tables_received_total',
    help: 'Full tables received from other agents.',
    type: Counter,
    labels: [],
    samples: ({ agent }) => single(agent?.tablesReceived)
  },
  {
    name: 'ipvs_sync_agent_rejections_total',
    help: 'Messages of other agents that had no effect, by reason.',
    type: Counter,
    labels: ['reason'],
    samples: ({ agent }) => byLabel('reason', agent?.rejected)
  },
  {
    name: 'ipvs_sync_agent_kernel_connections',
    help: 'Connections in the kernel’s table at its last read.',
    type: Gauge,
    labels: [],
    samples: ({ agent }) => single(agent?.kernelConnections)
  },
  {
    name: 'ipvs_sync_agent_kernel_read_seconds',
    help: 'Duration of the last read of the kernel’s table.',
    type: Gauge,
    labels: [],
    samples: ({ agent }) => single(agent?.kernelReadSeconds)
  },
  {
    name: 'ipvs_sync_agent_kernel_read_system_seconds',
    help: 'Part of the last read of the kernel’s table that the kernel took.',
    type: Gauge,
    labels: [],
    samples: ({ agent }) => single(agent?.kernelReadSystemSeconds)
  },
  {
    name: 'ipvs_sync_agent_kernel_read_age_seconds',
    help: 'Seconds since the last complete read of the kernel’s table.',
    type: Gauge,
    labels: [],
    samples: ({ agent }) => single(agent?.kernelReadAgeSeconds)
  },
  {
    name: 'ipvs_sync_agent_kernel_read_success_timestamp_seconds',
    help: 'Unix time of the last complete read of the kernel’s table.',
    type: Gauge,
    labels: [],
    samples: ({ agent }) => single(agent?.kernelReadSuccess)
  },
  {
    name: 'ipvs_sync_agent_own_source',
    help: 'Source of the own kernel’s connections: 1 for the current one, 0 for the others.',
    type: Gauge,
    labels: ['source'],
    samples: ({ agent }) => byLabel('source', agent?.ownSource)
  },
  {
    name: 'ipvs_sync_agent_own_messages_total',
    help: 'Messages received of the own kernel’s master.',
    type: Counter,
    labels: [],
    samples: ({ agent }) => single(agent?.ownMessages)
  },
  {
    name: 'ipvs_sync_agent_own_connections_total',
    help: 'Connections received of the own kernel’s master.',
    type: Counter,
    labels: [],
    samples: ({ agent }) => single(agent?.ownConnections)
  },
  {
    name: 'ipvs_sync_agent_own_gaps_total',
    help: 'Times at which announcements of the own kernel’s master may have been missed.',
    type: Counter,
    labels: [],
    samples: ({ agent }) => single(agent?.ownGaps)
  },
  {
    name: 'ipvs_sync_agent_own_dropped_total',
    help: 'Datagrams of the own kernel’s master that this host lost.',
    type: Counter,
    labels: [],
    samples: ({ agent }) => single(agent?.ownDrops)
  },
  {
    name: 'ipvs_sync_agent_transfer_received_connections',
    help: 'Connections received of the table that another agent is sending.',
    type: Gauge,
    labels: [],
    samples: ({ agent }) => single(agent?.transferReceived)
  },
  {
    name: 'ipvs_sync_agent_transfer_expected_connections',
    help: 'Connections of the table that another agent is sending.',
    type: Gauge,
    labels: [],
    samples: ({ agent }) => single(agent?.transferExpected)
  },
  {
    name: 'ipvs_sync_agent_transfer_rate',
    help: 'Connections received a second of the table that another agent is sending.',
    type: Gauge,
    labels: [],
    samples: ({ agent }) => single(agent?.transferRate)
  },
  {
    name: 'ipvs_sync_agent_transfer_remaining_seconds',
    help: 'Estimated seconds until the table is received.',
    type: Gauge,
    labels: [],
    samples: ({ agent }) => single(agent?.transferRemainingSeconds)
  },
  {
    name: 'ipvs_sync_agent_store_age_seconds',
    help: 'Seconds since the stored table was saved.',
    type: Gauge,
    labels: [],
    samples: ({ agent }) => single(agent?.storeAgeSeconds)
  }
]

/** The metrics of one process. */
export interface Metrics {
  /** The media type of {@link Metrics.text}. */
  readonly contentType: string
  /** All metrics now, in Prometheus's text form. */
  text(): Promise<string>
}

/**
 * Makes the metrics. They have a registry of their own: nothing global is touched.
 *
 * @param snapshot - Asked once at each reading.
 */
export function createMetrics(snapshot: () => MetricsSnapshot): Metrics {
  const registry = new Registry()
  let now: MetricsSnapshot = { table: [] }
  for (const { name, help, type: Metric, labels, samples } of DEFINITIONS) {
    new Metric({
      name,
      help,
      labelNames: [...labels],
      registers: [registry],
      collect() {
        this.reset()
        // A metric without labels starts at 0 in prom-client; one that is not known is left out by having no sample.
        if (labels.length === 0) this.remove()
        for (const sample of samples(now)) this.inc(sample.labels, sample.value)
      }
    })
  }
  return {
    contentType: registry.contentType,
    text() {
      now = snapshot()
      return registry.metrics()
    }
  }
}

function byLabel(label: string, values: ByLabel = {}): Sample[] {
  return Object.entries(values).map(([name, value]) => ({ labels: { [label]: name }, value }))
}

function bySequence(seals: SealReport | undefined, count: 'missing' | 'reordered' | 'duplicates'): Sample[] {
  const sample = ({ sender, channel, [count]: value }: SequenceReport): Sample => ({
    labels: { sender, channel },
    value
  })
  return (seals?.sequences ?? []).map(sample)
}

function byChannel(values: readonly number[] = []): Sample[] {
  return values.map((value, channel) => ({ labels: { channel }, value }))
}

function single(value: number | undefined): Sample[] {
  return value === undefined ? [] : [{ labels: {}, value }]
}
