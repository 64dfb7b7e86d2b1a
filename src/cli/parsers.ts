/**
 * Readers of option values. Each refuses by an `IpvsSyncError` of code `ERR_CONFIG` that names the option and says what
 * is accepted.
 *
 * @module
 */

import { parseNetwork, type Network } from '../addresses.js'
import { IpvsSyncError } from '../errors.js'
import type { ServiceTimeouts } from '../procfs/services.js'

/** A host and a port, either of which may have been left out by the one who typed them. */
export interface HostPort {
  /** As it was typed, without brackets. */
  readonly host: string
  readonly port?: number
}

/**
 * Refuses a value.
 *
 * @param option - As typed: `--syncid`.
 * @param text - The value.
 * @param accepted - What would have been good.
 */
export function refuse(option: string, text: string, accepted: string): never {
  throw new IpvsSyncError('ERR_CONFIG', `${option} "${text}" is not accepted: want ${accepted}`, {
    field: option.replace(/^--/, '')
  })
}

/** A reader of whole decimal numbers of a range, for commander's option(). */
export function integerOption(option: string, least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN
    // Nothing compares with NaN.
    if (value >= least && value <= most) return value
    return refuse(
      option,
      text,
      most === Infinity ? `a whole number, ${least} or more` : `a whole number, ${least} to ${most}`
    )
  }
}

/** Reads `HOST`, `HOST:PORT`, `[IPv6]`, `[IPv6]:PORT` or a bare IPv6 address. The host is not verified. */
export function parseHostPort(option: string, text: string): HostPort {
  const bare = /^[^[\]]*:[^[\]]*:[^[\]]*$/.test(text)
  const [, bracketed, plain, port] = bare
    ? ['', undefined, text]
    : (/^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d+))?$/.exec(text) ?? [])
  const host = bracketed ?? plain
  if (host === undefined) return refuse(option, text, 'HOST or HOST:PORT, IPv6 as [ADDRESS]:PORT')
  return { host, ...(port !== undefined && { port: integerOption(`${option} ${host}, port`, 1, 65_535)(port) }) }
}

/** Reads `[HOST:]PORT`: where to listen. Port 0 takes a free one. */
export function parseListen(option: string, text: string): HostPort {
  if (/^\d+$/.test(text)) return { host: '127.0.0.1', port: integerOption(option, 0, 65_535)(text) }
  const { host, port } = parseHostPort(option, text.replace(/:0$/, ':1'))
  if (port === undefined) return refuse(option, text, 'PORT or HOST:PORT')
  return { host, port: text.endsWith(':0') ? 0 : port }
}

/** Adds `ADDRESS` or `ADDRESS/PREFIX` to those of a repeated option. */
export function collectNetwork(option: string): (text: string, before: readonly Network[]) => Network[] {
  return (text, before) => [
    ...before,
    parseNetwork(text) ?? refuse(option, text, 'an address or a network: 10.0.0.1, 10.0.0.0/24 or fd00::/8')
  ]
}

/** Reads `TCP,TCPFIN,UDP` in seconds, as `ipvsadm --set` takes them; 0 leaves the kernel's default. */
export function parseTimeouts(text: string): ServiceTimeouts {
  const [, tcp, tcpFin, udp] = /^(\d{1,7}),(\d{1,7}),(\d{1,7})$/.exec(text) ?? []
  if (udp === undefined) return refuse('--timeouts', text, 'TCP,TCPFIN,UDP in seconds: 900,120,300')
  return { tcp: Number(tcp) || 900, tcpFin: Number(tcpFin) || 120, udp: Number(udp) || 300 }
}
