import { messageV0, messageV1, recordV0, recordV1, type RecordFields } from './message.js'
import type { Random } from './random.js'

// A generator of messages that a backup must judge: sound ones, ones with exactly one fault of docs/protocol.md section 4,
// ones with bytes flipped, cut or grown, and noise. Weighted so that most get past the header.

const SYNCID = 7
/** Every byte is set: whatever single byte a mutation clears, the entry still outlives the run. */
const LONG_TIMEOUT = 0x00030303
const STATES: Readonly<Record<number, number>> = { 6: 11, 17: 1, 132: 14, 51: 1, 50: 1 }
const PROTOCOLS = [6, 6, 6, 17, 17, 132, 132, 51, 50]
const FLAG = { TEMPLATE: 0x1000, NO_CPORT: 0x0800, ONE_PACKET: 0x2000, IN_SEQ: 0x0400 }
const SIP = [...Buffer.from('sip')]

type Spoiler = (fields: RecordFields, random: Random) => Uint8Array

/** One fault each, for each row that a receiver checks in a version 1 record. */
const SPOILERS: readonly Spoiler[] = [
  (fields, random) => recordV1(fields).slice(0, random.below(36)),
  (fields, random) => recordV1({ ...fields, length: recordV1(fields).length + 1 + random.below(500) }),
  (fields, random) => recordV1({ ...fields, version: 1 + random.below(15) }),
  (fields, random) => recordV1({ ...ipv4(fields), type: 2 * (1 + random.below(127)) }),
  (fields, random) => recordV1({ ...fields, length: random.below(fields.client?.length === 16 ? 72 : 36) }),
  (fields, random) => recordV1({ ...fields, parameters: [random.below(256)] }),
  (fields, random) => recordV1({ ...fields, parameters: [random.below(256), 0, ...noise(random, random.below(4))] }),
  (fields, random) => recordV1({ ...fields, parameters: [random.below(256), 9 + random.below(200), 1, 2] }),
  (fields, random) =>
    recordV1({
      ...fields,
      parameters: parameter(random.pick([1, 0x41]), noise(random, random.pick([1, 23, 25, 200])))
    }),
  (fields, random) => recordV1({ ...fields, parameters: [...sequence(random), ...sequence(random)] }),
  (fields, random) => recordV1({ ...fields, parameters: [...parameter(2, SIP), ...parameter(0x42, noise(random, 5))] }),
  (fields, random) => recordV1({ ...fields, parameters: parameter(3, noise(random, 17 + random.below(200))) }),
  (fields) => recordV1({ ...fields, parameters: [...parameter(3, SIP), ...parameter(3, SIP)] }),
  (fields, random) =>
    recordV1({
      ...fields,
      parameters: parameter(random.pick([0, 4, 5, 0x3f, 0x80]), noise(random, 1 + random.below(9)))
    }),
  (fields) => recordV1({ ...fields, flags: 0x2100, protocol: 6, state: 1 }),
  (fields) => recordV1({ ...fields, flags: 0x1900, state: 1 }),
  (fields, random) => recordV1({ ...fields, flags: 0x100, protocol: random.pick([0, 1, 2, 5, 7, 58, 99, 255]) }),
  (fields, random) => recordV1({ ...fields, ...badState(random) }),
  (fields, random) => recordV1({ ...fields, flags: 0x1100, state: random.pick([2, 3, 11, 255, 65535]) }),
  (fields, random) => recordV1({ ...fields, parameters: parameter(2, noise(random, 1 + random.below(20))) }),
  (fields, random) =>
    recordV1({
      ...fields,
      parameters: [
        ...parameter(2, noise(random, 4)),
        ...parameter(3, [...Buffer.from(random.pick(['SIP', 'si', 'sipp', 'h323']))])
      ]
    })
]

/** Draws datagrams without end. */
export class Generator {
  readonly #random: Random
  #fresh = 0

  constructor(random: Random) {
    this.#random = random
  }

  /** The next datagram, 0…1472 bytes. */
  next(): Uint8Array {
    const random = this.#random
    const draw = random.below(100)
    if (draw < 34) return this.#sound()
    if (draw < 74) return this.#spoilt()
    if (draw < 88) return this.#mutated()
    if (draw < 95) return badHeader(this.#sound(), random)
    return Uint8Array.from(noise(random, random.below(120)))
  }

  #sound(): Uint8Array {
    const random = this.#random
    if (random.chance(8)) return messageV1([recordV1(this.#fields('no-port'))])
    const count = random.chance(3) ? 15 : random.below(6)
    if (random.chance(20))
      return messageV0(
        Array.from({ length: count }, () => this.#soundV0()),
        this.#outside()
      )
    const records = Array.from({ length: count }, () => recordV1(this.#fields('met', true)))
    return messageV1(records, this.#outside())
  }

  /** Now and then bytes after the last record, which nobody reads. */
  #outside(): { trailer: Uint8Array } {
    const random = this.#random
    return { trailer: Uint8Array.from(random.chance(5) ? noise(random, random.below(40)) : []) }
  }

  #soundV0(): Uint8Array {
    const random = this.#random
    const fields = this.#fields('passing', false, false)
    const withSequence = random.chance(20)
    const flags = (fields.flags! & 0xffff) | (withSequence ? FLAG.IN_SEQ : 0)
    return recordV0({ ...fields, flags, sequence: withSequence ? Array.from({ length: 6 }, random.word) : [] })
  }

  #spoilt(): Uint8Array {
    const random = this.#random
    if (random.chance(15)) return this.#spoiltV0()
    const records = Array.from({ length: random.below(3) }, () => recordV1(this.#fields('met', true)))
    records.push(random.pick(SPOILERS)(this.#fields('met'), random))
    for (let more = random.below(2); more > 0; more--) records.push(recordV1(this.#fields('met', true)))
    return messageV1(records)
  }

  #spoiltV0(): Uint8Array {
    const random = this.#random
    const fields = this.#fields('passing', false, false)
    const spoilt = random.pick([
      () => recordV0(fields).slice(0, random.below(24)),
      () => recordV0({ ...fields, flags: 0x500 }),
      () => recordV0({ ...fields, flags: 0x100, protocol: 99 }),
      () => recordV0({ ...fields, ...badState(random) }),
      () => recordV0({ ...fields, flags: 0x1100, state: 7 }),
      () => recordV0({ ...fields, flags: 0x2100, protocol: 17, state: 0 })
    ])()
    const rest = spoilt.length === 24 && random.chance(50) ? [this.#soundV0()] : []
    return messageV0([this.#soundV0(), spoilt, ...rest])
  }

  #mutated(): Uint8Array {
    const random = this.#random
    const bytes = [...this.#sound()]
    for (let times = 1 + random.below(4); times > 0; times--) {
      const at = 8 + random.below(Math.max(1, bytes.length - 8))
      const kind = random.below(4)
      if (kind === 0) bytes[at] = random.below(256)
      else if (kind === 1) bytes[at]! ^= 1 << random.below(8)
      else if (kind === 2) bytes.splice(at, 1 + random.below(4))
      else bytes.splice(at, 0, ...noise(random, 1 + random.below(4)))
    }
    const mutated = Uint8Array.from(bytes, (byte) => byte | 0)
    // Most mutations shall be seen by more than the header's own check.
    if (mutated.length >= 4) new DataView(mutated.buffer).setUint16(2, mutated.length)
    return mutated
  }

  /**
   * A connection.
   *
   * - `met`: of a small world, so that records meet entries that exist. It is the same destination for the same client,
   *   with few exceptions: an entry that is replaced costs a wait.
   * - `no-port`: of a smaller one, where entries with and without a client's port meet.
   * - `passing`: met by nothing else, since with a short timeout it may expire at any moment.
   */
  #fields(world: 'met' | 'no-port' | 'passing', parameters = false, ipv6 = this.#random.chance(35)): RecordFields {
    const random = this.#random
    const kind = world === 'met' && random.chance(8) ? 'passing' : world
    const template = kind !== 'no-port' && random.chance(20)
    const protocol = template ? random.pick([0, 6, 17, 132, 99]) : random.pick(PROTOCOLS)
    const noPort = kind === 'no-port' && random.chance(50)
    const odd = random.chance(5) ? random.word() & 0xc0e0 : 0
    const flags =
      random.pick([0, 0x100]) | random.below(5) | (template ? FLAG.TEMPLATE : 0) | (noPort ? FLAG.NO_CPORT : 0)
    const key = this.#key(kind, ipv6, template, protocol, noPort)
    // A kernel finds a template with a client's port when a connection with its engine data is announced: see docs/conformance.md.
    const engines = !template ? 3 : key.cport === 0 ? 20 : 0
    return {
      protocol,
      state: template ? random.below(2) : random.below(STATES[protocol]!),
      flags: (flags ^ odd) >>> 0,
      ...key,
      fwmark: random.chance(10) ? random.word() : 0,
      timeout: kind === 'passing' ? random.pick([0, 0, 1, 30, 0x7fffff]) : LONG_TIMEOUT,
      parameters: parameters ? this.#parameters(engines) : []
    }
  }

  #key(
    world: 'met' | 'no-port' | 'passing',
    ipv6: boolean,
    template: boolean,
    protocol: number,
    noPort: boolean
  ): RecordFields {
    const random = this.#random
    const host = world === 'passing' ? ++this.#fresh : random.below(world === 'met' ? 6 : 3)
    const moved = world !== 'passing' && random.chance(world === 'met' ? 2 : 20)
    const real = 2 + ((host + Number(moved)) & 1)
    const port = world === 'passing' ? 1 + (this.#fresh % 60000) : 1000 + random.below(world === 'met' ? 8 : 2)
    // No director makes a template with a client's port, but both ports count where one is looked for.
    const noClientPort = (template && !random.chance(15)) || (noPort && random.chance(85))
    const cport = noClientPort ? 0 : port
    const vport = world === 'no-port' ? 81 : template ? random.pick([0, 80]) : 80
    const mark = template && protocol === 0 ? [0, 0, 0, random.below(4)] : undefined
    const tail = [world === 'passing' ? 172 : 192, host >> 16, (host >> 8) & 0xff, host & 0xff]
    const rest = { cport, vport, dport: moved ? 8081 : 8080 }
    if (!ipv6) return { ...rest, client: tail, virtual: mark ?? [10, 1, 0, 100], destination: [10, 2, 0, real] }
    const wide = (lead: number, end: readonly number[]): number[] => [
      0xfd,
      lead,
      ...new Array<number>(14 - end.length).fill(0),
      ...end
    ]
    // Of a firewall mark's address only the first four bytes count; a kernel stores the rest as zero.
    const virtual = mark === undefined ? wide(1, [1, 0]) : [...mark, ...noise(random, 12)]
    return { ...rest, client: wide(1, tail), virtual, destination: wide(2, [real]) }
  }

  /** @param engines - Of a hundred, how many have an engine's data. */
  #parameters(engines: number): number[] {
    const random = this.#random
    const bytes: number[] = []
    if (random.chance(10)) bytes.push(...sequence(random))
    if (random.chance(engines))
      bytes.push(
        ...parameter(random.pick([2, 0x42]), [...Buffer.from(`call-${random.below(4)}@example`)]),
        ...parameter(3, SIP)
      )
    else if (random.chance(3)) bytes.push(...parameter(3, SIP))
    if (random.chance(8))
      bytes.push(...parameter(0x40 | random.pick([0, 5, 0x11, 0x3f, 0x85]), noise(random, 1 + random.below(7))))
    return bytes
  }
}

function badHeader(message: Uint8Array, random: Random): Uint8Array {
  const bytes = Uint8Array.from(message)
  const kind = random.below(5)
  if (kind === 0) return bytes.slice(0, random.below(4))
  if (kind === 1) bytes[3]! ^= 1 << random.below(8)
  else if (kind === 2) bytes[1] = random.below(256)
  else if (kind === 3 && bytes.length >= 8) bytes[random.pick([0, 5, 6, 7])] = 1 + random.below(255)
  else return bytes.slice(0, 4 + random.below(Math.max(1, bytes.length - 4)))
  return bytes
}

function badState(random: Random): RecordFields {
  const protocol = random.pick([6, 17, 132, 51, 50])
  return { flags: 0x100, protocol, state: random.pick([STATES[protocol]!, STATES[protocol]! + 1, 255, 256, 65535]) }
}

function ipv4(fields: RecordFields): RecordFields {
  return fields.client?.length === 4
    ? fields
    : { ...fields, client: [192, 0, 2, 9], virtual: [10, 1, 0, 100], destination: [10, 2, 0, 2] }
}

function parameter(type: number, data: readonly number[]): number[] {
  return [type, data.length, ...data]
}

function sequence(random: Random): number[] {
  return parameter(random.pick([1, 0x41]), noise(random, 24))
}

function noise(random: Random, length: number): number[] {
  return Array.from({ length }, () => random.below(256))
}

export { SYNCID }
