/**
 * The sockets of a role, sealed where it has keys.
 *
 * @module
 */

import { IpvsSyncError } from '../errors.js'
import { nodeSystem, type NetworkSystem } from '../transport/system.js'
import type { ReceivingTransport, SendingTransport } from '../transport/transport.js'
import type { UdpOptions } from '../transport/udp-options.js'
import { UdpReceiver } from '../transport/udp-receiver.js'
import { UdpSender } from '../transport/udp-sender.js'
import { readKeyFile, type KeyRing } from '../trust/keys.js'
import { SealedReceiver } from '../trust/sealed-receiver.js'
import { SEAL_OVERHEAD, SealedSender } from '../trust/sealed-sender.js'
import { Sealer } from '../trust/sealer.js'
import { REPAIR_OFFERED } from '../trust/trailer.js'
import { Verifier } from '../trust/verifier.js'
import type { Bytes } from '../units.js'
import { systemClock, type Clock } from './clock.js'

/** Keys of a role, and what they are used for. */
export interface SealingOptions {
  /** File of keys: the first signs what is sent, all verify what is received. `ipvs-sync key` creates one. */
  readonly keyFile?: string
  /** Drops what is unsigned or signed with an unknown key. False by default: such messages are applied and reported. */
  readonly requireKey?: boolean
}

/** Where sockets come from. */
export interface SocketParts {
  readonly udp: UdpOptions
  /** 0…255; written into requests for repair. */
  readonly syncid: number
  readonly system?: NetworkSystem | undefined
  readonly clock?: Clock | undefined
  /** Milliseconds since 1970. The system's clock by default. */
  readonly wallClock?: (() => number) | undefined
  /** Seals what this role sends, where a receiver and a sender are one participant. A new one by default. */
  readonly sealer?: Sealer | undefined
  /** The group's channel that this receiver's first port is. 0 by default. */
  readonly firstChannel?: number
}

/**
 * Returns the bytes that sealing takes from a message's maximum length.
 *
 * @throws IpvsSyncError `ERR_CONFIG` for `requireKey` without a key file.
 */
export function sealOverhead({ keyFile, requireKey }: SealingOptions): Bytes {
  if (requireKey === true && keyFile === undefined)
    throw new IpvsSyncError('ERR_CONFIG', 'requireKey: expected keyFile beside it, got undefined', { field: 'keyFile' })
  return keyFile === undefined ? 0 : SEAL_OVERHEAD
}

/**
 * Creates the sender of a role.
 *
 * @param repairs - Keeps what is sent and repeats it on request: in a multicast group only, where requests arrive.
 * @throws IpvsSyncError `ERR_CONFIG` for a key file that cannot be used.
 */
export function createSender(options: SealingOptions, parts: SocketParts, repairs: boolean): SendingTransport {
  const { udp, syncid, system = nodeSystem, clock = systemClock } = parts
  const sender = new UdpSender(udp, system)
  if (options.keyFile === undefined) return sender
  const keys = readKeyFile(options.keyFile)
  const offersRepair = repairs && isMulticast(udp)
  const sealer = parts.sealer ?? createSealer(keys, parts.wallClock, offersRepair ? REPAIR_OFFERED : 0)
  if (!offersRepair) return new SealedSender(sender, { sealer, syncid, clock })
  const receiver = new UdpReceiver({ ...udp, channels: 1 }, system)
  return new SealedSender(sender, { sealer, syncid, clock, repair: { receiver, verifier: verifierOf(keys, parts) } })
}

/**
 * Creates the receiver of a role.
 *
 * @throws IpvsSyncError `ERR_CONFIG` for a key file that cannot be used.
 */
export function createReceiver(options: SealingOptions, parts: SocketParts): ReceivingTransport {
  const { udp, syncid, system = nodeSystem, clock = systemClock, firstChannel = 0 } = parts
  const receiver = new UdpReceiver(udp, system)
  sealOverhead(options)
  if (options.keyFile === undefined) return receiver
  const keys = readKeyFile(options.keyFile)
  return new SealedReceiver(receiver, {
    verifier: verifierOf(keys, parts),
    requireKey: options.requireKey === true,
    syncid,
    clock,
    firstChannel,
    ...(isMulticast(udp) && {
      repair: {
        // Requests go to the group's first port, where every sender that repairs listens.
        sender: new UdpSender(
          { ...udp, ...(udp.mcastPort !== undefined && { mcastPort: udp.mcastPort - firstChannel }), channels: 1 },
          system
        ),
        sealer: parts.sealer ?? createSealer(keys, parts.wallClock)
      }
    })
  })
}

function isMulticast({ peers = [] }: UdpOptions): boolean {
  return peers.length === 0
}

function verifierOf(keys: KeyRing, { wallClock }: SocketParts): Verifier {
  return new Verifier({ keys, ...(wallClock !== undefined && { wallClock }) })
}

/** Creates the sealer of a participant, which draws its id. */
export function createSealer(keys: KeyRing, wallClock: (() => number) | undefined, flags = 0): Sealer {
  return new Sealer({ key: keys.signing, flags, ...(wallClock !== undefined && { wallClock }) })
}
