/**
 * A model of the kernel's director: packets in, decisions and sync messages out. Pure.
 *
 * @module
 */
export { Connection, connectionValue } from './connection.js'
export type { DirectorOptions } from './director-options.js'
export { Director } from './director.js'
export type { OnAnnounce } from './announcer.js'
export type { EndCause, OnEnd } from './lifetimes.js'
export type { RawPacket } from '../capture/raw-packet.js'
export { FrameSource } from './frame-source.js'
export { FrameReader, type FrameInfo } from './frames.js'
export { Observer, type Marker, type ObserverCounts } from './observer.js'
export { parseMarks } from './marks.js'
export {
  REASONS,
  reasonText,
  type Outcome,
  type Reason,
  type ReasonText,
  type Rescheduled,
  type Verdict
} from './outcome.js'
export { foldWords, Packet, packetFromValue, type PacketValue } from './packet.js'
export type { Moment, Scheduler } from './schedulers.js'
export { Server, Service, type ServerOptions, type ServiceOptions } from './services.js'
export type { Timeouts } from './transitions.js'
