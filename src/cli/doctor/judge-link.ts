/**
 * Checks of the link: the interface, what stands between it and a socket (MTU, group, firewall, reverse path filter), and the
 * messages that were received: who sends, with which syncid, on which ports, and what is wrong with them.
 *
 * @module
 */

import { addressFamily, networkHolds, parseNetwork } from '../../addresses.js'
import { type Check, type Facts, type Judge, ok, problem, unchecked, valueOf, warning } from './facts.js'
import { findBlocker } from './firewall-rules.js'
import { isReceiving, isSending, receiversOf } from './roles.js'
import type { SenderTotals } from '../traffic/observer.js'
import { counted } from '../../text.js'
import { backupSyncMaxlen, packetHeaders } from '../../transport/sync-maxlen.js'
import { PROBLEMS } from '../../wire/problems.js'

/** An Ethernet MTU: what a kernel master assumes whatever its interface has. */
const ETHERNET_MTU = 1500

/** The interface: present, up, carrier, multicast, address, MTU. */
export const judgeInterface: Judge = ({ wanted, interface: found, traffic }) => {
  const { interfaceName: name } = wanted
  if (name === undefined || found === undefined) return [unchecked('INTERFACE', 'no --mcast-interface given')]
  if (!found.exists)
    return [problem('INTERFACE_MISSING', `${name} does not exist`, `use one of ${found.names.join(', ')}`)]
  if (!found.up) return [problem('INTERFACE_DOWN', `${name} is down`, `run: ip link set ${name} up`)]
  const checks: Check[] = []
  if (found.carrier === false)
    checks.push(
      problem('NO_CARRIER', `${name} has no carrier`, 'check the cable, the switch port and the peer’s interface')
    )
  if (!found.multicast && wanted.peers.length === 0 && name !== 'lo')
    checks.push(problem('NO_MULTICAST', `${name} has multicast switched off`, `run: ip link set ${name} multicast on`))
  const family = addressFamily(wanted.group) === 6 ? 'IPv6' : 'IPv4'
  if (found.addresses.length === 0)
    checks.push(
      problem('NO_ADDRESS', `${name} has no ${family} address`, `run: ip addr add ADDRESS/PREFIX dev ${name}`)
    )
  if (checks.length === 0)
    checks.push(ok('INTERFACE', `${name} is up with carrier and multicast, address ${found.addresses.join(', ')}`))
  if (found.mtu !== undefined)
    checks.push(
      judgeMtu(
        found.mtu,
        family,
        wanted.maxlen,
        traffic.senders.map(({ largest }) => largest)
      )
    )
  return checks
}

function judgeMtu(mtu: number, family: string, maxlen: number | undefined, sizes: readonly number[]): Check {
  const carried = mtu - packetHeaders(family === 'IPv6' ? 'ipv6' : 'ipv4')
  const largest = Math.max(0, ...sizes)
  const seen = `MTU ${mtu} carries messages of ${carried} bytes unfragmented`
  if (maxlen !== undefined && maxlen > carried)
    return problem(
      'MTU_TOO_SMALL',
      `${seen}; --sync-maxlen is ${maxlen}`,
      `lower sync_maxlen to ${carried} on the master, or raise the MTU`
    )
  if (largest > carried)
    return problem(
      'MTU_TOO_SMALL',
      `${seen}; a message of ${largest} bytes was received in fragments`,
      `lower sync_maxlen to ${carried} on the master`
    )
  if (mtu < ETHERNET_MTU)
    return warning(
      'MTU_BELOW_PEERS',
      `${seen}; a master with MTU ${ETHERNET_MTU}, or a kernel master, sends up to ${ETHERNET_MTU - (mtu - carried)}, which may be lost`,
      `set the same MTU on all directors, or sync_maxlen ${carried} on the master`
    )
  return ok('MTU', `${seen}${largest > 0 ? `; the largest received has ${largest}` : ''}`)
}

/** Membership of the group and the switch's IGMP querier. */
export const judgeGroup: Judge = (facts) => {
  const { wanted, memberships, wire, interface: found } = facts
  if (wanted.peers.length > 0) return [unchecked('GROUP', 'unicast: there is no group to join')]
  const groups = valueOf(memberships)
  const { group, interfaceName = '' } = wanted
  const checks: Check[] = []
  if (groups === undefined) checks.push(unchecked('GROUP', 'reason' in memberships ? memberships.reason : ''))
  else if (groups.includes(group)) checks.push(ok('GROUP', `${interfaceName} is a member of ${group}`))
  else if (receiversOf(facts).length > 0 && found?.exists === true)
    checks.push(
      problem(
        'GROUP_NOT_JOINED',
        `a program listens on port ${wanted.port}, but ${interfaceName} is not a member of ${group}`,
        'restart the backup; check its --mcast-interface and --mcast-group'
      )
    )
  else checks.push(unchecked('GROUP', `nothing on this host receives from ${group}`))
  const querier = valueOf(wire)?.querier
  if (querier === true) checks.push(ok('IGMP_QUERIER', 'an IGMP or MLD query was received'))
  else
    checks.push(
      unchecked(
        'IGMP_QUERIER',
        querier === undefined
          ? 'reason' in wire
            ? wire.reason
            : ''
          : `no query within ${wanted.seconds} s; queriers send one every 125 s. A switch with IGMP snooping needs a querier`
      )
    )
  return checks
}

/** Whether a firewall drops the sync port. */
export const judgeFirewall: Judge = ({ wanted, firewall, interface: found, traffic, wire }) => {
  const rulesets = valueOf(firewall)
  if (rulesets === undefined) return [unchecked('FIREWALL', 'reason' in firewall ? firewall.reason : '')]
  const source = traffic.senders[0]?.address ?? valueOf(wire)?.traffic.senders[0]?.address
  const destination = wanted.peers.length > 0 ? (found?.addresses[0]?.split('/')[0] ?? '') : wanted.group
  for (let channel = 0; channel < wanted.channels; channel++) {
    const port = wanted.port + channel
    const blocker = findBlocker(rulesets, { interfaceName: wanted.interfaceName, source, group: destination, port })
    if (blocker === undefined) continue
    const figures = blocker.packets === undefined ? '' : `; it has counted ${counted(blocker.packets, 'packet')}`
    return [
      problem(
        'FIREWALL_DROPS',
        `${blocker.where} drops UDP port ${port}${figures}`,
        `accept UDP ${wanted.port}-${wanted.port + wanted.channels - 1} to ${destination} on ${wanted.interfaceName ?? 'the interface'}`
      )
    ]
  }
  return [ok('FIREWALL', `no rule drops UDP port ${wanted.port}`)]
}

/** Whether the reverse path filter drops senders of other networks. */
export const judgeReversePath: Judge = ({ wanted, rpFilter, rpDrops, interface: found, wire, traffic }) => {
  const mode = valueOf(rpFilter)
  if (mode === undefined) return [unchecked('RP_FILTER', 'reason' in rpFilter ? rpFilter.reason : '')]
  const growth = valueOf(rpDrops)
  const dropped = growth === undefined ? 0 : growth.after - growth.before
  const advice = `run: sysctl -w net.ipv4.conf.${wanted.interfaceName ?? 'all'}.rp_filter=2 (and net.ipv4.conf.all.rp_filter), or give the sender an address of this network`
  if (mode !== 0 && dropped > 0)
    return [
      problem(
        'RP_FILTER_DROPS',
        `rp_filter is ${mode}, and it dropped ${counted(dropped, 'packet')} during the check`,
        advice
      )
    ]
  const networks = (found?.addresses ?? []).map(parseNetwork)
  const received = new Set(traffic.senders.map(({ address }) => address))
  const outside = (valueOf(wire)?.traffic.senders ?? []).filter(
    ({ address }) =>
      !received.has(address) && !networks.some((network) => network !== undefined && networkHolds(network, address))
  )
  if (mode === 1 && outside.length > 0)
    return [
      problem(
        'RP_FILTER_DROPS',
        `rp_filter is strict, and ${outside[0]!.address} is not in a network of ${wanted.interfaceName ?? 'the interface'}`,
        advice
      )
    ]
  return [
    ok(
      'RP_FILTER',
      `rp_filter is ${mode} (${['off', 'strict', 'loose'][mode] ?? 'unknown'}); it dropped nothing during the check`
    )
  ]
}

/** Whether datagrams are reassembled. */
export const judgeFragments: Judge = ({ reassemblyFailures, traffic, wire }) => {
  const growth = valueOf(reassemblyFailures)
  const failures = growth === undefined ? 0 : growth.after - growth.before
  if (failures > 0)
    return [
      problem(
        'REASSEMBLY_FAILS',
        `the kernel could not reassemble ${counted(failures, 'datagram')}`,
        'lower sync_maxlen on the master so that messages fit the MTU of the whole path'
      )
    ]
  const fragmented = [...traffic.senders, ...(valueOf(wire)?.traffic.senders ?? [])].find(
    (sender) => sender.fragmented > 0
  )
  if (fragmented !== undefined)
    return [
      warning(
        'FRAGMENTED',
        `${fragmented.address} sends messages of up to ${fragmented.largest} bytes in IP fragments`,
        'lower sync_maxlen on that master: one lost fragment loses the whole message'
      )
    ]
  return [ok('FRAGMENTS', 'no message arrived in fragments')]
}

/** Whether packets that reach the interface also reach a socket. */
export const judgeDelivery: Judge = (facts) => {
  const { wanted, wire, traffic, ignoredMulticast } = facts
  const seen = valueOf(wire)
  if (seen === undefined) {
    const growth = valueOf(ignoredMulticast)
    const ignored = growth === undefined ? 0 : growth.after - growth.before
    if (traffic.senders.length === 0 && ignored > 0)
      return [
        warning(
          'OTHER_PORT',
          `${counted(ignored, 'multicast datagram')} arrived on a port that no socket is bound to`,
          'compare --mcast-port on both directors'
        )
      ]
    return [unchecked('DELIVERY', 'reason' in wire ? wire.reason : '')]
  }
  const checks: Check[] = []
  const own = new Set((facts.interface?.addresses ?? []).map((address) => address.split('/')[0]))
  const last = wanted.port + 63
  for (const sender of seen.traffic.senders) {
    if (own.has(sender.address) || (wanted.syncid !== 0 && sender.syncid !== wanted.syncid)) continue
    const [group = '?'] = sender.groups
    const where = `${sender.address} sends syncid ${sender.syncid} to ${group}:${sender.ports[0] ?? 0}`
    if (wanted.peers.length === 0 && !sender.groups.includes(wanted.group))
      checks.push(
        problem('OTHER_GROUP', `${where}, not to ${wanted.group}`, 'use the same --mcast-group on both directors')
      )
    else if (!sender.ports.some((port) => port >= wanted.port && port <= last))
      checks.push(
        problem('OTHER_PORT', `${where}, not to port ${wanted.port}`, 'use the same --mcast-port on both directors')
      )
    else if (!traffic.senders.some(({ address }) => address === sender.address))
      checks.push(
        problem(
          'FILTERED',
          `${where}: ${counted(sender.messages, 'packet')} reached the interface, none reached a socket`,
          'a firewall rule or rp_filter drops them: see those checks'
        )
      )
  }
  if (checks.length > 0) return checks
  if (isSending(facts) && seen.traffic.senders.some(({ address }) => own.has(address)))
    return [ok('DELIVERY', 'this host sends, and its packets leave the interface')]
  return [ok('DELIVERY', `every sync message on ${wanted.interfaceName ?? 'the interface'} was also received`)]
}

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

/** Codes of problems for which a receiver drops a message or skips a connection. */
const FAULTS = new Set<string>(
  Object.entries(PROBLEMS).flatMap(([code, { severity }]) => (severity === 'warning' ? [] : [code]))
)

/** Messages that receivers drop. */
export const judgeMessages: Judge = (facts) => {
  const { traffic, wanted, interface: found } = facts
  const checks: Check[] = []
  const accepted =
    wanted.maxlen === undefined
      ? backupSyncMaxlen(wanted.group.includes(':') ? 'ipv6' : 'ipv4', found?.mtu).bytes
      : Math.max(wanted.maxlen, 1024)
  for (const sender of traffic.senders.filter((one) => isOurs(facts, one))) {
    const faults = Object.entries(sender.problems).filter(([code]) => FAULTS.has(code))
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
