/**
 * The engines: state machines without I/O. Pure.
 *
 * @module
 */
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
export { createPolicy, type Policy, type PolicySettings } from './policy.js'
