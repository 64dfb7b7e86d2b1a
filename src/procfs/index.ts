/**
 * What the running kernel shows of IPVS under /proc.
 *
 * @module
 */
export { Completer, type Assumption, type Completed, type Unsendable } from './complete.js'
export { connectionParser, isConnectionHeader, type ConnectionParser, type ProcConnection } from './connection-line.js'
export { KernelFollower, type FollowReason } from './follower.js'
export {
  completeLines,
  createNotes,
  explainNotes,
  readKernelTable,
  type KernelTableNotes,
  type KernelTableOptions
} from './kernel-table.js'
export { readLines, readProcLines } from './lines.js'
export { CONNECTIONS_FILE, readConnections } from './read-connections.js'
export { readLiveSysctls, SYSCTL_FOLDER, type LiveSysctls } from './read-sysctls.js'
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
export type { UnreadableLine, UnreadableLines } from './unreadable.js'
export { CONN_SYNC_HEADER, connSyncLine, connSyncLines, type ConnSyncFields } from './write-connections.js'
