/**
 * The checklist: every judge in order.
 *
 * @module
 */

import type { Check, Facts, Judge } from './facts.js'
import {
  judgeBuffers,
  judgeClock,
  judgeDaemon,
  judgeDaemons,
  judgeIpvs,
  judgeKeepalived,
  judgeServices,
  judgeSockets,
  judgeSysctls,
  judgeTable
} from './judge-host.js'
import {
  judgeDelivery,
  judgeFirewall,
  judgeFragments,
  judgeGroup,
  judgeInterface,
  judgeReversePath
} from './judge-link.js'
import { judgeAccepted, judgeAgents, judgeMessages, judgePorts, judgeRivals, judgeSenders } from './judge-link.js'

/** Judges of a live host. */
const LIVE: readonly Judge[] = [
  judgeInterface,
  judgeGroup,
  judgeFirewall,
  judgeReversePath,
  judgeSockets,
  judgeBuffers,
  judgeSenders,
  judgePorts,
  judgeDelivery,
  judgeFragments,
  judgeAccepted,
  judgeRivals,
  judgeMessages,
  judgeAgents,
  judgeIpvs,
  judgeDaemons,
  judgeSysctls,
  judgeServices,
  judgeTable,
  judgeKeepalived,
  judgeDaemon,
  judgeClock
]

/** Judges of what a capture can show. */
const CAPTURE: readonly Judge[] = [
  judgeSenders,
  judgePorts,
  judgeDelivery,
  judgeFragments,
  judgeAccepted,
  judgeRivals,
  judgeMessages,
  judgeAgents
]

/** Judges the facts of a live host. */
export function judgeHost(facts: Facts): readonly Check[] {
  return LIVE.flatMap((judge) => judge(facts))
}

/** Judges the facts of a capture. */
export function judgeCapture(facts: Facts): readonly Check[] {
  return CAPTURE.flatMap((judge) => judge(facts))
}
