/**
 * The agent: full-table transfer between directors. The protocol's state machine is pure; {@link Agent} adds sockets, files and the kernel.
 *
 * @module
 */
export { AgentEngine, type AgentReport, type KnownAgent } from './protocol/agent-engine.js'
export type { AgentId } from './protocol/messages.js'
export type { AgentEngineOptions, AgentEvent, AgentOutcome, AgentTimes } from './protocol/options.js'
export type { AskingReport } from './protocol/requester.js'
export { LIST_MESSAGES, messageSum, type Piece } from './protocol/arrival-proof.js'
export { Agent } from './agent.js'
export type { AgentEvents, AgentOptions } from './options.js'
