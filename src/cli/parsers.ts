/**
 * Parsers of option values. Each refuses a value by an `IpvsSyncError` of code `ERR_CONFIG`:
 * `--syncid: expected an integer 0…255, got "300"`.
 *
 * @module
 */

import { IpvsSyncError } from '../errors.js'
import type { ServiceTimeouts } from '../procfs/services.js'

/** A host and, if given, a port. */
export interface HostPort {
  /** As typed, without brackets. */
  readonly host: string
  readonly port?: number
}

/**
 * Refuses a value.
 *
 * @param option - As typed: `--syncid`.
 * @param text - The value.
 * @param accepted - What is accepted.
 */
export function refuse(option: string, text: string, accepted: string): never {
  const field = option.replace(/^--/, '')
  throw new IpvsSyncError('ERR_CONFIG', `${option}: expected ${accepted}, got ${JSON.stringify(text)}`, { field })
}

/** Makes a parser of decimal integers of a range, for commander's option(). */
export function integerOption(option: string, least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN
    if (value >= least && value <= most) return value
    return refuse(option, text, most === Infinity ? `an integer of at least ${least}` : `an integer ${least}…${most}`)
  }
}

/** Reads `HOST`, `HOST:PORT`, `[IPv6]`, `[IPv6]:PORT` or a bare IPv6 address. The host is not checked. */
export function parseHostPort(option: string, text: string): HostPort {
  const bare = /^[^[\]]*:[^[\]]*:[^[\]]*$/.test(text)
  const [, bracketed, plain, port] = bare
    ? ['', undefined, text]
    : (/^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d+))?$/.exec(text) ?? [])
  const host = bracketed ?? plain
  if (host === undefined) return refuse(option, text, 'HOST or HOST:PORT, IPv6 as [ADDRESS]:PORT')
  return { host, ...(port !== undefined && { port: integerOption(`${option} ${host}, port`, 1, 65_535)(port) }) }
}

/** Reads `[HOST:]PORT`, an address to listen on. Port 0 takes a free one. */
export function parseListen(option: string, text: string): HostPort {
  if (/^\d+$/.test(text)) return { host: '127.0.0.1', port: integerOption(option, 0, 65_535)(text) }
  const { host, port } = parseHostPort(option, text.replace(/:0$/, ':1'))
  if (port === undefined) return refuse(option, text, 'PORT or HOST:PORT')
  return { host, port: text.endsWith(':0') ? 0 : port }
}

/** Reads `TCP,TCPFIN,UDP` in seconds, as `ipvsadm --set` takes them; 0 leaves the kernel's default. */
export function parseTimeouts(text: string): ServiceTimeouts {
  const [, tcp, tcpFin, udp] = /^(\d{1,7}),(\d{1,7}),(\d{1,7})$/.exec(text) ?? []
  if (udp === undefined) return refuse('--timeouts', text, 'TCP,TCPFIN,UDP in seconds: 900,120,300')
  return { tcp: Number(tcp) || 900, tcpFin: Number(tcpFin) || 120, udp: Number(udp) || 300 }
}
