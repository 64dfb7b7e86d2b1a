/**
 * Facts of a capture: what it shows of the traffic; everything about the host is unknown.
 *
 * @module
 */

import { readCapture } from '../../capture/read-capture.js'
import type { CapturedDatagram } from '../../capture/items.js'
import { MAX_CHANNELS } from '../../wire/constants.js'
import { readHeader, TrafficObserver } from '../traffic/observer.js'
import type { Facts, Wanted } from './facts.js'
import { datagramOf } from './observe-link.js'

/**
 * Reads a capture.
 *
 * @throws IpvsSyncError `ERR_IO` or `ERR_CAPTURE`.
 */
export async function factsOfCapture(source: AsyncIterable<Uint8Array>, wanted: Wanted): Promise<Facts> {
  const received = new TrafficObserver(wanted.syncid)
  const all = new TrafficObserver(wanted.syncid)
  let [first, last] = [NaN, NaN]
  for await (const item of readCapture(source)) {
    if (item.kind !== 'datagram' || readHeader(item.payload) === undefined) continue
    const { destination, time } = item
    const now = time?.ms ?? 0
    const isOnPorts = destination.port >= wanted.port && destination.port < wanted.port + MAX_CHANNELS
    if (!isOnPorts && !hasSyncForm(item)) continue
    if (Number.isNaN(first)) first = now
    last = now
    all.observe(datagramOf(item), now)
    if (isOnPorts && (wanted.peers.length > 0 || destination.address === wanted.group))
      received.observe(datagramOf(item), now)
  }
  const seconds = Number.isNaN(first) ? 0 : Math.round((last - first) / 1000)
  return factsOfTraffic({ ...wanted, seconds }, received, all, last)
}

function hasSyncForm({ payload, wireLength }: CapturedDatagram): boolean {
  const header = readHeader(payload)!
  return header.version === 1 && header.size === wireLength
}

function factsOfTraffic(wanted: Wanted, received: TrafficObserver, all: TrafficObserver, now: number): Facts {
  const unknown = { reason: 'a capture does not show it' }
  return {
    wanted,
    now,
    hz: unknown,
    interface: undefined,
    memberships: unknown,
    rpFilter: unknown,
    rpDrops: unknown,
    ignoredMulticast: unknown,
    reassemblyFailures: unknown,
    firewall: unknown,
    sockets: unknown,
    drops: unknown,
    rmemMax: unknown,
    rmemDefault: unknown,
    bindFailures: {},
    observed: { value: true },
    traffic: received.report(),
    wire: { value: { traffic: all.report(), querier: false } },
    ipvs: unknown,
    keepalived: unknown,
    daemon: undefined
  }
}
