// Messages worked by hand from docs/protocol.md sections 2 to 4. None of the package's code: what judges the encoder
// cannot be made by it.

/** The fields of a version 1 record; whatever is left out makes a plain TCP connection that a kernel accepts. */
export interface RecordFields {
  readonly type?: number
  readonly protocol?: number
  /** Record version, 0…15. */
  readonly version?: number
  /** The length field, if it shall not be the true one. */
  readonly length?: number
  readonly flags?: number
  readonly state?: number
  readonly cport?: number
  readonly vport?: number
  readonly dport?: number
  readonly fwmark?: number
  readonly timeout?: number
  /** 4 or 16 bytes each. */
  readonly client?: readonly number[]
  readonly virtual?: readonly number[]
  readonly destination?: readonly number[]
  /** Parameter bytes: type, length, data, back to back. */
  readonly parameters?: readonly number[]
}

/** What stands around the records of a message. */
export interface Outside {
  /** 7 unless given. */
  readonly syncid?: number
  /** The header's count, if it shall not be the true one; 8 bits of it are written. */
  readonly count?: number
  /** Bytes after the last record, inside the message's size. */
  readonly trailer?: Uint8Array
}

/** A version 1 record without padding. */
export function recordV1(fields: RecordFields): Uint8Array {
  const { client = [192, 0, 2, 1], virtual = [10, 1, 0, 100], destination = [10, 2, 0, 2], parameters = [] } = fields
  const { cport = 1000, vport = 80, dport = 8080, fwmark = 0, timeout = 0, flags = 0x100, state = 1 } = fields
  const addresses = [...client, ...virtual, ...destination]
  const length = 24 + addresses.length + parameters.length
  const bytes = new Uint8Array(length)
  const view = new DataView(bytes.buffer)
  bytes[0] = fields.type ?? (client.length === 16 ? 1 : 0)
  bytes[1] = fields.protocol ?? 6
  view.setUint16(2, ((fields.version ?? 0) << 12) | ((fields.length ?? length) & 0xfff))
  view.setUint32(4, flags)
  view.setUint16(8, state)
  view.setUint16(10, cport)
  view.setUint16(12, vport)
  view.setUint16(14, dport)
  view.setUint32(16, fwmark)
  view.setUint32(20, timeout)
  bytes.set([...addresses, ...parameters], 24)
  return bytes
}

/** A version 1 message: records with zeros between them up to multiples of four, the last one not padded. */
export function messageV1(
  records: readonly Uint8Array[],
  { syncid = 7, count = records.length, trailer = new Uint8Array(0) }: Outside = {}
): Uint8Array {
  const bytes = [0, syncid, 0, 0, count & 0xff, 1, 0, 0]
  records.forEach((record, index) => {
    bytes.push(...record)
    while (index < records.length - 1 && bytes.length % 4 !== 0) bytes.push(0)
  })
  return withSize([...bytes, ...trailer])
}

/** A version 0 record, 24 or 48 bytes. Sequence words are in this machine's order, which is little-endian. */
export function recordV0(fields: RecordFields & { readonly sequence?: readonly number[] }): Uint8Array {
  const { client = [192, 0, 2, 1], virtual = [10, 1, 0, 100], destination = [10, 2, 0, 2], sequence = [] } = fields
  const bytes = new Uint8Array(24 + 4 * sequence.length)
  const view = new DataView(bytes.buffer)
  bytes[1] = fields.protocol ?? 6
  view.setUint16(2, fields.cport ?? 1000)
  view.setUint16(4, fields.vport ?? 80)
  view.setUint16(6, fields.dport ?? 8080)
  bytes.set([...client, ...virtual, ...destination], 8)
  view.setUint16(20, fields.flags ?? 0x100)
  view.setUint16(22, fields.state ?? 1)
  sequence.forEach((word, index) => view.setUint32(24 + 4 * index, word, true))
  return bytes
}

/** A version 0 message. */
export function messageV0(
  records: readonly Uint8Array[],
  { syncid = 7, count = records.length, trailer = new Uint8Array(0) }: Outside = {}
): Uint8Array {
  const bytes = [count & 0xff, syncid, 0, 0]
  for (const record of records) bytes.push(...record)
  return withSize([...bytes, ...trailer])
}

function withSize(bytes: readonly number[]): Uint8Array {
  const message = Uint8Array.from(bytes)
  new DataView(message.buffer).setUint16(2, message.length & 0xffff)
  return message
}

/** A record as the wire has it, read by hand. */
export interface WireRecord {
  readonly ipv6: boolean
  readonly protocol: number
  readonly flags: number
  readonly state: number
  readonly client: Uint8Array
  readonly clientPort: number
  readonly virtual: Uint8Array
  readonly virtualPort: number
  readonly destination: Uint8Array
  readonly destinationPort: number
  /** -1 in version 0, which has none. */
  readonly fwmark: number
  /** -1 in version 0, which has none. */
  readonly timeout: number
  /** Six words; empty if the record has none. */
  readonly sequence: readonly number[]
}

/** Reads the records of a sound message; what a kernel sends is sound. */
export function readRecords(bytes: Uint8Array): WireRecord[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return bytes[0] === 0 && bytes[5] === 1 ? readV1(view, bytes) : readV0(view, bytes)
}

function readV1(view: DataView, bytes: Uint8Array): WireRecord[] {
  const records: WireRecord[] = []
  for (let at = 8, left = bytes[4]!; left > 0; left--) {
    const ipv6 = (bytes[at]! & 1) === 1
    const wide = ipv6 ? 16 : 4
    const address = (index: number): Uint8Array => bytes.slice(at + 24 + index * wide, at + 24 + (index + 1) * wide)
    records.push({
      ipv6,
      protocol: bytes[at + 1]!,
      flags: view.getUint32(at + 4),
      state: view.getUint16(at + 8),
      clientPort: view.getUint16(at + 10),
      virtualPort: view.getUint16(at + 12),
      destinationPort: view.getUint16(at + 14),
      fwmark: view.getUint32(at + 16),
      timeout: view.getUint32(at + 20),
      sequence: sequenceOf(view, at + 24 + 3 * wide, at + (view.getUint16(at + 2) & 0xfff)),
      client: address(0),
      virtual: address(1),
      destination: address(2)
    })
    at += ((view.getUint16(at + 2) & 0xfff) + 3) & ~3
  }
  return records
}

/** The six words of a version 1 record's sequence parameter, big-endian; empty if there is none. */
function sequenceOf(view: DataView, from: number, end: number): number[] {
  for (let at = from; at + 2 <= end; at += 2 + view.getUint8(at + 1))
    if ((view.getUint8(at) & 0x3f) === 1)
      return Array.from({ length: 6 }, (_, word) => view.getUint32(at + 2 + 4 * word))
  return []
}

function readV0(view: DataView, bytes: Uint8Array): WireRecord[] {
  const records: WireRecord[] = []
  for (let at = 4, left = bytes[0]!; left > 0; left--) {
    const flags = view.getUint16(at + 20)
    const words = (flags & 0x600) === 0 ? 0 : 6
    records.push({
      ipv6: false,
      protocol: bytes[at + 1]!,
      flags,
      state: view.getUint16(at + 22),
      clientPort: view.getUint16(at + 2),
      virtualPort: view.getUint16(at + 4),
      destinationPort: view.getUint16(at + 6),
      fwmark: -1,
      timeout: -1,
      sequence: Array.from({ length: words }, (_, word) => view.getUint32(at + 24 + 4 * word, true)),
      client: bytes.slice(at + 8, at + 12),
      virtual: bytes.slice(at + 12, at + 16),
      destination: bytes.slice(at + 16, at + 20)
    })
    at += 24 + 4 * words
  }
  return records
}

/** Every field of a record as text. */
export function show(record: WireRecord): string {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
  const { protocol, flags, state, fwmark, timeout } = record
  return [
    `protocol ${protocol}`,
    `${hex(record.client)}:${record.clientPort}`,
    `${hex(record.virtual)}:${record.virtualPort}`,
    `${hex(record.destination)}:${record.destinationPort}`,
    `flags ${flags.toString(16)} state ${state} fwmark ${fwmark} timeout ${timeout}`
  ].join(' ')
}
