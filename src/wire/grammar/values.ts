/**
 * Parsed records as values: plain objects, frozen with all that they contain.
 *
 * @module
 */
import { formatIpv4, formatIpv6 } from '../../addresses.js'
import type { Connection, Endpoint, SequenceAdjustment } from '../connection.js'
import { FLAG } from '../constants.js'
import { flagNames, forwardingName } from '../flags.js'
import { protocolName, stateName } from '../protocols.js'
import type { ParameterValues } from './parameters.js'
import type { RecordFields, RecordFieldsIpv6, RecordFieldsV1, SequenceFields } from './parsers.js'

/** Makes the value of a version 0 record. */
export function valueV0(record: RecordFields, sequence?: SequenceFields): Connection {
  const { protocol, client, virtual, destination, flags, state } = record
  const value = {
    family: 'ipv4',
    protocol: protocolName(protocol),
    client: Object.freeze({ address: formatIpv4(client), port: record.clientPort }),
    virtual: sharedEndpoint(virtual, record.virtualPort),
    destination: sharedEndpoint(destination, record.destinationPort),
    forwarding: forwardingName(flags),
    flags: flagNames(flags),
    state: stateName(protocol, (flags & FLAG.TEMPLATE) !== 0, state)
  } as const
  return Object.freeze(sequence === undefined ? value : { ...value, ...adjustments(sequence) })
}

/** Makes the value of a version 1 IPv4 record. */
export function valueIpv4(record: RecordFieldsV1, parameters?: ParameterValues): Connection {
  const { protocol, client, virtual, destination, flags, state } = record
  const value = {
    family: 'ipv4',
    protocol: protocolName(protocol),
    client: Object.freeze({ address: formatIpv4(client), port: record.clientPort }),
    virtual: sharedEndpoint(virtual, record.virtualPort),
    destination: sharedEndpoint(destination, record.destinationPort),
    forwarding: forwardingName(flags),
    flags: flagNames(flags),
    state: stateName(protocol, (flags & FLAG.TEMPLATE) !== 0, state),
    fwmark: record.fwmark >>> 0,
    timeout: record.timeout >>> 0
  } as const
  return Object.freeze(parameters === undefined ? value : withParameters(value, parameters))
}

/** Makes the value of a version 1 IPv6 record. */
export function valueIpv6(record: RecordFieldsIpv6, parameters?: ParameterValues): Connection {
  const { protocol, flags, state } = record
  const { client, client1, client2, client3, virtual, virtual1, virtual2, virtual3 } = record
  const { destination, destination1, destination2, destination3 } = record
  const value = {
    family: 'ipv6',
    protocol: protocolName(protocol),
    client: endpointIpv6([client, client1, client2, client3], record.clientPort),
    virtual: endpointIpv6([virtual, virtual1, virtual2, virtual3], record.virtualPort),
    destination: endpointIpv6([destination, destination1, destination2, destination3], record.destinationPort),
    forwarding: forwardingName(flags),
    flags: flagNames(flags),
    state: stateName(protocol, (flags & FLAG.TEMPLATE) !== 0, state),
    fwmark: record.fwmark >>> 0,
    timeout: record.timeout >>> 0
  } as const
  return Object.freeze(parameters === undefined ? value : withParameters(value, parameters))
}

function withParameters(value: Connection, { sequence, engine }: ParameterValues): Connection {
  return {
    ...value,
    ...(sequence !== undefined && adjustments(sequence)),
    ...(engine !== undefined && { engine: Object.freeze(engine) })
  }
}

function adjustments(sequence: SequenceFields): {
  readonly inSequence: SequenceAdjustment
  readonly outSequence: SequenceAdjustment
} {
  const { inInitial, inDelta, inPreviousDelta, outInitial, outDelta, outPreviousDelta } = sequence
  return {
    inSequence: Object.freeze({ initial: inInitial, delta: inDelta, previousDelta: inPreviousDelta }),
    outSequence: Object.freeze({ initial: outInitial, delta: outDelta, previousDelta: outPreviousDelta })
  }
}

function endpointIpv6(words: readonly number[], port: number): Endpoint {
  return Object.freeze({ address: formatIpv6(words), port })
}

/** Services and real servers are few and are in every record: one frozen value of each is shared. */
const SHARED = 1024
const sharedWords = new Int32Array(SHARED)
const shared = new Array<Endpoint | undefined>(SHARED).fill(undefined)

function sharedEndpoint(word: number, port: number): Endpoint {
  const place = Math.imul(word ^ port, 0x9e3779b1) >>> 22
  const found = shared[place]
  if (found !== undefined && sharedWords[place] === word && found.port === port) return found
  const made = Object.freeze({ address: formatIpv4(word), port })
  sharedWords[place] = word
  shared[place] = made
  return made
}
