/**
 * Decisions to announce a connection in words.
 *
 * @module
 */
import type { Outcome } from '../../director/index.js'
import type { MasterAnswer } from '../../engine/index.js'

const TEXTS: Readonly<Record<MasterAnswer, string>> = {
  'one-packet': 'not announced: one-packet connections never are',
  'under-template': 'not announced: its template stands for it (sync_persist_mode)',
  'state-not-synced': 'not announced: no backup could use this state',
  fresh: 'not announced: announced recently (sync_refresh_period)',
  'retry-too-early': 'not announced: the retry is not due yet (sync_retries)',
  'packet-count-not-met': 'not announced: packet count not reached (sync_threshold)',
  'state-changed': 'announced: the state changed',
  'packet-count': 'announced: packet count reached (sync_threshold)',
  template: 'announced: templates need no packet count (sync_refresh_period)',
  refresh: 'announced: its expiry has moved (sync_refresh_period)',
  retry: 'announced again (sync_retries)',
  announced: 'announced',
  'no-real-server': 'not announced: engine data without a real server',
  'ipv6-in-version-0': 'not announced: version 0 has no IPv6 (sync_version)',
  'table-full': 'not announced: table full',
  expired: 'expired',
  extended: 'extended by 60 s',
  'not-in-table': 'not in the table'
}

/** The decision about a connection, and that about its template. */
export function decisionText({ direction, decision, controllerDecision }: Outcome): string {
  if (direction === 'out') return 'no decision: replies make none'
  if (decision === undefined) return 'no decision'
  const own = TEXTS[decision]
  return controllerDecision === undefined ? own : `${own}; template ${TEXTS[controllerDecision]}`
}
