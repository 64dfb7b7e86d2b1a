/**
 * The format as a grammar: the fields of a message in the order of the bytes (docs/protocol.md sections 2 to 4).
 *
 * The parsers read complete structures only: `scan.ts` has checked the lengths.
 *
 * @module
 */
import { Parser } from 'binary-parser'

/** Parser with a typed result: binary-parser's own type is `any`. */
export interface Grammar<Value> {
  parse(bytes: Uint8Array): Value
}

/** Header of a version 0 message. */
export interface MessageHeader {
  readonly count: number
  readonly syncid: number
  readonly size: number
}

/** `struct ip_vs_sync_mesg_v0`, 4 bytes. */
export const MESSAGE_HEADER_V0: Grammar<MessageHeader> = new Parser()
  .endianness('big')
  .uint8('count')
  .uint8('syncid')
  .uint16('size')

/** Header of a version 1 message. */
export interface MessageHeaderV1 extends MessageHeader {
  readonly reserved: number
  readonly version: number
  readonly spare: number
}

/** `struct ip_vs_sync_mesg`, 8 bytes. */
export const MESSAGE_HEADER_V1: Grammar<MessageHeaderV1> = new Parser()
  .endianness('big')
  .uint8('reserved')
  .uint8('syncid')
  .uint16('size')
  .uint8('count')
  .int8('version')
  .uint16('spare')

/** Fields of records of both versions. 32-bit numbers are signed: V8 boxes unsigned ones. */
export interface RecordFields {
  readonly protocol: number
  readonly flags: number
  readonly state: number
  readonly clientPort: number
  readonly virtualPort: number
  readonly destinationPort: number
  /** An IPv4 address, or the first word of an IPv6 one. */
  readonly client: number
  readonly virtual: number
  readonly destination: number
}

/** Version 1 record without its parameters. */
export interface RecordFieldsV1 extends RecordFields {
  readonly fwmark: number
  readonly timeout: number
}

/** IPv6 record, with the other three words of each address. */
export interface RecordFieldsIpv6 extends RecordFieldsV1 {
  readonly client1: number
  readonly client2: number
  readonly client3: number
  readonly virtual1: number
  readonly virtual2: number
  readonly virtual3: number
  readonly destination1: number
  readonly destination2: number
  readonly destination3: number
}

/** `ip_vs_seq` twice: of incoming and of outgoing packets. */
export interface SequenceFields {
  readonly inInitial: number
  readonly inDelta: number
  readonly inPreviousDelta: number
  readonly outInitial: number
  readonly outDelta: number
  readonly outPreviousDelta: number
}

/** Parameter; `data` is a view of the message. */
export interface ParameterFields {
  readonly type: number
  readonly length: number
  readonly data: Uint8Array
}

/** Sequence data, 24 bytes: big-endian in version 1, in the sender's byte order in version 0. */
const sequence = (order: 'big' | 'little'): Parser =>
  new Parser()
    .endianness(order)
    .uint32('inInitial')
    .uint32('inDelta')
    .uint32('inPreviousDelta')
    .uint32('outInitial')
    .uint32('outDelta')
    .uint32('outPreviousDelta')

/** Sequence data in either byte order. */
export const SEQUENCE: Readonly<Record<'big' | 'little', Grammar<SequenceFields>>> = {
  big: sequence('big'),
  little: sequence('little')
}

/** `struct ip_vs_sync_conn_v0`, 24 bytes. */
const recordV0 = (): Parser =>
  new Parser()
    .endianness('big')
    .uint8('reserved')
    .uint8('protocol')
    .uint16('clientPort')
    .uint16('virtualPort')
    .uint16('destinationPort')
    .int32('client')
    .int32('virtual')
    .int32('destination')
    .uint16('flags')
    .uint16('state')

/** The first 24 bytes of `struct ip_vs_sync_v4` and `struct ip_vs_sync_v6`. */
const recordV1 = (): Parser =>
  new Parser()
    .endianness('big')
    .uint8('type')
    .uint8('protocol')
    .uint16('versionAndLength')
    .int32('flags')
    .uint16('state')
    .uint16('clientPort')
    .uint16('virtualPort')
    .uint16('destinationPort')
    .int32('fwmark')
    .int32('timeout')

const recordIpv4 = (): Parser => recordV1().int32('client').int32('virtual').int32('destination')

const recordIpv6 = (): Parser =>
  ['client', 'virtual', 'destination'].reduce(
    (record, name) => record.int32(name).int32(`${name}1`).int32(`${name}2`).int32(`${name}3`),
    recordV1()
  )

const parameter = (): Parser => new Parser().uint8('type').uint8('length').buffer('data', { length: 'length' })

/** Structures of one kind, back to back, to the end of the bytes. */
const list = (type: Parser): Parser => new Parser().array('items', { type, readUntil: 'eof' })

/** Structures of one kind, back to back. */
export interface List<Item> {
  readonly items: readonly Item[]
}

/** Version 0 records without sequence data. */
export const RECORDS_V0: Grammar<List<RecordFields>> = list(recordV0())
/** Version 1 IPv4 records without parameters. */
export const RECORDS_IPV4: Grammar<List<RecordFieldsV1>> = list(recordIpv4())
/** Version 1 IPv6 records without parameters. */
export const RECORDS_IPV6: Grammar<List<RecordFieldsIpv6>> = list(recordIpv6())
/** A version 1 record's parameters. */
export const PARAMETERS: Grammar<List<ParameterFields>> = list(parameter())
