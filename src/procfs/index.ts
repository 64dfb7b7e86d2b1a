/**
 * What the running kernel shows of IPVS under /proc.
 *
 * @module
 */
export { FOLLOW_REASON, KernelFollower } from './follower.js'
export {
  CONNECTIONS_FILE,
  createReport,
  describeReport,
  readConnectionCount,
  readKernelTable,
  type KernelTableOptions,
  type KernelTableReading,
  type TableReport
} from './kernel-table.js'
export { findKernelTicks, TicksEstimate, USUAL_TICKS } from './kernel-clock.js'
export { readLines } from './lines.js'
export { LookPlan, type Look, type LookVerdict } from './look-plan.js'
export { readLiveSysctls, SYSCTL_FOLDER, type LiveSysctls } from './read-sysctls.js'
export { readTableFile, readTableStream, type ReadingTime } from './read-table.js'
export { RowCompleter, type Assumption, type CompletionSource, type Unsendable } from './row-completer.js'
export {
  parseServices,
  readKernelServices,
  readServices,
  SERVICES_FILE,
  type Persistence,
  type RealServer,
  type Service,
  type ServiceList,
  type ServiceTimeouts
} from './services.js'
export { MARK, TABLE_ROW, TableReader } from './table-reader.js'
export type { UnreadableLine, UnreadableLines } from './unreadable.js'
export { CONN_SYNC_HEADER, connSyncLine, connSyncLines, type ConnSyncFields } from './write-connections.js'
