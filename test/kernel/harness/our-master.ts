import { ConnectionTable } from 'ipvs-sync'
import { MasterEngine, type ConnectionChange } from 'ipvs-sync/engine'
import { createRows, rowFromConnection } from 'ipvs-sync/wire'
import { addressText } from './our-table.js'
import type { KernelRow } from './kernel-table.js'
import { readRecords, type WireRecord } from './message.js'
import type { Kind, Observation } from './traffic.js'

/** What a run varies, named after the sysctls. */
export interface TrafficSettings {
  readonly threshold: readonly [number, number]
  readonly refresh: number
  readonly retries: number
  readonly persist: number
  readonly version: 0 | 1
}

/** Our master engine under a kernel's observations: packets, states and times are the kernel's, the decisions its own. */
export class OurMaster {
  readonly #engine: MasterEngine
  readonly #table = new ConnectionTable({ maxConnections: 10_000 })
  readonly #templates = new Map<string, number>()
  readonly #rows = createRows(1)
  #last = 1

  constructor({ threshold, refresh, retries, persist, version }: TrafficSettings) {
    const settings = {
      syncThreshold: threshold,
      syncRefreshPeriod: refresh,
      syncRetries: retries,
      syncPersistMode: persist,
      syncVersion: version,
      syncPorts: 1,
      syncQlenMax: 100_000
    }
    this.#engine = new MasterEngine({ syncid: 7, settings, table: this.#table })
  }

  /** One packet from a client, as the director's kernel took it. */
  take({ kind, at, row, template, client, clientPort }: Observation): void {
    this.#last = at
    if (row === undefined) {
      if (kind.onePacket) this.#engine.handleConnection(onePacket(kind, client, clientPort), at)
      return
    }
    if (template !== undefined) this.#bringTemplate(kind, template, client, at)
    const change = describe(kind, row, client, clientPort)
    const controlledBy = template && {
      protocol: kind.protocol,
      client: { address: addressText(client), port: 0 },
      virtual: change.virtual
    }
    this.#engine.handleConnection({ ...change, ...(controlledBy && { controlledBy }) }, at)
  }

  /** Everything that it decided to send, in order. */
  records(): WireRecord[] {
    const records: WireRecord[] = []
    this.#engine.close(this.#last)
    for (let message = this.#engine.pollTransmit(); message !== undefined; message = this.#engine.pollTransmit()) {
      records.push(...readRecords(message.bytes))
    }
    return records
  }

  /** A template is no input, since no packet is its own: it stands in the table, in the state that the kernel gave it. */
  #bringTemplate(kind: Kind, row: KernelRow, client: readonly number[], at: number): void {
    const known = this.#templates.get(row.key)
    const template = {
      ...describe(kind, row, client, 0),
      flags: [...noOutput(kind), 'INACTIVE', 'TEMPLATE'],
      timeout: kind.persistence!
    }
    rowFromConnection(template, this.#rows, 0)
    if (known !== undefined) {
      this.#table.setState(known, Number(row.state === 'ASSURED'))
      return
    }
    const slot = this.#table.add(this.#rows, 0, at)
    this.#table.setPackets(slot, 0)
    this.#table.setSynced(slot, 0, at, 0)
    this.#templates.set(row.key, slot)
  }
}

/** INACTIVE and NOOUTPUT are not in the kernel's table; they follow from the state and the forwarding method. */
function describe(kind: Kind, row: KernelRow, client: readonly number[], clientPort: number): ConnectionChange {
  const active = row.state === 'ESTABLISHED'
  return {
    family: client.length === 16 ? 'ipv6' : 'ipv4',
    protocol: kind.protocol,
    client: { address: addressText(client), port: clientPort },
    virtual: { address: addressText(kind.virtual), port: kind.port },
    destination: { address: addressText(kind.destination), port: row.destinationPort },
    forwarding: kind.forwarding,
    flags: [...noOutput(kind), ...(active ? [] : ['INACTIVE'])],
    state: row.state,
    fwmark: 0
  }
}

/** Such a connection never stands in a kernel's table; it lives for one packet and is announced by nobody. */
function onePacket(kind: Kind, client: readonly number[], clientPort: number): ConnectionChange {
  const row = { state: 'UDP', destinationPort: kind.serverPort! } as KernelRow
  return { ...describe(kind, row, client, clientPort), flags: ['INACTIVE', 'ONE_PACKET'] }
}

function noOutput({ forwarding }: Kind): readonly string[] {
  return forwarding === 'MASQ' ? [] : ['NOOUTPUT']
}
