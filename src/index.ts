/**
 * ipvs-sync speaks Linux IPVS's connection-synchronisation protocol: the codecs of versions 0 and 1, a master and a
 * backup, and readers for captures.
 *
 * @module
 */
export {
  BackupEngine,
  type BackupCounters,
  type BackupEngineOptions,
  type BackupSettings,
  type SenderReport,
  decideSync,
  type DecisionReason,
  type PolicySettings,
  type SyncDecision,
  type SyncSubject,
  MasterEngine,
  type ConnectionChange,
  type ConnectionEvent,
  type DroppedEvent,
  type Engine,
  type EngineEvent,
  type NoticeEvent,
  type ProblemEvent,
  type MasterAnswer,
  type MasterCounters,
  type MasterEngineOptions,
  type MasterSettings
} from './engine/index.js'
export type {
  AnnouncementOutlets,
  AnswerCode,
  ChangedTimeouts,
  ChannelCounters,
  ChannelReport,
  Datagram,
  From,
  IgnoredSender,
  PacketDetails,
  RecordWriter,
  TableAnnouncement,
  TemplateKey,
  Transmitter
} from './engine/index.js'
export { Agent, type OwnSourceName } from './agent/agent.js'
export type { AgentRejection, RequesterReport, TransferState } from './agent/index.js'
export type { AgentMetrics, ByLabel } from './daemon/http/metrics.js'
export type { ContainedEmitter } from './daemon/runner.js'
export type { SealingOptions } from './daemon/sealing.js'
export type { KernelTableOptions } from './procfs/kernel-table.js'
export type { ServiceTimeouts } from './procfs/services.js'
export type { AgentEvents, AgentOptions } from './agent/options.js'
export type { AgentEvent, AgentId, AgentOutcome, AgentReport, AgentTimes, AgentPeer } from './agent/index.js'
export { SyncBackup, type SyncBackupEvents, type SyncBackupOptions } from './daemon/backup/sync-backup.js'
export { SyncMaster, type SyncMasterEvents, type SyncMasterOptions } from './daemon/master/sync-master.js'
export type { AnnounceOptions } from './daemon/master/announcer.js'
export type { Clock } from './daemon/clock.js'
export type { CloseOptions } from './daemon/lifecycle.js'
export type { SyncOptions } from './daemon/sync-options.js'
export type { Peer, UdpOptions } from './transport/udp-options.js'
export { UdpReceiver } from './transport/udp-receiver.js'
export { UdpSender } from './transport/udp-sender.js'
export {
  MemoryNetwork,
  MemoryTransport,
  type MemoryNetworkCounters,
  type MemoryNetworkOptions
} from './transport/memory.js'
export type { NetworkSystem } from './transport/system.js'
export type { FlagChecks } from './wire/constants.js'
export type {
  ChannelTransport,
  ReceivingTransport,
  SealReport,
  SendReport,
  Sender,
  SendingTransport,
  SequenceReport,
  Transport,
  TransportHandlers,
  TransportNotice
} from './transport/transport.js'
export { IpvsSyncError, type ErrorCode, type IpvsSyncErrorDetails } from './errors.js'
export { CAPTURE_PROBLEMS, CaptureReader, CaptureTime, readCapture } from './capture/index.js'
export { openCapture } from './files/capture-file.js'
export type {
  Capture,
  CaptureCounts,
  CapturedDatagram,
  CaptureFinding,
  CaptureItem,
  CaptureProblemCode,
  CaptureSource,
  Compression,
  Decompress,
  PortRange,
  ReadCaptureOptions,
  TunnelLayer
} from './capture/index.js'
export { parseSysctls, sysctlDefaults, type Sysctls } from './sysctl/index.js'
export {
  ConnectionTable,
  type ConnectionKey,
  type RunUpdate,
  type SlotRecords,
  type TableCount,
  type TableOptions,
  type UpsertOutcome,
  type WalkOptions
} from './table/connection-table.js'
export type { EntryDescription, EntryFields } from './table/entry-fields.js'
export type { RestoreTimes } from './table/packed-snapshot.js'
export type { SnapshotReport } from './table/snapshot.js'
export type { Bytes, Milliseconds, Seconds, TimestampMs } from './units.js'
export type * from './wire/connection.js'
export {
  decodeMessage,
  encodeMessage,
  encodeMessages,
  formatMessage,
  labelBytes,
  PROBLEMS,
  problemsOf,
  type DecodeOptions,
  type EncodeOptions,
  type EngineBytes,
  type FormatOptions,
  type LabelledBytes,
  type Problem,
  type ProblemCode,
  type ReadOptions,
  type Rows,
  type Severity,
  type SplitOptions
} from './wire/index.js'
