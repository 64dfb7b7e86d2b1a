/**
 * A connection as the grammar read it: numbers kept, text made when it is asked for.
 *
 * @module
 */
import { formatIpv4, formatIpv6 } from '../addresses.js'
import type { Connection, Endpoint, PersistenceEngine, SequenceAdjustment } from './connection.js'
import { FLAG } from './constants.js'
import { flagNames, forwardingName } from './flags.js'
import type { RecordFields, RecordFieldsIpv6, RecordFieldsV1, SequenceFields } from './grammar.js'
import { toHex, toText } from './hex.js'
import { protocolName, stateName } from './protocols.js'

/** What a record carries besides its fixed part. */
export interface Parameters {
  readonly sequence?: SequenceFields | undefined
  /** A copy of the bytes of the message. */
  readonly engineName?: Uint8Array | undefined
  readonly engineData?: Uint8Array | undefined
}

/** Fields of any kind of record. */
export type AnyRecord = RecordFields & Partial<Omit<RecordFieldsIpv6, keyof RecordFields>>

const NONE: Parameters = {}

/**
 * A connection of a decoded message. Its fields are getters: `toJSON()` gives them all as a plain object, which is what
 * `JSON.stringify` and `console.log` show and what one spreads to change something.
 */
export class WireConnection {
  readonly #record: AnyRecord
  readonly #parameters: Parameters

  /**
   * @param record - Its fixed part.
   * @param parameters - What it carries besides.
   */
  constructor(record: AnyRecord, parameters: Parameters = NONE) {
    this.#record = record
    this.#parameters = parameters
  }

  /** Address family; version 0 has IPv4 alone. */
  get family(): 'ipv4' | 'ipv6' {
    return isIpv6(this.#record) ? 'ipv6' : 'ipv4'
  }

  /** Protocol's name, or its number as text. */
  get protocol(): string {
    return protocolName(this.#record.protocol)
  }

  /** Client's address and port. */
  get client(): Endpoint {
    const record = this.#record
    const further = isIpv6(record) ? [record.client1, record.client2, record.client3] : ALONE
    return endpoint(record.client, further, record.clientPort)
  }

  /** Virtual service's address and port. */
  get virtual(): Endpoint {
    const record = this.#record
    const further = isIpv6(record) ? [record.virtual1, record.virtual2, record.virtual3] : ALONE
    return endpoint(record.virtual, further, record.virtualPort)
  }

  /** Real server's address and port. */
  get destination(): Endpoint {
    const record = this.#record
    const further = isIpv6(record) ? [record.destination1, record.destination2, record.destination3] : ALONE
    return endpoint(record.destination, further, record.destinationPort)
  }

  /** Forwarding method's name, or its number as text. */
  get forwarding(): string {
    return forwardingName(this.#record.flags)
  }

  /** Names of its flags, in bit order. */
  get flags(): readonly string[] {
    return flagNames(this.#record.flags)
  }

  /** State's name, or its number as text. */
  get state(): string {
    const { protocol, flags, state } = this.#record
    return stateName(protocol, (flags & FLAG.TEMPLATE) !== 0, state)
  }

  /** Firewall mark, 32 bits unsigned; undefined in version 0. */
  get fwmark(): number | undefined {
    const { fwmark } = this.#record
    return fwmark === undefined ? undefined : fwmark >>> 0
  }

  /** Full timeout in seconds, 32 bits unsigned; undefined in version 0. */
  get timeout(): number | undefined {
    const { timeout } = this.#record
    return timeout === undefined ? undefined : timeout >>> 0
  }

  /** Sequence adjustment of what comes from the client, where there is one. */
  get inSequence(): SequenceAdjustment | undefined {
    const { sequence } = this.#parameters
    if (sequence === undefined) return undefined
    return { initial: sequence.inInitial, delta: sequence.inDelta, previousDelta: sequence.inPreviousDelta }
  }

  /** Sequence adjustment of what goes to the client, where there is one. */
  get outSequence(): SequenceAdjustment | undefined {
    const { sequence } = this.#parameters
    if (sequence === undefined) return undefined
    return { initial: sequence.outInitial, delta: sequence.outDelta, previousDelta: sequence.outPreviousDelta }
  }

  /** Persistence engine's name and data, where there is either. */
  get engine(): PersistenceEngine | undefined {
    const { engineName, engineData } = this.#parameters
    if (engineName === undefined && engineData === undefined) return undefined
    return { name: toText(engineName ?? NOTHING), data: toHex(engineData ?? NOTHING) }
  }

  /** The connection as a plain object, with the keys that it has, in the JSON's order. */
  toJSON(): Connection {
    const { fwmark, timeout, inSequence, outSequence, engine } = this
    return {
      family: this.family,
      protocol: this.protocol,
      client: this.client,
      virtual: this.virtual,
      destination: this.destination,
      forwarding: this.forwarding,
      flags: this.flags,
      state: this.state,
      ...(fwmark !== undefined && { fwmark }),
      ...(timeout !== undefined && { timeout }),
      ...(inSequence !== undefined && { inSequence }),
      ...(outSequence !== undefined && { outSequence }),
      ...(engine !== undefined && { engine })
    }
  }

  /** What `console.log` shows. */
  [Symbol.for('nodejs.util.inspect.custom')](): Connection {
    return this.toJSON()
  }
}

const NOTHING = new Uint8Array(0)
const ALONE: readonly number[] = []

/** An address of one word, or of that and three further ones, and a port. */
function endpoint(first: number, further: readonly number[], port: number): Endpoint {
  return { address: further.length === 0 ? formatIpv4(first) : formatIpv6([first, ...further]), port }
}

/** Whether a record is one of the grammar's IPv6 records. */
function isIpv6(record: AnyRecord): record is RecordFieldsIpv6 & RecordFieldsV1 {
  return record.client1 !== undefined
}
