/**
 * The agent: full-table transfer between directors. The protocol's state machine is pure; {@link Agent} adds sockets, files
 * and the kernel.
 *
 * @module
 */
export { AgentEngine, type AgentReport } from './protocol/agent-engine.js'
export type { AgentId, Piece, ReceiveCapacity } from './protocol/messages.js'
export {
  AGENT_TIMES,
  type AgentEngineOptions,
  type AgentEvent,
  type AgentOutcome,
  type AgentRejection,
  type AgentTimes,
  type TableSource
} from './protocol/options.js'
export type { Peer as AgentPeer } from './protocol/peers.js'
export type { RequesterReport } from './protocol/requester.js'
export { LIST_MESSAGES, messageSum } from './protocol/arrival-proof.js'
export { Agent, type OwnSourceName } from './agent.js'
export type { TransferState } from './ready-file.js'
export type { AgentEvents, AgentOptions } from './options.js'
