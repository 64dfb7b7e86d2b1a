/**
 * What the UDP transports ask of the system, in one place, so that a test can be the system.
 *
 * @module
 */

import { createSocket, type Socket, type SocketOptions } from 'node:dgram'
import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { networkInterfaces, type NetworkInterfaceInfo } from 'node:os'
import type { Milliseconds } from '../units.js'

/** The system's network, as far as a transport uses it. */
export interface NetworkSystem {
  /** `dgram.createSocket`. */
  createSocket(options: SocketOptions): Socket
  /** `os.networkInterfaces`: only interfaces that are up, with their addresses. */
  interfaces(): Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>
  /** A file below /proc or /sys; undefined if it cannot be read. */
  readText(path: string): string | undefined
  /** Inode numbers of this process's sockets, as `/proc/net/udp` prints them; empty where the system does not tell. */
  socketInodes(): ReadonlySet<string>
  /** Calls back again and again without keeping the process alive; the function that it returns ends it. */
  every(interval: Milliseconds, callback: () => void): () => void
}

/** The real one: Node's own modules. */
export const nodeSystem: NetworkSystem = {
  createSocket: (options) => createSocket(options),
  interfaces: () => networkInterfaces(),
  readText: (path) => attempt(() => readFileSync(path, 'utf8')),
  socketInodes: () => inodesBelow('/proc/self/fd'),
  every(interval, callback) {
    const timer = setInterval(callback, interval)
    timer.unref()
    return () => clearInterval(timer)
  }
}

/**
 * Reads the socket inodes of a descriptor folder: links of the form `socket:[12345]`.
 *
 * @param folder - `/proc/self/fd`; a folder that cannot be read gives an empty set.
 */
export function inodesBelow(folder: string): ReadonlySet<string> {
  const names = attempt(() => readdirSync(folder)) ?? []
  // A descriptor can be closed between the listing and the look at it.
  const targets = names.map((name) => attempt(() => readlinkSync(`${folder}/${name}`)) ?? '')
  return new Set(targets.flatMap((target) => /^socket:\[(\d+)\]$/.exec(target)?.[1] ?? []))
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
