/**
 * From what a socket says to what its user can do about it.
 *
 * @module
 */

import { IpvsSyncError, type ErrorCode } from '../errors.js'

interface Explanation {
  readonly code: ErrorCode
  readonly advice: string
}

const EXPLANATIONS: Readonly<Record<string, Explanation>> = {
  EADDRINUSE: {
    code: 'ERR_ADDRESS_IN_USE',
    advice:
      'the port is taken by a program that does not share it: stop it (ss -lnptu shows it), or choose another port'
  },
  EADDRNOTAVAIL: { code: 'ERR_INTERFACE', advice: 'this host does not have that address now' },
  ENODEV: { code: 'ERR_INTERFACE', advice: 'the interface is gone, or carries no multicast' },
  ENOBUFS: {
    code: 'ERR_TRANSPORT',
    advice: 'the system is out of buffers, or net.ipv4.igmp_max_memberships is reached'
  },
  EACCES: { code: 'ERR_TRANSPORT', advice: 'ports below 1024 need CAP_NET_BIND_SERVICE' },
  EMFILE: { code: 'ERR_TRANSPORT', advice: 'this process has too many open files; raise its limit (ulimit -n)' },
  ENFILE: { code: 'ERR_TRANSPORT', advice: 'the system has too many open files; raise fs.file-max' },
  EPERM: { code: 'ERR_TRANSPORT', advice: 'a firewall rule of this host refuses it' },
  EMSGSIZE: { code: 'ERR_TRANSPORT', advice: 'the message is larger than the network takes: lower sync_maxlen' },
  ENETUNREACH: { code: 'ERR_TRANSPORT', advice: 'no route: multicast wants a route or an address on the interface' },
  EAFNOSUPPORT: { code: 'ERR_TRANSPORT', advice: 'this host does not have that address family' }
}

/**
 * Explains a socket's error.
 *
 * @param doing - What was being done, as the start of a sentence: `listening at 224.0.0.81:8848 on eth1`.
 * @param cause - What the socket threw or emitted.
 * @param fallback - The code where the cause has none of the known ones.
 */
export function explainSocketError(
  doing: string,
  cause: unknown,
  fallback: ErrorCode = 'ERR_TRANSPORT'
): IpvsSyncError {
  const code = errorCodeOf(cause)
  const { syscall = 'bind' } = cause as NodeJS.ErrnoException
  // Only binding is refused for a port's number.
  const known = code === 'EACCES' && syscall !== 'bind' ? undefined : EXPLANATIONS[code]
  const text = cause instanceof Error ? cause.message : String(cause)
  return new IpvsSyncError(known?.code ?? fallback, `${doing}: ${text}${known ? `: ${known.advice}` : ''}`, { cause })
}

/** Returns the system's code (`EADDRINUSE`), or an empty text. */
export function errorCodeOf(cause: unknown): string {
  return cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : ''
}
