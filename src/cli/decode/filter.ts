/**
 * Which messages and connections `decode` shows. Values of one option are alternatives; different options must all hold.
 *
 * @module
 */

import { formatAddress, networkHolds, parseNetwork, type Network } from '../../addresses.js'
import { IpvsSyncError } from '../../errors.js'
import { FLAG } from '../../wire/constants.js'
import { protocolNumber, stateName } from '../../wire/protocols.js'
import type { CapturedMessage } from './captured-message.js'
import type { MessageRecords } from './message-records.js'
import { timeWindow } from './time-window.js'

const { TEMPLATE: FLAG_TEMPLATE } = FLAG

/** The options as they were typed. */
export interface FilterOptions {
  readonly client?: readonly string[] | undefined
  readonly virtual?: readonly string[] | undefined
  readonly destination?: readonly string[] | undefined
  readonly state?: readonly string[] | undefined
  readonly protocol?: readonly string[] | undefined
  readonly syncid?: readonly string[] | undefined
  readonly sender?: readonly string[] | undefined
  readonly problem?: readonly string[] | undefined
  /** Bounds of the time of capture. */
  readonly from?: string | undefined
  readonly to?: string | undefined
  /** Templates alone, or anything but templates. */
  readonly template?: boolean | undefined
}

/** An address or network, a port, or both. */
export interface EndpointPattern {
  readonly network: Network | undefined
  readonly port: number | undefined
}

type RecordTest = (records: MessageRecords, record: number) => boolean
type MessageTest = (message: CapturedMessage) => boolean

/** Selects messages, and connections in them. */
export class Filter {
  readonly #messageTests: MessageTest[] = []
  readonly #recordTests: RecordTest[] = []

  /** @throws {IpvsSyncError} `ERR_CONFIG` for a value that is not accepted. */
  constructor(options: FilterOptions) {
    for (const [i, name] of (['client', 'virtual', 'destination'] as const).entries())
      this.#addRecordTest(options[name], (text) => {
        const { network, port } = parseEndpointPattern(`--${name}`, text)
        return (records, record) => {
          if (port !== undefined && records.view.getUint16(records.portsAt(record) + 2 * i) !== port) return false
          return network === undefined || networkHolds(network, addressOf(records, record, i))
        }
      })
    this.#addRecordTest(options.state, (text) => {
      const wanted = text.toUpperCase()
      return (records, record) => stateOf(records, record) === wanted
    })
    this.#addRecordTest(options.protocol, (text) => {
      const number = protocolNumber(text.toUpperCase())
      if (number === undefined) throw wrong('--protocol', 'a name like TCP or a number from 0 to 255', text)
      return (records, record) => records.protocol(record) === number
    })
    const { template } = options
    if (template !== undefined)
      this.#recordTests.push((records, record) => ((records.flags(record) & FLAG_TEMPLATE) !== 0) === template)
    const { from, to } = options
    if (from !== undefined || to !== undefined) {
      const isWithin = timeWindow(from, to)
      this.#messageTests.push(({ ms }) => ms !== undefined && isWithin(ms))
    }
    this.#addMessageTest(options.syncid, (text) => {
      if (!/^\d{1,3}$/.test(text) || Number(text) > 255) throw wrong('--syncid', 'an integer from 0 to 255', text)
      return ({ records }) => records.syncid === Number(text)
    })
    this.#addMessageTest(options.sender, (text) => {
      const network = parseNetwork(text)
      if (network === undefined) throw wrong('--sender', 'an address or a network', text)
      return ({ sender }) => networkHolds(network, sender)
    })
    this.#addMessageTest(options.problem, (text) => {
      const wanted = text.toUpperCase()
      if (!/^[A-Z_0-9]+$/.test(wanted)) throw wrong('--problem', 'a code, drop, skip, warning or any', text)
      return ({ problems }) =>
        problems.some(({ code, severity }) => wanted === 'ANY' || code === wanted || severity.toUpperCase() === wanted)
    })
  }

  /** Whether everything is selected. */
  get isEmpty(): boolean {
    return this.#messageTests.length + this.#recordTests.length === 0
  }

  /**
   * Reduces a message to what is selected: other connections and their problems are removed, and the numbers of the rest are
   * counted anew.
   *
   * @returns False where nothing of it is selected.
   */
  select(message: CapturedMessage): boolean {
    if (!this.#messageTests.every((test) => test(message))) return false
    if (this.#recordTests.length === 0) return true
    const { records } = message
    const kept: number[] = []
    for (let record = 0; record < records.count; record++)
      if (this.#recordTests.every((test) => test(records, record))) kept.push(record)
    if (kept.length === 0) return false
    if (kept.length < records.count) {
      message.problems = message.problems.flatMap((problem) => {
        if (problem.connection === undefined) return [problem]
        const number = kept.indexOf(problem.connection)
        // A fault that drops the rest of the message concerns every connection before it.
        if (number < 0) return problem.severity === 'drop' ? [{ ...problem, connection: kept.length }] : []
        return [{ ...problem, connection: number }]
      })
      records.keep(kept)
    }
    return true
  }

  #addRecordTest(values: readonly string[] | undefined, make: (text: string) => RecordTest): void {
    const tests = values?.map(make) ?? []
    if (tests.length > 0) this.#recordTests.push((records, record) => tests.some((test) => test(records, record)))
  }

  #addMessageTest(values: readonly string[] | undefined, make: (text: string) => MessageTest): void {
    const tests = values?.map(make) ?? []
    if (tests.length > 0) this.#messageTests.push((message) => tests.some((test) => test(message)))
  }
}

/**
 * Reads `ADDRESS`, `NETWORK`, `ADDRESS:PORT`, `[IPv6]:PORT` or `:PORT`.
 *
 * @throws {IpvsSyncError} `ERR_CONFIG` where it is anything else.
 */
export function parseEndpointPattern(option: string, text: string): EndpointPattern {
  const whole = parseNetwork(text)
  if (whole !== undefined) return { network: whole, port: undefined }
  const [, bracketed, plain = '', portText = ''] = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(text) ?? []
  const address = bracketed ?? plain
  const network = address === '' ? undefined : parseNetwork(address)
  const isWrong = portText === '' || Number(portText) > 65_535 || (address !== '' && network === undefined)
  if (isWrong) throw wrong(option, 'ADDRESS, NETWORK/PREFIX, ADDRESS:PORT, [IPv6]:PORT or :PORT', text)
  return { network, port: Number(portText) }
}

/** Address of a record as text: 0 client, 1 virtual service, 2 destination. */
export function addressOf(records: MessageRecords, record: number, number: number): string {
  const isIpv6 = records.isIpv6(record)
  return formatAddress(records.view, records.addressesAt(record) + (isIpv6 ? 16 : 4) * number, isIpv6 ? 6 : 4)
}

function stateOf(records: MessageRecords, record: number): string {
  const isTemplate = (records.flags(record) & FLAG_TEMPLATE) !== 0
  return stateName(records.protocol(record), isTemplate, records.state(record))
}

function wrong(option: string, accepted: string, value: string): IpvsSyncError {
  return new IpvsSyncError('ERR_CONFIG', `${option}: expected ${accepted}, got "${value}"`, {
    field: option.replace(/^--/, '')
  })
}
