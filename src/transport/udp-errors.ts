/**
 * Errors of sockets, with what an administrator can do about them.
 *
 * @module
 */

import { IpvsSyncError, type ErrorCode } from '../errors.js'

interface Explanation {
  readonly code: ErrorCode
  readonly advice: string
  /** Advice where a multicast group is concerned, if it differs. */
  readonly group?: string
}

const EXPLANATIONS: Readonly<Record<string, Explanation>> = {
  EADDRINUSE: {
    code: 'ERR_ADDRESS_IN_USE',
    advice:
      'the port is taken by a program that does not share it: stop it (ss -lnptu shows it), or choose another port'
  },
  EADDRNOTAVAIL: { code: 'ERR_INTERFACE', advice: 'this host does not have that address now' },
  ENODEV: {
    code: 'ERR_INTERFACE',
    advice: 'the interface does not exist any more',
    group: 'the interface does not exist any more, or carries no multicast'
  },
  ENOBUFS: {
    code: 'ERR_TRANSPORT',
    advice: 'the system is out of buffers',
    group: 'the system is out of buffers, or net.ipv4.igmp_max_memberships is reached'
  },
  ENOMEM: { code: 'ERR_TRANSPORT', advice: 'the system is out of memory' },
  EMFILE: { code: 'ERR_TRANSPORT', advice: 'this process has too many open files; raise its limit (ulimit -n)' },
  ENFILE: { code: 'ERR_TRANSPORT', advice: 'the system has too many open files; raise fs.file-max' },
  EPERM: { code: 'ERR_TRANSPORT', advice: 'a firewall rule of this host refuses it' },
  EMSGSIZE: { code: 'ERR_TRANSPORT', advice: 'the message is larger than the network takes: lower sync_maxlen' },
  ECONNREFUSED: {
    code: 'ERR_TRANSPORT',
    advice: 'no program listens there: start the backup, or check its --mcast-port'
  },
  EHOSTUNREACH: { code: 'ERR_TRANSPORT', advice: 'the host does not answer: is it up, and on this link?' },
  ENETUNREACH: {
    code: 'ERR_TRANSPORT',
    advice: 'no route to it: see ip route get',
    group: 'no route: multicast needs an address on the interface, or a route to the group'
  },
  EAFNOSUPPORT: { code: 'ERR_TRANSPORT', advice: 'this host does not have that address family' }
}

/** Advice for EACCES, by system call: binding is refused for a port's number, sending for a route or policy. */
const DENIED: Readonly<Record<string, string>> = {
  bind: 'ports below 1024 need CAP_NET_BIND_SERVICE',
  send: 'a route (prohibit) or a security policy of this host refuses it',
  connect: 'a route (prohibit) or a security policy of this host refuses it'
}

/** How {@link explainSocketError} explains. */
export interface SocketErrorContext {
  /** Code of an error that is not known here. */
  readonly fallback?: ErrorCode
  /** What the socket sends to or receives from. */
  readonly to?: 'group' | 'peer'
}

/**
 * Explains a socket's error.
 *
 * @param doing - What failed, as the start of a sentence: `listening on 224.0.0.81:8848`.
 * @param cause - What the socket threw or emitted.
 */
export function explainSocketError(
  doing: string,
  cause: unknown,
  { fallback = 'ERR_TRANSPORT', to = 'peer' }: SocketErrorContext = {}
): IpvsSyncError {
  const code = errorCodeOf(cause)
  const syscall = (cause as NodeJS.ErrnoException | null | undefined)?.syscall ?? 'bind'
  const known = EXPLANATIONS[code]
  const advice = code === 'EACCES' ? DENIED[syscall] : ((to === 'group' ? known?.group : undefined) ?? known?.advice)
  const text = cause instanceof Error ? cause.message : String(cause)
  return new IpvsSyncError(known?.code ?? fallback, `${doing}: ${text}${advice === undefined ? '' : `: ${advice}`}`, {
    cause
  })
}

/** Returns the system's code (`EADDRINUSE`), or an empty text. */
export function errorCodeOf(cause: unknown): string {
  return cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : ''
}
