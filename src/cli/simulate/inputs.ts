/**
 * What `simulate` and `explain` read: services, settings, and the traffic, which is captures or a workload.
 *
 * @module
 */
import type { Command } from 'commander'
import { addressFamily } from '../../addresses.js'
import { Director } from '../../director/director.js'
import { FrameSource } from '../../director/frame-source.js'
import { Observer, type ObserverCounts } from '../../director/observer.js'
import { parseMarks } from '../../director/marks.js'
import type { DirectorOptions } from '../../director/director-options.js'
import type { Outcome } from '../../director/outcome.js'
import type { Packet } from '../../director/packet.js'
import type { ServiceOptions } from '../../director/services.js'
import type { Timeouts } from '../../director/transitions.js'
import { IpvsSyncError } from '../../errors.js'
import { CompressionDamage, expandCapture } from '../../capture/read-capture.js'
import { decompress, readFileBytes } from '../../files/capture-file.js'
import { parseServices } from '../../procfs/services.js'
import type { Sysctls } from '../../sysctl/settings.js'
import type { TimestampMs } from '../../units.js'
import type { Io } from '../io.js'
import { addSysctlOptions, collect, readText, settingsOf, type SysctlOptions } from '../options.js'
import { integerOption, refuse } from '../parsers.js'
import { readWorkload, type Workload } from './workload.js'

/** The options that both commands share. */
export interface InputOptions extends SysctlOptions {
  readonly services?: string
  readonly syncid: number
  readonly local: readonly string[]
  readonly mark: readonly string[]
  readonly timeouts?: Timeouts
  readonly hz: number
  readonly workload?: string
}

/** Everything that a simulation is made of. */
export interface Inputs {
  readonly services: readonly ServiceOptions[]
  readonly settings: Sysctls
  readonly options: InputOptions
  readonly captures: readonly string[]
  readonly workload: Workload | undefined
  /** What could not be known or read, in words. */
  readonly notes: readonly string[]
}

/** Called for each packet of the traffic that the director received. */
export type OnPacket = (outcome: Outcome, packet: Packet, now: TimestampMs) => void

/** Adds the shared options. */
export function addInputOptions(command: Command): Command {
  return addSysctlOptions(command)
    .option('--services <file>', 'services: the text of /proc/net/ip_vs, ipvsadm -Ln or ipvsadm -S -n')
    .option('--syncid <number>', 'syncid of the messages', integerOption('--syncid', 0, 255), 0)
    .addOption(
      command
        .createOption('--local <address>', 'an address of the director; may be repeated')
        .argParser((text: string, before: readonly string[]): string[] =>
          addressFamily(text) === 0 ? refuse('--local', text, 'an IP address') : [...before, text]
        )
        .default([], 'none')
    )
    .addOption(
      command
        .createOption('--mark <n=filter>', 'firewall mark of matching packets; may be repeated')
        .argParser(collect)
        .default([], 'none')
    )
    .option(
      '--timeouts <tcp,tcpfin,udp>',
      'timeouts in seconds, as ipvsadm --set; 0 keeps the default',
      (text: string): Timeouts => {
        const numbers = text.split(',').map((word) => (/^\d{1,7}$/.test(word) ? Number(word) : NaN))
        return numbers.length !== 3 || numbers.some(Number.isNaN)
          ? refuse('--timeouts', text, 'three numbers of seconds: TCP,TCPFIN,UDP')
          : { tcp: numbers[0]!, tcpFin: numbers[1]!, udp: numbers[2]! }
      }
    )
    .option(
      '--hz <number>',
      'ticks a second of the kernel that wrote /proc/net/ip_vs',
      integerOption('--hz', 1, 10_000),
      250
    )
    .option('--workload <file>', 'generate traffic instead of reading captures: web, dns, long-lived, or a JSON file')
}

/**
 * Reads everything but the captures themselves.
 *
 * @throws IpvsSyncError `ERR_USAGE`, `ERR_CONFIG` or `ERR_IO`.
 */
export async function readInputs(options: InputOptions, captures: readonly string[]): Promise<Inputs> {
  if (captures.length === 0 && options.workload === undefined)
    throw new IpvsSyncError('ERR_USAGE', 'captures: expected at least one file, or --workload, got none')
  const workload = options.workload === undefined ? undefined : await readWorkload(options.workload)
  const notes: string[] = []
  const services = options.services === undefined ? workload?.services : await servicesFrom(options, notes)
  if (services === undefined)
    throw new IpvsSyncError('ERR_USAGE', '--services: expected a file, got undefined', { field: 'services' })
  if (services.length === 0)
    throw new IpvsSyncError('ERR_CONFIG', `--services ${options.services}: expected services, got none`, {
      field: 'services'
    })
  return { services, settings: await settingsOf(options), options, captures, workload, notes }
}

async function servicesFrom({ services: path, hz }: InputOptions, notes: string[]): Promise<ServiceOptions[]> {
  const text = await readText('--services', path!)
  const { services, unreadable } = parseServices(text)
  if (unreadable.count > 0) notes.push(`--services: ${unreadable.count} lines not read`)
  const isProc = services.some(({ persistence }) => persistence?.unit === 'ticks')
  if (isProc) notes.push(`persistence timeouts read as ticks of ${hz} a second (--hz)`)
  if (!/^IP Virtual Server/m.test(text) || /\d\.\d+\.\d+\.\d+:/.test(text))
    notes.push('ipvsadm sorts real servers: the order of the kernel, which round robin follows, can differ')
  return services.map((service) => ({
    ...service,
    persistence: service.persistence && {
      timeout: service.persistence.unit === 'ticks' ? service.persistence.timeout / hz : service.persistence.timeout,
      prefix: service.persistence.prefix,
      ...(service.persistence.engine !== undefined && { engine: service.persistence.engine })
    }
  }))
}

/** Feeds the traffic to a director; returns what was counted of its frames. */
export async function feed(
  inputs: Inputs,
  make: (options: DirectorOptions) => Director,
  io: Pick<Io, 'stdin'>,
  onPacket: OnPacket
): Promise<ObserverCounts> {
  const { options, services, settings, workload } = inputs
  const director = make({
    services,
    settings,
    local: options.local,
    ...(options.timeouts !== undefined && { timeouts: options.timeouts })
  })
  const marker = parseMarks(options.mark)
  const observer = new Observer(director, marker)
  if (workload !== undefined) {
    for (const { packet, timeMs } of workload.packets(services)) {
      packet.mark = marker(packet)
      observer.counts.frames++
      observer.counts.handled++
      onPacket(director.handlePacket(packet, timeMs), packet, timeMs)
    }
    return observer.counts
  }
  for (const file of inputs.captures) {
    const source = new FrameSource((frame) => {
      const outcome = observer.frame(frame)
      if (outcome !== undefined) onPacket(outcome, observer.packet, frame.time!.ms)
    })
    try {
      const chunks = expandCapture(file === '-' ? io.stdin : readFileBytes(file), decompress)
      for await (const chunk of chunks) source.push(chunk)
      source.end()
    } catch (error) {
      if (!(error instanceof CompressionDamage)) {
        const { code, message } = error as IpvsSyncError
        throw new IpvsSyncError(code, message.startsWith(file) ? message : `${file}: ${message}`, { cause: error })
      }
      // What came before the damage counts.
      observer.counts.unreadable++
    }
    observer.counts.unreadable += source.skipped + source.damage.length
  }
  return observer.counts
}
