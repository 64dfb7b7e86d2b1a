/**
 * The engines: state machines without I/O. Pure.
 *
 * @module
 */
export { AgentEngine, type AgentReport, type KnownAgent } from './agent.js'
export type { AgentId } from './agent-message.js'
export type { AgentEngineOptions, AgentEvent, AgentOutcome, AgentTimes } from './agent-options.js'
export type { AskingReport } from './agent-asking.js'
export { LIST_MESSAGES, messageSum, type Piece } from './arrival-proof.js'
export type { BackupCounters } from './backup-counters.js'
export type { BackupEngineOptions, BackupSettings, ChangedTimeouts } from './backup-options.js'
export type { SenderReport } from './backup-senders.js'
export { BackupEngine } from './backup.js'
export { decideSync, type DecisionReason, type SyncDecision, type SyncSubject } from './decide-sync.js'
export {
  EventQueue,
  type ConnectionEvent,
  type DroppedEvent,
  type EngineEvent,
  type From,
  type NoticeEvent,
  type ProblemEvent
} from './events.js'
export type { RecordWriter } from './channel.js'
export type { ConnectionChange, TemplateKey } from './connection-change.js'
export type { Datagram } from './send-queue.js'
export {
  ANSWERS,
  type AnswerCode,
  type ChannelReport,
  type MasterAnswer,
  type MasterCounters
} from './master-counters.js'
export type { MasterEngineOptions, PacketDetails } from './master-options.js'
export type { MasterSettings } from './master-settings.js'
export type { MasterTable } from './master-table.js'
export { MasterEngine } from './master.js'
export { createPolicy, type Policy, type PolicySettings } from './policy.js'
