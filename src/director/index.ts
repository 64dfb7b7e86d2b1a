/**
 * A model of the kernel's director: packets in, decisions and sync messages out. Pure.
 *
 * @module
 */
export { Connection, connectionValue } from './connection.js'
export { Director, type DirectorOptions } from './director.js'
export type { OnAnnounce } from './announcer.js'
export type { EndCause, OnEnd } from './lifetimes.js'
export { FrameSource } from './frame-source.js'
export { FrameReader, type FrameInfo } from './frames.js'
export { Observer, type Marker, type ObserverCounts } from './observer.js'
export { parseMarks } from './marks.js'
export { REASONS, reasonText, type Outcome, type Reason, type Rescheduled, type Verdict } from './outcome.js'
export { foldWords, Packet, packetFromValue, type PacketValue } from './packet.js'
export { Server, Service, type ServerOptions, type ServiceOptions } from './services.js'
export type { Timeouts } from './transitions.js'
