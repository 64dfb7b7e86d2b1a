/**
 * The largest message, where nobody set one.
 *
 * @module
 */

import { demandInteger } from '../demand.js'
import type { Bytes } from '../units.js'
import { MAX_PAYLOAD } from '../wire/constants.js'

/** What a kernel's backup takes at least, whatever it was told (docs/protocol.md section 1). */
const LEAST_OF_BACKUP = 1024

/** A largest message and where it comes from. */
export interface DefaultSyncMaxlen {
  /** UDP payload. */
  readonly bytes: Bytes
  /** For a person, at the start. */
  readonly reason: string
}

/** Ethernet's MTU, which the kernel takes for a master whatever the interface has (docs/protocol.md section 1). */
const KERNEL_MTU = 1500

/**
 * What a master sends at most: the kernel's 1472 or 1452, or what the interface carries unfragmented, whichever is less.
 * (A kernel does not look at the interface, and on a 1450-byte VXLAN sends every full message in two fragments.)
 *
 * @param family - Of the packets that carry the messages.
 * @param mtu - The interface's; undefined if it is not known.
 */
export function masterSyncMaxlen(family: 'ipv4' | 'ipv6', mtu: Bytes | undefined): DefaultSyncMaxlen {
  const kernel = KERNEL_MTU - packetHeaders(family)
  if (mtu === undefined || mtu >= KERNEL_MTU) return { bytes: kernel, reason: `the kernel's default, ${kernel} bytes` }
  // Below the least MTU of either family nothing can be sent anyway; one whole IPv6 connection must fit.
  const bytes = Math.max(mtu - packetHeaders(family), 80)
  return { bytes, reason: `${bytes} bytes, what the interface's MTU of ${mtu} bytes carries unfragmented` }
}

/**
 * What a backup takes at most: the interface's MTU, held to 1500…65535, less the headers.
 *
 * @param family - Of the packets that carry the messages.
 * @param mtu - The interface's; undefined if it is not known.
 */
export function backupSyncMaxlen(family: 'ipv4' | 'ipv6', mtu: Bytes | undefined): DefaultSyncMaxlen {
  const held = Math.min(Math.max(mtu ?? KERNEL_MTU, KERNEL_MTU), 65535)
  const bytes = held - packetHeaders(family)
  return { bytes, reason: `${bytes} bytes, from an MTU of ${held} bytes` }
}

/**
 * What a backup takes at most where it was told: no less than 1024 bytes, as a kernel's.
 *
 * @param given - 1…65507.
 * @throws IpvsSyncError `ERR_CONFIG`.
 */
export function heldSyncMaxlen(given: Bytes): Bytes {
  demandInteger('sync_maxlen', given, 1, MAX_PAYLOAD)
  return Math.max(given, LEAST_OF_BACKUP)
}

/** Length of a packet's IP and UDP headers. */
export function packetHeaders(family: 'ipv4' | 'ipv6'): Bytes {
  return (family === 'ipv4' ? 20 : 40) + 8
}
