/**
 * Which sync roles run on this host, by its sockets and the kernel's daemons.
 *
 * @module
 */

import { valueOf, type Facts, type KernelDaemon, type SocketFacts } from './facts.js'

/** Returns the kernel's sync daemons, where they can be read. */
export function kernelDaemonsOf({ ipvs }: Facts): readonly KernelDaemon[] {
  const facts = valueOf(ipvs)
  return facts === undefined ? [] : (valueOf(facts.daemons) ?? [])
}

/** Returns the sockets that receive sync messages: bound to the base port, and connected to nothing. */
export function receiversOf({ sockets, wanted }: Facts): readonly SocketFacts[] {
  return (valueOf(sockets) ?? []).filter(({ port, remotePort }) => port === wanted.port && remotePort === 0)
}

/** Whether a socket of this host, or a kernel daemon, sends sync messages. */
export function isSending(facts: Facts): boolean {
  const { sockets, wanted } = facts
  const targets = [wanted.group, ...wanted.peers]
  return (
    kernelDaemonsOf(facts).some(({ role }) => role === 'master') ||
    (valueOf(sockets) ?? []).some(({ remote, remotePort }) => remotePort === wanted.port && targets.includes(remote))
  )
}

/** Whether a socket of this host, or a kernel daemon, receives sync messages. */
export function isReceiving(facts: Facts): boolean {
  return receiversOf(facts).length > 0 || kernelDaemonsOf(facts).some(({ role }) => role === 'backup')
}
