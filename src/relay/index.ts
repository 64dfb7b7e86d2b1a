/**
 * Relays between sites: one group's messages to others, byte for byte, over memory, UDP or NATS.
 *
 * @module
 */
export { decodeFrame, encodeFrame, SITE_NAME, type Frame, type FrameItem, type Origin } from './frame.js'
export type { Link, LinkHandlers, TableCarrier, TableReceipt } from './link.js'
export { MemoryHub, MemoryLink } from './memory-link.js'
export { NatsLink, type JetStreamClient, type NatsClient, type NatsLinkOptions } from './nats-link.js'
export type { NatsTables, NatsTablesOptions } from './nats-tables.js'
export {
  RelayEngine,
  type LinkShape,
  type RelayCounters,
  type RelayEngineOptions,
  type RelayTransmit
} from './relay-engine.js'
export { RelayTable, type RelayTableOptions } from './relay-table.js'
export type { Manifest, Position, TableContents } from './table-chunks.js'
export { Relay, type RelayEvents, type RelayOptions, type RelayReport } from './relay.js'
export { LINK_PORT, UdpLink, type UdpLinkOptions } from './udp-link.js'
