/**
 * A view over a message: a cursor that makes every check of a kernel's receiver, in its order, and reads fields where
 * they stand. One view serves for any number of messages; it makes no object for a connection.
 *
 * @module
 */
import { demandKnownOptions } from '../demand.js'
import { checksOf, FLAG, KNOWN_ENGINES } from './constants.js'
import { judge } from './judge.js'
import { HEADER_V0, HEADER_V1, isVersion1 } from './header.js'
import { READ_OPTIONS, type ReadOptions } from './options.js'
import { PROBLEMS } from './problems.js'
import { stateCount } from './protocols.js'
import { RecordParameters } from './parameters.js'
import { lengthV0, RECORD_V0 } from './record-v0.js'
import { PLAIN_MASK, RECORD_V1, SIZE_MASK, TYPE_IPV6, VERSION_SHIFT } from './record-v1.js'

// Constants of this module: V8 folds them, and reads properties of an object in another chunk at each use.
const {
  CLIENT: V1_CLIENT,
  CLIENT_PORT: V1_CLIENT_PORT,
  FLAGS: V1_FLAGS,
  FWMARK: V1_FWMARK,
  LENGTH_IPV4: V1_LENGTH_IPV4,
  LENGTH_IPV6: V1_LENGTH_IPV6,
  PROTOCOL: V1_PROTOCOL,
  STATE: V1_STATE,
  TIMEOUT: V1_TIMEOUT,
  TYPE: V1_TYPE,
  VER_SIZE: V1_VER_SIZE
} = RECORD_V1
const {
  CLIENT: V0_CLIENT,
  CLIENT_PORT: V0_CLIENT_PORT,
  FLAGS: V0_FLAGS,
  LENGTH: V0_LENGTH,
  PROTOCOL: V0_PROTOCOL,
  STATE: V0_STATE
} = RECORD_V0
const { ONE_PACKET: FLAG_ONE_PACKET, TEMPLATE: FLAG_TEMPLATE } = FLAG
const { COUNT: H1_COUNT, LENGTH: H1_LENGTH } = HEADER_V1
const { COUNT: H0_COUNT, LENGTH: H0_LENGTH, SIZE: H0_SIZE, SYNCID: H0_SYNCID } = HEADER_V0

const UNKNOWN = PROBLEMS.PARAMETER_UNKNOWN.number

/** Flags without which a known state is all that a receiver asks for: spares most connections a call. */
const DOUBTFUL_FLAGS = FLAG_TEMPLATE | FLAG_ONE_PACKET

/**
 * A cursor over the connections of one message.
 *
 * @example
 * ```ts
 * const view = new MessageView()
 * view.reset(bytes)
 * while (view.next()) console.log(view.protocol, view.clientPort, view.state, view.verdict)
 * if (view.fault !== 0) console.log('the receiver gives up at byte', view.faultOffset)
 * ```
 */
export class MessageView extends RecordParameters {
  /** 0 or 1; 0 where the message is too short to tell. */
  version: 0 | 1 = 0
  /** 0…255. */
  syncid = 0
  /** The header's size field, in bytes. */
  size = 0
  /** The header's count of connections, 0…255. */
  count = 0
  /** Number of the problem that made the receiver give up the message, or 0. */
  fault = 0
  /** Byte offset of that fault. */
  faultOffset = 0

  /** Number of the current connection, from 0; -1 before the first. */
  index = -1
  /** Byte offset of its record. */
  offset = 0
  /** Byte offset behind its record, padding not counted. */
  end = 0
  /** Whether it is IPv6. */
  ipv6 = false
  /** 0, or the number of the problem for which a receiver skips it. */
  verdict = 0
  /** Byte offset of what that problem is about. */
  verdictOffset = 0
  /** The message's bytes: for a reader that reads records by itself, and comes back with {@link seek}. */
  data: DataView = new DataView(NOTHING.buffer)

  readonly #checks: number
  readonly #littleEndian: boolean
  readonly #engines: readonly Uint8Array[]
  // Private by name, not by `#`: access to a `#` field takes more bytecode, and V8 then no longer builds all getters into
  // a loop that reads every field (docs/performance.md).
  private bytes: Uint8Array = NOTHING
  // Where fields stand in this message's records: set once a message, so that a getter is one addition.
  private protocolAt = 0
  private stateAt = 0
  private portsAt = 0
  private clientAt = 0
  private addressLength = 4

  /** @param options - How messages are read. */
  constructor(options: ReadOptions = {}) {
    super()
    demandKnownOptions(options, READ_OPTIONS, 'ERR_USAGE')
    this.#checks = checksOf(options.flagChecks)
    this.#littleEndian = options.sequenceByteOrder !== 'big'
    this.#engines = (options.engines ?? KNOWN_ENGINES).map(asciiBytes)
  }

  /**
   * Takes up a message and reads its header (`ip_vs_process_message`).
   *
   * @param bytes - One datagram's payload. Kept until the next call; never written.
   * @returns False where the receiver drops it whole: see `fault`.
   */
  reset(bytes: Uint8Array): boolean {
    this.bytes = bytes
    this.data = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    this.index = -1
    this.fault = 0
    this.version = 0
    this.count = 0
    if (bytes.length < H0_LENGTH) {
      this.syncid = bytes.length > H0_SYNCID ? bytes[H0_SYNCID]! : 0
      this.size = bytes.length
      return this.#giveUp(PROBLEMS.SHORT_MESSAGE.number, 0)
    }
    this.syncid = bytes[H0_SYNCID]!
    this.size = this.data.getUint16(H0_SIZE)
    if (isVersion1(this.data)) this.version = 1
    if (this.size !== bytes.length) return this.#giveUp(PROBLEMS.SIZE_MISMATCH.number, H0_SIZE)
    if (this.version === 1) {
      this.count = bytes[H1_COUNT]!
      this.#takeLayoutV1()
      this.end = H1_LENGTH
    } else {
      this.count = bytes[H0_COUNT]!
      this.#takeLayoutV0()
      this.end = H0_LENGTH
    }
    return true
  }

  /**
   * Goes to the next connection. One that a receiver skips is a connection too: its `verdict` is not 0.
   *
   * @returns False behind the last one, or where the receiver drops the rest: `fault` tells them apart.
   */
  next(): boolean {
    if (this.fault !== 0 || this.index + 1 >= this.count) return false
    return this.seek(this.index + 1, this.following)
  }

  /**
   * Goes to connection `index`, whose record begins at `offset`: for a reader that has skipped records by itself.
   *
   * @returns False where the receiver drops the rest of the message.
   */
  seek(index: number, offset: number): boolean {
    this.index = index
    this.offset = offset
    this.verdict = 0
    if (this.hasParameters) this.forgetParameters()
    if (this.version !== 1) return this.#seekV0(offset)
    const left = this.bytes.length - offset
    if (left < V1_LENGTH_IPV4) return this.#giveUp(PROBLEMS.RECORD_TRUNCATED.number, offset)
    if ((this.data.getInt32(offset + V1_TYPE) & PLAIN_MASK) !== V1_LENGTH_IPV4) return this.#seekLongV1(offset, left)
    this.ipv6 = false
    this.addressLength = 4
    this.end = offset + V1_LENGTH_IPV4
    if ((this.data.getInt32(offset + V1_FLAGS) & DOUBTFUL_FLAGS) !== 0 || this.state >= stateCount(this.protocol))
      this.#judgeV1(offset)
    return true
  }

  /** Byte offset behind the current record and its padding: where the next one begins. */
  get following(): number {
    return (this.end + 3) & ~3
  }

  /** IP protocol number. */
  get protocol(): number {
    return this.bytes[this.offset + this.protocolAt]!
  }

  /** All flags: 32 bits in version 1, 16 in version 0. */
  get flags(): number {
    return this.version === 1 ? this.data.getInt32(this.offset + V1_FLAGS) : this.data.getUint16(this.offset + V0_FLAGS)
  }

  /** State's number, 0…65535. */
  get state(): number {
    return this.data.getUint16(this.offset + this.stateAt)
  }

  /** Client's port. */
  get clientPort(): number {
    return this.data.getUint16(this.offset + this.portsAt)
  }

  /** Virtual service's port. */
  get virtualPort(): number {
    return this.data.getUint16(this.offset + this.portsAt + 2)
  }

  /** Real server's port. */
  get destinationPort(): number {
    return this.data.getUint16(this.offset + this.portsAt + 4)
  }

  /** Firewall mark, 32 bits unsigned; 0 in version 0, which has none. */
  get fwmark(): number {
    return this.version === 1 ? this.data.getUint32(this.offset + V1_FWMARK) : 0
  }

  /** Full timeout in seconds, 32 bits unsigned; 0 in version 0, which has none. */
  get timeout(): number {
    return this.version === 1 ? this.data.getUint32(this.offset + V1_TIMEOUT) : 0
  }

  /** Word `i` of the client's address: 0 for IPv4, 0…3 for IPv6. */
  clientWord(i: number): number {
    return this.data.getInt32(this.offset + this.clientAt + 4 * i)
  }

  /** Word `i` of the virtual service's address. */
  virtualWord(i: number): number {
    return this.data.getInt32(this.offset + this.clientAt + this.addressLength + 4 * i)
  }

  /** Word `i` of the real server's address. */
  destinationWord(i: number): number {
    return this.data.getInt32(this.offset + this.clientAt + 2 * this.addressLength + 4 * i)
  }

  /** Number `i` of the sequence data, 32 bits: 0…2 of the incoming direction, 3…5 of the outgoing. Only where there is some. */
  sequenceWord(i: number): number {
    return this.data.getInt32(this.sequenceOffset + 4 * i, this.version === 0 && this.#littleEndian)
  }

  /** The persistence engine's data: a view of the message's bytes. */
  engineData(): Uint8Array {
    return this.bytes.subarray(this.engineDataOffset, this.engineDataOffset + this.engineDataLength)
  }

  /** The persistence engine's name: a view of the message's bytes. */
  engineName(): Uint8Array {
    return this.bytes.subarray(this.engineNameOffset, this.engineNameOffset + this.engineNameLength)
  }

  #takeLayoutV0(): void {
    this.protocolAt = V0_PROTOCOL
    this.stateAt = V0_STATE
    this.portsAt = V0_CLIENT_PORT
    this.clientAt = V0_CLIENT
    this.addressLength = 4
  }

  #takeLayoutV1(): void {
    this.protocolAt = V1_PROTOCOL
    this.stateAt = V1_STATE
    this.portsAt = V1_CLIENT_PORT
    this.clientAt = V1_CLIENT
  }

  #seekV0(offset: number): boolean {
    const left = this.bytes.length - offset
    this.ipv6 = false
    if (left < V0_LENGTH) return this.#giveUp(PROBLEMS.RECORD_TRUNCATED.number, offset)
    const flags = this.data.getUint16(offset + V0_FLAGS)
    const length = lengthV0(flags)
    if (left < length) return this.#giveUp(PROBLEMS.RECORD_TRUNCATED.number, offset)
    if (length !== V0_LENGTH) {
      this.hasParameters = true
      this.sequenceOffset = offset + V0_LENGTH
    }
    this.end = offset + length
    this.#judge(flags, this.bytes[offset + V0_PROTOCOL]!, this.data.getUint16(offset + V0_STATE))
    return true
  }

  /** Anything but an IPv4 record without parameters. */
  #seekLongV1(offset: number, left: number): boolean {
    const verSize = this.data.getUint16(offset + V1_VER_SIZE)
    const length = verSize & SIZE_MASK
    if (length > left) return this.#giveUp(PROBLEMS.RECORD_LENGTH.number, offset + V1_VER_SIZE)
    if (verSize >>> VERSION_SHIFT !== 0) return this.#giveUp(PROBLEMS.RECORD_VERSION.number, offset + V1_VER_SIZE)
    const type = this.bytes[offset + V1_TYPE]!
    this.ipv6 = (type & TYPE_IPV6) !== 0
    this.addressLength = this.ipv6 ? 16 : 4
    if (!this.ipv6 && type !== 0) return this.#giveUp(PROBLEMS.RECORD_TYPE.number, offset + V1_TYPE)
    const fixed = this.ipv6 ? V1_LENGTH_IPV6 : V1_LENGTH_IPV4
    if (length < fixed) return this.#giveUp(PROBLEMS.RECORD_TOO_SHORT.number, offset + V1_VER_SIZE)
    this.end = offset + length
    const problem = length > fixed ? this.readParameters(this.bytes, offset + fixed, this.end) : 0
    if (problem === UNKNOWN) this.#skip(problem, this.parameterAt)
    else if (problem !== 0) return this.#giveUp(problem, this.parameterAt)
    else if (this.#judgeV1(offset) && this.engineDataOffset !== 0) this.#judgeEngine()
    return true
  }

  #judgeV1(offset: number): boolean {
    const flags = this.data.getInt32(offset + V1_FLAGS)
    return this.#judge(flags, this.bytes[offset + V1_PROTOCOL]!, this.data.getUint16(offset + V1_STATE))
  }

  #judge(flags: number, protocol: number, state: number): boolean {
    const problem = judge(flags, protocol, state, this.#checks)
    if (problem !== 0) this.#skip(problem, this.offset)
    return problem === 0
  }

  #judgeEngine(): void {
    if (this.engineNameOffset === 0) this.#skip(PROBLEMS.ENGINE_NAME_MISSING.number, this.engineDataOffset)
    else if (!this.#engines.some((name) => isSameName(name, this.engineName())))
      this.#skip(PROBLEMS.ENGINE_UNKNOWN.number, this.engineNameOffset)
  }

  #skip(problem: number, offset: number): void {
    this.verdict = problem
    this.verdictOffset = offset
  }

  #giveUp(problem: number, offset: number): false {
    this.fault = problem
    this.faultOffset = offset
    return false
  }
}

const NOTHING = new Uint8Array(0)

/** Returns the bytes of an ASCII name. */
function asciiBytes(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0))
}

/** Compares `found` up to its first zero byte with `name`, as the kernel compares its copy of the name. */
function isSameName(name: Uint8Array, found: Uint8Array): boolean {
  const zero = found.indexOf(0)
  const length = zero < 0 ? found.length : zero
  return length === name.length && name.every((byte, i) => byte === found[i])
}
