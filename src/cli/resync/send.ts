/**
 * A resync's sending, watched by a person.
 *
 * @module
 */

import { sendBulk } from '../../daemon/bulk-sender.js'
import { systemClock, type Clock } from '../../daemon/clock.js'
import type { IpvsSyncError } from '../../errors.js'
import type { SendingTransport } from '../../transport/transport.js'
import type { Io } from '../io.js'
import { ProgressBar } from './progress.js'
import { describeResult, type ResyncPlan } from './report.js'

/**
 * Sends a plan and tells what it came to.
 *
 * @param plan - Everything that leaves.
 * @param sender - Started and closed here.
 * @param io - The bar goes to standard error if that is a terminal; `signal` stops it.
 * @param onError - Told of what the system refused to send.
 * @param clock - Its time.
 * @returns Whether everything was sent.
 * @throws IpvsSyncError where the sockets cannot be opened.
 */
export async function sendPlan(
  plan: ResyncPlan,
  sender: SendingTransport,
  io: Io,
  onError: (error: IpvsSyncError) => void,
  clock: Clock = systemClock
): Promise<boolean> {
  const { messages, pace, times, counts } = plan
  await sender.start({ onError, onNotice: ({ message }) => void io.stderr.write(`ipvs-sync: ${message}\n`) })
  const begin = clock.now()
  const write = (text: string): void => {
    if (io.stderr.isTTY === true) io.stderr.write(text)
  }
  const bar = new ProgressBar(write, counts.connections * times, begin)
  try {
    const onProgress = ({ connections }: { connections: number }): void => bar.update(connections, clock.now())
    const sent = await sendBulk(messages, sender, { pace, times, clock, signal: io.signal, onProgress })
    bar.end()
    io.stdout.write(`${describeResult(sent, plan, clock.now() - begin, sender.description)}\n`)
    return sent.messages === messages.length * times
  } finally {
    await sender.close()
  }
}
