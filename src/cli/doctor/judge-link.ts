/**
 * Checks of the interface and of what stands between the link and a socket: MTU, group, firewall, reverse path filter.
 *
 * @module
 */

import { addressFamily, networkHolds, parseNetwork } from '../../addresses.js'
import { counted } from '../../text.js'
import { ok, problem, unchecked, valueOf, warning, type Check, type Judge } from './facts.js'
import { findBlocker } from './firewall-rules.js'
import { isSending, receiversOf } from './roles.js'

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
  const carried = mtu - (family === 'IPv6' ? 48 : 28)
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
