/**
 * Options that several commands share: those of a sync daemon under ipvsadm's names, and sysctls.
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
import { applySysctl, sysctlDefaults, type Sysctls } from '../sysctl/settings.js'
import { readSysctls } from '../sysctl/parse.js'
import { SYSCTL_DEFINITIONS } from '../sysctl/definitions.js'
import type { Peer, UdpOptions } from '../transport/udp-options.js'
import { integerOption, parseHostPort, refuse } from './parsers.js'

/** Values of the options of {@link addDaemonOptions}. */
export interface DaemonOptions {
  readonly mcastInterface?: string
  /** 0…255. */
  readonly syncid: number
  /** Length of the largest message in bytes; the transport's default unless given. */
  readonly syncMaxlen?: number
  readonly mcastGroup?: string
  readonly mcastPort: number
  readonly mcastTtl: number
  /** Empty for multicast. */
  readonly peer: readonly Peer[]
  readonly keyFile?: string
  readonly requireKey?: boolean
}

/** Values of the options of {@link addSysctlOptions}. */
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
    .option('--syncid <number>', '0 to 255; a backup with 0 accepts every syncid', integerOption('--syncid', 0, 255), 0)
    .option(
      '--sync-maxlen <bytes>',
      'length of the largest message, header included',
      integerOption('--sync-maxlen', 1, 65_507)
    )
    .option('--mcast-group <address>', 'multicast group, IPv4 or IPv6 (default: 224.0.0.81)', (text: string): string =>
      isMulticast(text) ? text : refuse('--mcast-group', text, 'a multicast address (224.0.0.0/4 or ff00::/8)')
    )
    .option('--mcast-port <port>', 'UDP port of the first channel', integerOption('--mcast-port', 1, 65_535), 8848)
    .option('--mcast-ttl <hops>', 'TTL or hop limit', integerOption('--mcast-ttl', 1, 255), 1)
    .addOption(
      command
        .createOption('--peer <address[:port]>', 'use unicast with this peer instead of multicast; repeatable')
        .argParser((text: string, before: readonly Peer[]): Peer[] => {
          const { host, port } = parseHostPort('--peer', text)
          if (addressFamily(host) === 0) refuse('--peer', text, 'ADDRESS or ADDRESS:PORT, IPv6 as [ADDRESS]:PORT')
          return [...before, { address: host, ...(port !== undefined && { port }) }]
        })
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
        .createOption('--sysctl <name=value>', 'set a variable of net.ipv4.vs; repeatable')
        .argParser(collect)
        .default([], 'none')
    )
    .option(
      '--sysctl-from <file>',
      'read variables from a file in sysctl.conf syntax, or from the running kernel ("kernel")'
    )
}

/** How {@link settingsOf} reads. */
export interface SettingsReading {
  /** Where a kernel's live values are, for a test. */
  readonly folder?: string
  /** Called with each fact about what was read: a variable that this version or the kernel lacks. */
  readonly onFact?: (text: string) => void
}

/**
 * Returns the settings that the options ask for: the defaults, then `--sysctl-from`, then each `--sysctl`.
 *
 * @param options - Read again at SIGHUP: the file may have changed.
 * @throws IpvsSyncError `ERR_CONFIG` for a value that a kernel would refuse, `ERR_IO`, `ERR_NO_IPVS`.
 */
export async function settingsOf(
  { sysctl, sysctlFrom }: SysctlOptions,
  { folder, onFact = () => undefined }: SettingsReading = {}
): Promise<Sysctls> {
  let settings = await baseOf(sysctlFrom, folder, onFact)
  for (const assignment of sysctl) {
    const [, name, value] = /^([^=]*)=(.*)$/s.exec(assignment) ?? refuse('--sysctl', assignment, 'NAME=VALUE')
    settings = applySysctl(settings, name!.trim(), value!)
  }
  return settings
}

/**
 * Returns the transport's options.
 *
 * @throws IpvsSyncError `ERR_CONFIG` if neither interface nor peer is given.
 */
export function udpOptionsOf(options: DaemonOptions, settings: Sysctls): UdpOptions {
  if (options.mcastInterface === undefined && options.peer.length === 0) {
    throw new IpvsSyncError('ERR_CONFIG', 'expected --mcast-interface (multicast) or --peer (unicast), got neither', {
      field: 'mcast-interface'
    })
  }
  return transportOptionsOf({ ...options, peers: options.peer }, settings)
}

/** Appends a value of a repeatable option. */
export function collect(value: string, before: readonly string[]): string[] {
  return [...before, value]
}

async function baseOf(
  from: string | undefined,
  folder: string | undefined,
  onFact: (text: string) => void
): Promise<Sysctls> {
  if (from === undefined) return sysctlDefaults
  if (from === 'kernel') {
    const { settings, read, unknown } = readLiveSysctls(folder)
    const missing = SYSCTL_DEFINITIONS.map(({ name }) => name).filter((name) => !read.includes(name))
    onFact(`read from the kernel: ${read.join(', ')}`)
    if (missing.length > 0) onFact(`not in this kernel, our defaults: ${missing.join(', ')}`)
    if (unknown.length > 0) onFact(`in this kernel, not used: ${unknown.join(', ')}`)
    return settings
  }
  const { settings, findings } = readSysctls(await readText('--sysctl-from', from))
  for (const { code, line, error } of findings) {
    const { message, field } = error
    // A newer kernel's variable must not stop a daemon.
    if (code === 'SYSCTL_UNKNOWN') onFact(`${from}: line ${line}: ignored: ${message}`)
    else throw new IpvsSyncError('ERR_CONFIG', `${from}: line ${line}: ${message}`, { ...(field !== undefined && { field }) }) // prettier-ignore
  }
  return settings
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
