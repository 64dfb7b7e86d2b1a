/**
 * Options that several commands share: those of a sync daemon by ipvsadm's names, and sysctls.
 *
 * @module
 */

import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { addressFamily, isMulticast } from '../addresses.js'
import { udpOptionsOf as transportOptionsOf } from '../daemon/sync-options.js'
import { IpvsSyncError } from '../errors.js'
import { fileFault } from './errors.js'
import { readLiveSysctls } from '../procfs/read-sysctls.js'
import { applySysctl, parseSysctls, sysctlDefaults, type Sysctls } from '../sysctl/index.js'
import type { Peer, UdpOptions } from '../transport/udp-options.js'
import { integerOption, parseHostPort, refuse } from './parsers.js'

/** What {@link addDaemonOptions} adds, as `command.opts()` has it. */
export interface DaemonOptions {
  readonly mcastInterface?: string
  /** 0…255. */
  readonly syncid: number
  /** The largest message in bytes; left out, the transport's default. */
  readonly syncMaxlen?: number
  readonly mcastGroup?: string
  readonly mcastPort: number
  readonly mcastTtl: number
  /** Empty for multicast. */
  readonly peer: readonly Peer[]
  readonly keyFile?: string
  readonly requireKey?: boolean
}

/** What {@link addSysctlOptions} adds, as `command.opts()` has it. */
export interface SysctlOptions {
  /** `NAME=VALUE`, in the order given. */
  readonly sysctl: readonly string[]
  /** A path, or `kernel`. */
  readonly sysctlFrom?: string
}

/** Adds `--mcast-interface --syncid --sync-maxlen --mcast-group --mcast-port --mcast-ttl --peer`. */
export function addDaemonOptions(command: Command): Command {
  return command
    .option('--mcast-interface <name>', 'network interface of the group; required unless --peer is given')
    .option('--syncid <number>', '0 to 255; a backup with 0 takes every syncid', integerOption('--syncid', 0, 255), 0)
    .option('--sync-maxlen <bytes>', 'largest message, header included', integerOption('--sync-maxlen', 1, 65_507))
    .option('--mcast-group <address>', 'multicast group, IPv4 or IPv6 (default: 224.0.0.81)', parseGroup)
    .option('--mcast-port <port>', 'UDP port of the first channel', integerOption('--mcast-port', 1, 65_535), 8848)
    .option('--mcast-ttl <hops>', 'TTL or hop limit', integerOption('--mcast-ttl', 1, 255), 1)
    .addOption(
      command
        .createOption('--peer <address[:port]>', 'unicast instead of multicast; may be repeated')
        .argParser(collectPeer)
        .default([], 'none')
    )
}

/** Adds `--key-file`, and `--require-key` where messages are received. */
export function addKeyOption(command: Command, receives = false): Command {
  command.option('--key-file <file>', 'sign what is sent and verify what is received; see ipvs-sync key')
  return receives
    ? command.option('--require-key', 'drop messages that are not signed with a key of --key-file')
    : command
}

/** Adds `--sysctl` and `--sysctl-from`. */
export function addSysctlOptions(command: Command): Command {
  return command
    .addOption(
      command
        .createOption('--sysctl <name=value>', 'set a variable of net.ipv4.vs; may be repeated')
        .argParser(collect)
        .default([], 'none')
    )
    .option('--sysctl-from <file>', 'read variables from a file in sysctl.conf syntax, or from the "kernel"')
}

/**
 * The settings that the options ask for: our defaults, then `--sysctl-from`, then each `--sysctl`.
 *
 * @param options - Read again at SIGHUP: files may have changed.
 * @param folder - Where a kernel's live values are, for a test.
 * @throws IpvsSyncError `ERR_CONFIG` for a value that a kernel would refuse, `ERR_IO`, `ERR_NO_IPVS`.
 */
export async function settingsOf({ sysctl, sysctlFrom }: SysctlOptions, folder?: string): Promise<Sysctls> {
  let settings = await baseOf(sysctlFrom, folder)
  for (const assignment of sysctl) {
    const [, name, value] = /^([^=]*)=(.*)$/s.exec(assignment) ?? refuse('--sysctl', assignment, 'NAME=VALUE')
    settings = applySysctl(settings, name!.trim(), value!)
  }
  return settings
}

/**
 * The transport's options.
 *
 * @throws IpvsSyncError `ERR_CONFIG` where there is neither interface nor peer.
 */
export function udpOptionsOf(options: DaemonOptions, settings: Sysctls): UdpOptions {
  if (options.mcastInterface === undefined && options.peer.length === 0) {
    throw new IpvsSyncError('ERR_CONFIG', 'give --mcast-interface (multicast), or --peer (unicast)', {
      field: 'mcast-interface'
    })
  }
  return transportOptionsOf({ ...options, peers: options.peer }, settings)
}

/** Adds a value to those of a repeated option. */
export function collect(value: string, before: readonly string[]): string[] {
  return [...before, value]
}

function collectPeer(text: string, before: readonly Peer[]): Peer[] {
  const { host, port } = parseHostPort('--peer', text)
  if (addressFamily(host) === 0) refuse('--peer', text, 'ADDRESS or ADDRESS:PORT, IPv6 as [ADDRESS]:PORT')
  return [...before, { address: host, ...(port !== undefined && { port }) }]
}

function parseGroup(text: string): string {
  return isMulticast(text) ? text : refuse('--mcast-group', text, 'a multicast address (224.0.0.0/4 or ff00::/8)')
}

async function baseOf(from: string | undefined, folder: string | undefined): Promise<Sysctls> {
  if (from === undefined) return sysctlDefaults
  if (from === 'kernel') return readLiveSysctls(folder).settings
  const text = await readText('--sysctl-from', from)
  try {
    return parseSysctls(text)
  } catch (error) {
    const { message, field } = error as IpvsSyncError
    throw new IpvsSyncError('ERR_CONFIG', `${from}: ${message}`, { ...(field !== undefined && { field }) })
  }
}

/**
 * Reads a file that an option names.
 *
 * @throws IpvsSyncError `ERR_IO`.
 */
export async function readText(option: string, path: string): Promise<string> {
  return readFile(path, 'utf8').catch((cause: unknown) => {
    throw new IpvsSyncError('ERR_IO', `${option} ${path}: ${fileFault(cause)}`, { cause })
  })
}
