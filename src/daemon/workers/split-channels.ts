/**
 * Which worker thread gets which channels.
 *
 * @module
 */

import { IpvsSyncError } from '../../errors.js'
import { planUdp, type UdpOptions } from '../../transport/udp-options.js'
import { MAX_CHANNELS } from '../../wire/constants.js'

/**
 * Verifies a number of workers.
 *
 * @returns 0 where the work is done in the calling thread: for 0, which is the default, and for 1.
 * @throws IpvsSyncError `ERR_CONFIG` for what is no number of workers, or for more than there are channels.
 */
export function verifyWorkers(workers: number, channels: number): number {
  if (!Number.isInteger(workers) || workers < 0 || workers > MAX_CHANNELS) {
    throw new IpvsSyncError('ERR_CONFIG', `workers is ${workers}: it takes a whole number, 0…${MAX_CHANNELS}`, {
      field: 'workers'
    })
  }
  if (workers > channels) {
    const message =
      `workers is ${workers} and sync_ports ${channels}: a channel is one worker's, ` +
      'so set sync_ports to at least as many (here and at the master), or ask for fewer workers'
    throw new IpvsSyncError('ERR_CONFIG', message, { field: 'workers' })
  }
  return workers < 2 ? 0 : workers
}

/**
 * Parts channels into runs of ports, as even as they go: 8 channels for 3 workers are 2, 3 and 3.
 *
 * @param udp - Where all of them listen.
 * @param workers - 1…channels.
 * @throws IpvsSyncError `ERR_CONFIG`, `ERR_GROUP`, `ERR_INTERFACE`: see `planUdp`.
 */
export function splitChannels(udp: UdpOptions, workers: number): UdpOptions[] {
  const { channels, port, peers } = planUdp(udp)
  return Array.from({ length: workers }, (_, worker) => {
    const first = Math.floor((worker * channels) / workers)
    const next = Math.floor(((worker + 1) * channels) / workers)
    return {
      ...udp,
      mcastPort: port + first,
      peers: peers.map((peer) => ({ address: peer.address, port: peer.port + first })),
      channels: next - first
    }
  })
}
