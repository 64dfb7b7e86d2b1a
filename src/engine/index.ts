/**
 * The engines: state machines without I/O. Pure.
 *
 * @module
 */
export type { BackupCounters } from './backup/counters.js'
export type { BackupEngineOptions, BackupSettings, ChangedTimeouts } from './backup/options.js'
export type { IgnoredSender, SenderReport } from './backup/senders.js'
export { BackupEngine } from './backup/backup.js'
export {
  createPolicy,
  decideSync,
  type DecisionReason,
  type Policy,
  type PolicySettings,
  type SyncDecision,
  type SyncSubject
} from './decide-sync.js'
export {
  EventQueue,
  type ConnectionEvent,
  type DroppedEvent,
  type EngineEvent,
  type From,
  type NoticeEvent,
  type ProblemEvent
} from './events.js'
export type { ChannelCounters, RecordWriter } from './master/channel.js'
export type { AnnouncementOutlets, TableAnnouncement } from './master/table-announcement.js'
export type { ConnectionChange, TemplateKey } from './master/connection-change.js'
export type { Datagram, Engine, Transmitter } from './engine.js'
export { BulkMessages, tableMessages, type BulkCounts, type BulkOptions } from './full-table/bulk-messages.js'
export { FullTableSender, type FullTableOptions, type FullTableProgress } from './full-table/full-table-sender.js'
export { paceFor, type Pace } from './full-table/pacer.js'
export {
  ANSWERS,
  type AnswerCode,
  type ChannelReport,
  type MasterAnswer,
  type MasterCounters
} from './master/counters.js'
export type { MasterEngineOptions, PacketDetails } from './master/options.js'
export type { MasterSettings } from './master/options.js'
export { MasterEngine } from './master/master.js'
