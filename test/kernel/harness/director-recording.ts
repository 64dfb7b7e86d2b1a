import type {
  Connection,
  connectionValue,
  Director,
  DirectorOptions,
  EndCause,
  FrameReader,
  ServiceOptions
} from 'ipvs-sync/director'
import type { MasterEngine } from 'ipvs-sync/engine'
import { kernelAddress, parseKernelTable, type KernelRow } from './kernel-table.js'
import { readRecords, show } from './message.js'
import { addressBytes, asKernelRows } from './our-table.js'

/** What happened in a run, in order. Times are milliseconds. */
export type Step =
  | readonly ['packet', at: number, mark: number, hex: string]
  /** `/proc/net/ip_vs_conn` and `/proc/net/ip_vs`. */
  | readonly ['tables', at: number, connections: string, services: string]
  /** ICMP errors that the director has sent by now. */
  | readonly ['errors', at: number, count: number]
  | readonly ['weight', at: number, service: number, server: number, weight: number]
  | readonly ['remove', at: number, service: number, server: number]
  | readonly ['add', at: number, service: number, server: number, weight: number]

/** A run of a kernel's director: what it received, what its tables showed, what it sent. */
export interface DirectorRecording {
  /** Variables of `net.ipv4.vs`, by the kernel's names. */
  readonly settings: Readonly<Record<string, string | number>>
  /** Servers in the order in which they were added; `ports` are the ports of the service's packets. */
  readonly services: readonly (ServiceOptions & { readonly ports: readonly number[] })[]
  readonly steps: readonly Step[]
  /** Sync messages, in hex; undefined where they were not awaited. */
  readonly messages: readonly string[] | undefined
  /** Whether a backup daemon runs beside the master. */
  readonly hasBackup?: boolean
}

/** The model as a test gives it: the package's, or one with a planted fault. */
export interface ModelParts {
  readonly Director: new (options: DirectorOptions) => Director
  readonly MasterEngine: new (options: ConstructorParameters<typeof MasterEngine>[0]) => MasterEngine
  readonly FrameReader: new () => FrameReader
  readonly connectionValue: typeof connectionValue
}

/** What a comparison found. */
export interface Verdict {
  /** Entries, servers and records that were compared. */
  readonly compared: number
  readonly disagreements: readonly string[]
}

/** Addresses of the director. */
export const LOCAL: readonly string[] = ['10.1.0.1', '10.1.0.100', '10.1.0.101', '10.1.0.102', 'fd00:1::100']
/** Two clocks and a tick apart. */
export const SLACK_MS = 60
const RAW_IP = 101
/** Less than the guest's memory, and more than any threshold but the highest. */
const GUEST_PAGES = 100_000
const IPIP = 4

/** Options of the model for a run. */
export function modelOptions(
  recording: Pick<DirectorRecording, 'settings' | 'services' | 'hasBackup'>
): DirectorOptions {
  const settings = Object.entries(recording.settings).map(([name, value]) => [
    name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()),
    typeof value === 'string' ? value.split(' ').map(Number) : value
  ])
  const services = recording.services.map((service) => {
    const options: ServiceOptions = { ...service, servers: [...service.servers].reverse() }
    Reflect.deleteProperty(options, 'ports')
    return options
  })
  return {
    settings: Object.fromEntries(settings) as NonNullable<DirectorOptions['settings']>,
    services,
    local: LOCAL,
    hasBackup: recording.hasBackup ?? false,
    availablePages: GUEST_PAGES
  }
}

/**
 * How long a kernel's timer may be late: its wheel is coarser the longer the timeout, by up to an eighth.
 */
export function latenessOf(timeoutMs: number): number {
  return timeoutMs / 8 + SLACK_MS
}

/** Reads a whole IP packet. */
export function readPacket(reader: FrameReader, bytes: Uint8Array, mark: number): boolean {
  const isRead = reader.read({
    bytes,
    view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length),
    start: 0,
    end: bytes.length,
    wireLength: bytes.length,
    linkType: RAW_IP,
    interfaceNumber: 0,
    interfaceName: undefined,
    time: undefined
  })
  reader.packet.mark = mark
  return isRead
}

/**
 * Plays a recording through the model, and compares every table and every record.
 *
 * @param most - Disagreements after which it stops.
 */
export function judge(recording: DirectorRecording, parts: ModelParts, most = Infinity): Verdict {
  const player = new Player(recording, parts)
  for (const step of recording.steps) {
    player.take(step)
    if (player.disagreements >= most) return player.verdict()
  }
  player.compareRecords()
  return player.verdict()
}

class Player {
  readonly #recording: DirectorRecording
  readonly #parts: ModelParts
  readonly #model: Director
  readonly #master: MasterEngine
  readonly #reader: FrameReader
  readonly #disagreements: string[] = []
  /** Until when the kernel may still have an entry that has expired, by key. */
  readonly #late = new Map<string, number>()
  #compared = 0
  #errors = 0
  #last = 1

  constructor(recording: DirectorRecording, parts: ModelParts) {
    const { Director, MasterEngine, FrameReader } = parts
    const options = modelOptions(recording)
    this.#recording = recording
    this.#parts = parts
    this.#reader = new FrameReader()
    this.#master = new MasterEngine({ syncid: 7, settings: { ...options.settings, syncQlenMax: 1_000_000 } })
    this.#model = new Director({
      ...options,
      master: this.#master,
      onEnd: (connection, cause, now) => this.#ended(connection, cause, now)
    })
  }

  take(step: Step): void {
    const [kind, at] = step
    const model = this.#model
    this.#last = at
    if (kind === 'packet') {
      this.#receive(bytesOf(step[3]), step[2], at)
      return
    }
    if (kind === 'errors') {
      this.#compared++
      if (step[2] !== this.#errors) this.#disagree(at, `ICMP errors: kernel ${step[2]}, model ${this.#errors}`)
      return
    }
    if (kind === 'tables') {
      this.#compareTables(at, step[2], step[3])
      return
    }
    model.handleTimeout(at)
    const service = model.services[step[2]]!
    const { address, port } = this.#recording.services[step[2]]!.servers[step[3]]!
    const server = service.servers.find((one) => one.addressText === address && one.port === port)
    if (kind === 'weight' && server !== undefined) model.setWeight(server, step[4])
    else if (kind === 'remove' && server !== undefined) model.removeServer(server, at)
    else if (kind === 'add' && server === undefined)
      model.addServer(service, { ...this.#recording.services[step[2]]!.servers[step[3]]!, weight: step[4] })
  }

  #receive(bytes: Uint8Array, mark: number, at: number): void {
    if (!readPacket(this.#reader, bytes, mark)) return
    const { packet } = this.#reader
    const { reason, verdict } = this.#model.handlePacket(packet, at)
    if (verdict === 'reject') this.#errors++
    // What a tunnel's end takes out of a packet comes in again, unless the packet counts as handled.
    if (packet.protocol === IPIP && reason === 'other-protocol') this.#receive(bytes.subarray(20), 0, at)
  }

  get disagreements(): number {
    return this.#disagreements.length
  }

  verdict(): Verdict {
    return { compared: this.#compared, disagreements: this.#disagreements }
  }

  #ended(connection: Connection, cause: EndCause, now: number): void {
    if (cause !== 'expired' || connection.onePacket) return
    const [row] = asKernelRows([this.#parts.connectionValue(connection, now)])
    this.#late.set(row!.key, now + latenessOf(connection.timeoutMs))
  }

  #compareTables(at: number, connections: string, services: string): void {
    const model = this.#model
    model.handleTimeout(at)
    const kernel = groupByKey(rowsOf(connections))
    const ours = groupByKey(asKernelRows(model.connections(), 'engine'))
    const ending = new Ending(this.#recording)
    for (const key of new Set([...kernel.keys(), ...ours.keys()])) {
      const [theirs, own] = [kernel.get(key) ?? [], [...(ours.get(key) ?? [])]]
      for (const row of theirs) {
        this.#compared++
        const same = own.findIndex((other) => tell(other) === tell(row) && isNear(other, row))
        if (same >= 0) own.splice(same, 1)
        if (secondsOf(row) === 0) ending.count(row, same >= 0 ? 'fewer' : 'more')
        if (same >= 0 || ((this.#late.get(key) ?? 0) >= at && secondsOf(row) === 0)) continue
        const other = own.shift()
        this.#disagree(at, `${key}: kernel ${textOf(row)}, model ${other === undefined ? 'none' : textOf(other)}`)
      }
      for (const row of own) {
        if (secondsOf(row) === 0) ending.count(row, 'fewer')
        else this.#disagree(at, `${key}: kernel none, model ${textOf(row)}`)
      }
    }
    this.#compareServers(at, services, ending)
  }

  #compareServers(at: number, text: string, ending: Ending): void {
    const kernel = serversOf(text)
    for (const [number, { servers, options, port, fwmark }] of this.#model.services.entries()) {
      const { address = '' } = options.virtual ?? {}
      const name = fwmark !== 0 ? `FWM ${fwmark}` : `${options.protocol} ${hexAddress(address)}:${port}`
      const theirs = kernel.get(name) ?? []
      this.#compared += theirs.length
      const isSame =
        theirs.length === servers.length &&
        servers.every(({ addressText, port: own, weight, active, inactive }, place) => {
          const hex = hexAddress(addressText)
          const their = theirs[place]!
          return (
            their.name === `${hex}:${own}` &&
            their.weight === weight &&
            ending.explains(number, hex, 'active', their.active - active) &&
            ending.explains(number, hex, 'inactive', their.inactive - inactive)
          )
        })
      if (isSame) continue
      const own = servers.map((one) => `${one.addressText}:${one.port} ${one.weight} ${one.active} ${one.inactive}`)
      const text = theirs.map((one) => `${one.name} ${one.weight} ${one.active} ${one.inactive}`)
      this.#disagree(at, `servers of ${name} (${options.scheduler}): kernel ${text.join()}, model ${own.join()}`)
    }
  }

  compareRecords(): void {
    const { messages } = this.#recording
    if (messages === undefined) return
    const kernel = byConnection(messages.flatMap((hex) => readRecords(bytesOf(hex)).map(show)))
    this.#master.close(this.#last)
    const sent: string[] = []
    for (let next = this.#master.pollTransmit(); next !== undefined; next = this.#master.pollTransmit())
      sent.push(...readRecords(next.bytes).map(show))
    const ours = byConnection(sent)
    for (const key of new Set([...kernel.keys(), ...ours.keys()])) {
      const [theirs, own] = [kernel.get(key) ?? [], ours.get(key) ?? []]
      this.#compared += theirs.length
      const at = theirs.findIndex((line, index) => line !== own[index])
      if (at < 0 && theirs.length === own.length) continue
      const place = at < 0 ? theirs.length : at
      this.#disagree(
        this.#last,
        `record ${place} of ${theirs.length} and ${own.length} of ${key}: kernel ${theirs[place]}, model ${own[place]}`
      )
    }
  }

  #disagree(at: number, text: string): void {
    this.#disagreements.push(`at ${at - this.#recording.steps[0]![1]} ms: ${text}`)
  }
}

const ACTIVE: ReadonlySet<string> = new Set(['ESTABLISHED', 'SYN_RECV', 'SYN_SENT', 'SYNACK'])

/** Entries at their end: one side's counters may have them, and the other's not. */
class Ending {
  readonly #counts = new Map<string, number>()
  readonly #recording: DirectorRecording

  constructor(recording: DirectorRecording) {
    this.#recording = recording
  }

  /** Counts an entry that the kernel may have besides the model (`more`), or the model besides the kernel (`fewer`). */
  count({ clientPort, virtualPort, destination, state }: KernelRow, by: 'more' | 'fewer'): void {
    if (clientPort === 0) return
    const service = this.#recording.services.findIndex(({ ports }) => ports.includes(virtualPort))
    const key = `${by} ${service} ${destination} ${ACTIVE.has(state) ? 'active' : 'inactive'}`
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1)
  }

  /** Whether entries at their end explain a difference of a server's counter. */
  explains(service: number, address: string, kind: 'active' | 'inactive', difference: number): boolean {
    const allowed = this.#counts.get(`${difference > 0 ? 'more' : 'fewer'} ${service} ${address} ${kind}`) ?? 0
    return Math.abs(difference) <= allowed
  }
}

/** The rows of one dump or two of the same table, each once. */
function rowsOf(text: string): KernelRow[] {
  const rows: KernelRow[] = []
  const seen = new Map<string, KernelRow[]>()
  for (const row of parseKernelTable(text).filter(({ protocol }) => protocol !== 'Pro')) {
    const name = `${row.key} ${tell(row)}`
    const same = seen.get(name) ?? []
    if (same.some((other) => Math.abs(secondsOf(other) - secondsOf(row)) <= 2)) continue
    seen.set(name, [...same, row])
    rows.push(row)
  }
  return rows
}

function groupByKey(rows: readonly KernelRow[]): Map<string, KernelRow[]> {
  const groups = new Map<string, KernelRow[]>()
  for (const row of rows) groups.set(row.key, [...(groups.get(row.key) ?? []), row])
  return groups
}

function byConnection(records: readonly string[]): Map<string, string[]> {
  const groups = new Map<string, string[]>()
  for (const record of records) {
    const key = record.split(' ').slice(0, 4).join(' ')
    groups.set(key, [...(groups.get(key) ?? []), record])
  }
  return groups
}

/** A kernel computes what is left in 32 bits: a timer that is late shows a huge number. */
function secondsOf({ expires }: KernelRow): number {
  return expires > 1e6 ? 0 : expires
}

function isNear(one: KernelRow, other: KernelRow): boolean {
  return Math.abs(secondsOf(one) - secondsOf(other)) <= 1
}

function tell({ destination, destinationPort, state, engine }: KernelRow): string {
  return `${destination}:${destinationPort} ${state} ${engine}`.trim()
}

function textOf(row: KernelRow): string {
  return `${tell(row)}, ${secondsOf(row)} s left`
}

/** A server's line of `/proc/net/ip_vs`. */
interface ServerLine {
  readonly name: string
  readonly weight: number
  readonly active: number
  readonly inactive: number
}

/** The servers of each service, in the kernel's order. */
function serversOf(text: string): Map<string, ServerLine[]> {
  const services = new Map<string, ServerLine[]>()
  let own: ServerLine[] = []
  const name = (address: string): string => {
    const at = address.lastIndexOf(':')
    return `${address.slice(0, at).replace(/[[\]]/g, '')}:${Number.parseInt(address.slice(at + 1), 16)}`
  }
  for (const line of text.split('\n').slice(3)) {
    const [first, address = '', , weight, active, inactive] = line.trim().split(/\s+/)
    if (first === '->')
      own.push({ name: name(address), weight: Number(weight), active: Number(active), inactive: Number(inactive) })
    else if (address !== '') {
      own = []
      services.set(first === 'FWM' ? `FWM ${Number.parseInt(address, 16)}` : `${first} ${name(address)}`, own)
    }
  }
  return services
}

/** An address in the kernel's own writing. */
function hexAddress(text: string): string {
  return text === '' ? '' : kernelAddress(addressBytes(text))
}

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from({ length: hex.length / 2 }, (_, at) => Number.parseInt(hex.slice(2 * at, 2 * at + 2), 16))
}
