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
  { syncid = 7, count = records.length, trailer = new Uint8Array(0) } = {}
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
  { syncid = 7, count = records.length, trailer = new Uint8Array(0) } = {}
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
