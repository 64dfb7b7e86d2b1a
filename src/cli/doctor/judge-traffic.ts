/**
 * Checks of the messages that were received: who sends, with which syncid, on which ports, and what is wrong with them.
 *
 * @module
 */

import { networkHolds } from '../../addresses.js'
import { counted } from '../../text.js'
import { backupSyncMaxlen } from '../../transport/sync-maxlen.js'
import { PROBLEMS } from '../../wire/problems.js'
import type { SenderTotals } from '../traffic/observer.js'
import { ok, problem, unchecked, warning, type Check, type Facts, type Judge } from './facts.js'
import { isReceiving, isSending } from './roles.js'

/** Whether a sender uses the syncid that was asked for. */
function isOurs({ wanted }: Facts, { syncid }: SenderTotals): boolean {
  return wanted.syncid === 0 || syncid === wanted.syncid
}

/** One line about a sender. */
function describe(sender: SenderTotals, seconds: number): string {
  const { address, syncid, versions, ports, messages, connections, lost } = sender
  const rate = (messages / Math.max(seconds, 1)).toFixed(1)
  const loss = lost === undefined ? '' : `, ${lost} lost`
  return `${address} syncid ${syncid}, version ${versions.join(' and ')}, port ${ports.join(', ')}: ${counted(messages, 'message')} (${rate}/s), ${counted(connections, 'connection')}${loss}`
}

/** Causes of silence, most frequent first. */
const CAUSES =
  'in this order: is the master running; is the syncid, group and port the same on both; firewall; rp_filter; VLAN and IGMP snooping of the switch'

/** Whether messages of ours arrive, and from whom. */
export const judgeSenders: Judge = (facts) => {
  const { wanted, traffic, interface: found } = facts
  const ours = traffic.senders.filter((sender) => isOurs(facts, sender))
  const others = traffic.senders.filter((sender) => !isOurs(facts, sender))
  const syncids = [...new Set(others.map(({ syncid }) => syncid))].join(', ')
  const checks: Check[] = ours.map((sender) => ok('SENDER', describe(sender, wanted.seconds)))
  if (ours.length > 0 && others.length > 0)
    checks.push(
      ok(
        'OTHER_SYNCID',
        `syncid ${syncids} is used beside ours by ${others[0]!.address}; a backup with syncid ${wanted.syncid} ignores it`
      )
    )
  if (ours.length > 0) return checks
  if (others.length > 0)
    return [
      problem(
        'OTHER_SYNCID_ONLY',
        `${others[0]!.address} sends syncid ${syncids}; nothing with syncid ${wanted.syncid} was received`,
        `use one syncid for all directors that share a table: --syncid ${others[0]!.syncid} here, or ${wanted.syncid} there`
      )
    ]
  if ('reason' in facts.observed) return [unchecked('NOTHING_RECEIVED', facts.observed.reason)]
  if (found !== undefined && !found.exists) return [unchecked('NOTHING_RECEIVED', 'the interface does not exist')]
  if (isSending(facts) && !isReceiving(facts))
    return [
      unchecked('NOTHING_RECEIVED', 'this host only sends, and receives nothing; run doctor on the other director too')
    ]
  return [problem('NOTHING_RECEIVED', `no sync message within ${wanted.seconds} s`, CAUSES)]
}

/** Channels beyond those that the backup listens on. */
export const judgePorts: Judge = (facts) => {
  const { wanted, traffic } = facts
  const end = wanted.port + wanted.channels
  const beyond = traffic.senders.filter((sender) => isOurs(facts, sender) && sender.ports.some((port) => port >= end))
  const highest = Math.max(...beyond.flatMap(({ ports }) => ports))
  if (beyond.length > 0)
    return [
      problem(
        'PORTS_BEYOND',
        `${beyond[0]!.address} sends to ports up to ${highest}; sync_ports ${wanted.channels} listens on ${wanted.port}-${end - 1} only`,
        `set sync_ports to ${highest - wanted.port + 1} on this host: --sysctl sync_ports=${highest - wanted.port + 1}`
      )
    ]
  return [ok('PORTS', `no message beyond port ${end - 1}`)]
}

/** Senders that the accept list or the peers exclude. */
export const judgeAccepted: Judge = (facts) => {
  const { wanted, traffic } = facts
  const ours = traffic.senders.filter((sender) => isOurs(facts, sender))
  const refused = ours.filter(
    ({ address }) => wanted.accept.length > 0 && !wanted.accept.some((network) => networkHolds(network, address))
  )
  if (refused.length > 0)
    return [
      problem(
        'SENDER_NOT_ACCEPTED',
        `${refused.map(({ address }) => address).join(', ')} is outside --accept`,
        'add the sender’s network to --accept'
      )
    ]
  const peers = new Set(wanted.peers)
  const strangers = ours.filter(
    ({ address }) =>
      peers.size > 0 && !peers.has(address) && !facts.interface?.addresses.some((own) => peers.has(own.split('/')[0]!))
  )
  if (strangers.length > 0)
    return [
      problem(
        'PEER_NOT_SENDING',
        `${strangers.map(({ address }) => address).join(', ')} sends, which is not one of --peer ${wanted.peers.join(', ')}`,
        'correct the peer’s address'
      )
    ]
  return [
    ok(
      'ACCEPTED',
      wanted.accept.length > 0 ? 'every sender is inside --accept' : 'no --accept list: every sender is accepted'
    )
  ]
}

/** Several masters with one syncid. */
export const judgeRivals: Judge = (facts) => {
  const bySyncid = new Map<number, string[]>()
  for (const sender of facts.traffic.senders)
    if (isOurs(facts, sender) && sender.connections > 0)
      bySyncid.set(sender.syncid, [...(bySyncid.get(sender.syncid) ?? []), sender.address])
  const shared = [...bySyncid].find(([, addresses]) => addresses.length > 1)
  if (shared === undefined) return [ok('ONE_MASTER', 'no two masters announce connections with one syncid')]
  return [
    warning(
      'TWO_MASTERS',
      `${shared[1].join(' and ')} announce connections with syncid ${shared[0]}`,
      'only the active director should announce a connection; stop the master daemon of the other one'
    )
  ]
}

/** Messages that receivers drop. */
export const judgeMessages: Judge = (facts) => {
  const { traffic, wanted, interface: found } = facts
  const checks: Check[] = []
  const accepted =
    wanted.maxlen === undefined
      ? backupSyncMaxlen(wanted.group.includes(':') ? 'ipv6' : 'ipv4', found?.mtu).bytes
      : Math.max(wanted.maxlen, 1024)
  for (const sender of traffic.senders.filter((one) => isOurs(facts, one))) {
    const faults = Object.entries(sender.problems).filter(([code]) => severityOf(code) !== 'warning')
    if (faults.length > 0)
      checks.push(
        problem(
          'MALFORMED',
          `${sender.address}: ${faults.map(([code, count]) => `${code} ${count}`).join(', ')}`,
          'see docs/captures.md for each code; check the sender’s version'
        )
      )
    if (sender.largest > accepted)
      checks.push(
        problem(
          'TOO_LARGE',
          `${sender.address} sends messages of ${sender.largest} bytes; a backup with sync_maxlen ${accepted} drops them`,
          `raise sync_maxlen here to ${sender.largest}, or lower it there`
        )
      )
    if (sender.lost !== undefined && sender.lost > 0)
      checks.push(
        problem(
          'LOSS',
          `${counted(sender.lost, 'message')} of ${sender.messages + sender.lost} from ${sender.address} lost`,
          'check socket drops, the interface’s error counters, and the master’s rate'
        )
      )
  }
  if (traffic.foreign > 0)
    checks.push(
      warning(
        'NOT_SYNC',
        `${counted(traffic.foreign, 'datagram')} on the sync ports are not sync messages`,
        'another program sends to this group and port'
      )
    )
  if (checks.length === 0) checks.push(ok('MESSAGES', 'every message is well-formed and fits'))
  return checks
}

function severityOf(code: string): string {
  return Object.entries(PROBLEMS).find(([name]) => name === code)?.[1].severity ?? 'warning'
}

/** Agents of this package in the group. */
export const judgeAgents: Judge = (facts) => {
  const { agents } = facts.traffic
  if (agents.length === 0) return [unchecked('AGENTS', 'no agent was received')]
  return agents.map(({ address, id, syncid, ready, connections }) => {
    const text = `agent ${id} at ${address}: ${ready ? 'ready' : 'not ready'}${connections === undefined ? '' : `, ${counted(connections, 'connection')}`}`
    if (facts.wanted.syncid !== 0 && syncid !== facts.wanted.syncid)
      return warning(
        'AGENT_OTHER_SYNCID',
        `${text}, syncid ${syncid}`,
        'agents exchange tables with agents of the same syncid only'
      )
    return ready ? ok('AGENT', text) : warning('AGENT_NOT_READY', text, 'see its log; wait-ready reports why')
  })
}
