/**
 * Checks of this host: sockets and their buffers, the kernel's IPVS, keepalived, a running daemon's HTTP, the clock.
 *
 * @module
 */

import {
  type Check,
  type Facts,
  type IpvsFacts,
  type Judge,
  ok,
  problem,
  unchecked,
  valueOf,
  warning
} from './facts.js'
import { isReceiving, isSending, kernelDaemonsOf, receiversOf } from './roles.js'
import type { Service } from '../../procfs/services.js'
import { counted } from '../../text.js'
import type { Milliseconds } from '../../units.js'
import type { Connection } from '../../wire/connection.js'

/**
 * Finds the service that a connection belongs to. A service by firewall mark may match anything, so one of them is
 * enough; a template's port 0 matches every port of the address.
 */
export function serviceOf(services: readonly Service[], { protocol, virtual }: Connection): Service | undefined {
  return services.find(
    (service) =>
      service.virtual === undefined ||
      (service.virtual.address === virtual.address &&
        (virtual.port === 0 ||
          service.virtual.port === 0 ||
          (service.virtual.port === virtual.port && service.protocol === protocol)))
  )
}

/** Whether a service has an IPv6 address. */
export function isIpv6Service({ family }: Service): boolean {
  return family === 'ipv6'
}

/** Programs that listen on the sync ports, and whether doctor could listen beside them. */
export const judgeSockets: Judge = (facts) => {
  const { sockets, bindFailures, wanted } = facts
  const checks: Check[] = []
  const refused = Object.entries(bindFailures).find(([port]) => Number(port) < wanted.port + wanted.channels)
  if (refused !== undefined)
    checks.push(
      problem(
        'PORT_TAKEN',
        `port ${refused[0]} cannot be bound: ${refused[1]}`,
        'another program holds the port without SO_REUSEADDR: find it with ss -lunp'
      )
    )
  const all = valueOf(sockets)
  if (all === undefined) return [...checks, unchecked('SOCKETS', 'reason' in sockets ? sockets.reason : '')]
  const receivers = receiversOf(facts)
  const names = receivers.map(
    ({ program, uid, inode }) => program ?? (inode === 0 ? 'the kernel' : `a program of uid ${uid}`)
  )
  const roles = [
    ...(receivers.length > 0 ? [`receives by ${[...new Set(names)].join(', ')}`] : []),
    ...(isSending(facts) ? ['sends'] : [])
  ]
  if (roles.length > 0) checks.push(ok('ROLES', `this host ${roles.join(' and ')}`))
  else if (!isReceiving(facts))
    checks.push(
      warning(
        'NO_ROLE',
        `nothing on this host sends to or receives from port ${wanted.port}`,
        'start keepalived’s lvs_sync_daemon, ipvsadm --start-daemon, or ipvs-sync backup, master or agent'
      )
    )
  if (new Set(names).size < receivers.length || new Set(names).size > 1)
    checks.push(
      ok('SHARED_PORT', `${counted(receivers.length, 'socket')} share port ${wanted.port}: each receives its own copy`)
    )
  return checks
}

/** Room of one full message in a receive buffer, as the kernel accounts it. */
const CHARGE = 2304

/** Receive buffers and what they dropped. */
export const judgeBuffers: Judge = ({ drops, rmemMax, rmemDefault }) => {
  const growth = valueOf(drops)
  const checks: Check[] = []
  const advice =
    'set sync_sock_size to 4194304 and net.core.rmem_max to at least as much; check whether the program is blocked'
  if (growth === undefined) checks.push(unchecked('SOCKET_DROPS', 'reason' in drops ? drops.reason : ''))
  else if (growth.after > growth.before)
    checks.push(
      problem(
        'SOCKET_DROPS',
        `receive buffers dropped ${counted(growth.after - growth.before, 'datagram')} during the check`,
        advice
      )
    )
  else if (growth.before > 0)
    checks.push(
      warning(
        'SOCKET_DROPS_BEFORE',
        `receive buffers dropped ${counted(growth.before, 'datagram')} earlier, none during the check`,
        advice
      )
    )
  else checks.push(ok('SOCKET_DROPS', 'no receive buffer dropped a datagram'))
  const [most, preset] = [valueOf(rmemMax), valueOf(rmemDefault)]
  if (most === undefined || preset === undefined)
    checks.push(
      unchecked('BUFFERS', 'reason' in rmemMax ? rmemMax.reason : 'reason' in rmemDefault ? rmemDefault.reason : '')
    )
  else
    checks.push(
      ok(
        'BUFFERS',
        `the default receive buffer (${preset} bytes) holds ${Math.floor(preset / CHARGE)} full messages; rmem_max ${most} allows ${Math.floor((2 * most) / CHARGE)}`
      )
    )
  return checks
}

/** Returns a judge that needs ip_vs: without it the check is not made, and the text says why. */
function withIpvs(code: string, judge: (facts: Facts, ipvs: IpvsFacts) => readonly Check[] | Check): Judge {
  return (facts) =>
    'reason' in facts.ipvs ? [unchecked(code, facts.ipvs.reason)] : [judge(facts, facts.ipvs.value)].flat()
}

/** Whether ip_vs is loaded. */
export const judgeIpvs = withIpvs('IP_VS', () => ok('IP_VS', 'ip_vs is loaded'))

/** The kernel's daemons, against the options and each other. */
export const judgeDaemons = withIpvs('KERNEL_DAEMONS', (facts, { daemons }) => {
  const { wanted } = facts
  if ('reason' in daemons) return unchecked('KERNEL_DAEMONS', daemons.reason)
  if (daemons.value.length === 0) return unchecked('KERNEL_DAEMONS', 'the kernel runs no sync daemon')
  const [first, second] = daemons.value
  const disagree = (['interfaceName', 'group', 'port', 'maxlen'] as const).filter(
    (name) => second !== undefined && first![name] !== second[name]
  )
  const between = disagree.map((name) =>
    warning(
      'KERNEL_DAEMONS_DISAGREE',
      `the kernel's ${first!.role} has ${LABELS[name]} ${first![name]}, its ${second!.role} ${second![name]}`,
      'start both daemons with the same interface, group, port and maxlen'
    )
  )
  const own = daemons.value.map((daemon) => {
    const { role, interfaceName, syncid, maxlen, group, port, ttl } = daemon
    const text = `kernel ${role}: interface ${interfaceName}, syncid ${syncid}${group === undefined ? '' : `, group ${group}:${port ?? 8848}`}${maxlen === undefined ? '' : `, maxlen ${maxlen}`}${ttl === undefined ? '' : `, ttl ${ttl}`}`
    const differences = [
      ...(wanted.interfaceName !== undefined && interfaceName !== wanted.interfaceName
        ? [`interface ${wanted.interfaceName}`]
        : []),
      ...(wanted.syncid !== 0 && syncid !== 0 && syncid !== wanted.syncid ? [`syncid ${wanted.syncid}`] : []),
      ...(group !== undefined && group !== wanted.group ? [`group ${wanted.group}`] : []),
      ...(port !== undefined && port !== wanted.port ? [`port ${wanted.port}`] : [])
    ]
    if (differences.length > 0)
      return problem(
        'KERNEL_DAEMON_DIFFERS',
        `${text}; doctor was asked for ${differences.join(', ')}`,
        'restart the daemon with the intended values, or correct the options of doctor'
      )
    return ok('KERNEL_DAEMON', text)
  })
  return [...own, ...between]
})

const LABELS = { interfaceName: 'interface', group: 'group', port: 'port', maxlen: 'maxlen' } as const

/** Settings of net.ipv4.vs that hinder synchronisation. */
export const judgeSysctls = withIpvs('SYSCTLS', (_, { sysctls, services, daemons }) => {
  if ('reason' in sysctls) return unchecked('SYSCTLS', sysctls.reason)
  const { value } = sysctls
  const checks: Check[] = []
  if (value.syncPersistMode !== 0 && value.sloppyTcp === 0 && value.sloppySctp === 0)
    checks.push(
      warning(
        'PERSIST_WITHOUT_SLOPPY',
        'sync_persist_mode is 1, sloppy_tcp and sloppy_sctp are 0',
        'set sloppy_tcp to 1 on the backup, or established connections are reset after a failover'
      )
    )
  if (value.syncVersion === 0 && (valueOf(services) ?? []).some(isIpv6Service))
    checks.push(
      problem(
        'VERSION_0_WITH_IPV6',
        'sync_version is 0, which cannot carry the connections of IPv6 services',
        'set sync_version to 1'
      )
    )
  const running = valueOf(daemons) ?? []
  if (value.backupOnly !== 0 && running.some(({ role }) => role === 'backup'))
    checks.push(
      warning(
        'BACKUP_ONLY',
        `backup_only is ${value.backupOnly} and the kernel runs a backup daemon: this host forwards no packet`,
        'stop the backup daemon when this host becomes active, or set backup_only to 0'
      )
    )
  if (value.syncThreshold[0] >= 10 && value.syncRefreshPeriod === 0)
    checks.push(
      warning(
        'LATE_THRESHOLD',
        `sync_threshold ${value.syncThreshold.join(' ')} announces a connection after ${value.syncThreshold[0]} packets`,
        'lower sync_threshold to 3, or 0 with sync_refresh_period'
      )
    )
  if (checks.length === 0) checks.push(ok('SYSCTLS', 'no setting of net.ipv4.vs hinders synchronisation'))
  return checks
})

/** The services of received connections, against those configured here. */
export const judgeServices = withIpvs('SERVICES', ({ traffic }, { services }) => {
  if ('reason' in services) return unchecked('SERVICES', services.reason)
  if (traffic.connections.length === 0) return unchecked('SERVICES', 'no connection was received')
  const missing = new Set(
    traffic.connections
      .filter((connection) => serviceOf(services.value, connection) === undefined)
      .map(({ protocol, virtual }) => `${protocol} ${virtual.address}:${virtual.port}`)
  )
  if (missing.size === 0) return ok('SERVICES', 'the services of all received connections are configured here')
  return warning(
    'SERVICE_MISSING',
    `${counted(missing.size, 'service')} of received connections not configured here: ${[...missing].slice(0, 3).join(', ')}`,
    'configure the same services on all directors; packets of these connections are not forwarded after a failover'
  )
})

/** The connections received, against the kernel's table. */
export const judgeTable = withIpvs('KERNEL_TABLE', (facts, { held }) => {
  const received = facts.traffic.connections.length
  if (!kernelDaemonsOf(facts).some(({ role }) => role === 'backup'))
    return unchecked('KERNEL_TABLE', 'the kernel runs no backup daemon')
  if ('reason' in held) return unchecked('KERNEL_TABLE', held.reason)
  if (received === 0) return unchecked('KERNEL_TABLE', 'no connection was received')
  const text = `received ${counted(received, 'connection')}, the kernel holds ${held.value} of them`
  if (held.value === 0)
    return problem(
      'KERNEL_TABLE_EMPTY',
      text,
      'compare the kernel backup’s syncid and interface with the sender’s; see dmesg'
    )
  if (held.value < received * 0.9)
    return warning('KERNEL_TABLE_INCOMPLETE', text, 'check socket drops and sync_ports of the kernel’s backup')
  return ok('KERNEL_TABLE', text)
})

/** keepalived's configuration. */
export const judgeKeepalived: Judge = ({ keepalived, wanted }) => {
  if ('reason' in keepalived) return [unchecked('KEEPALIVED', keepalived.reason)]
  const { syncInterface, syncid, fifo, fifoState } = keepalived.value
  const checks: Check[] = []
  if (syncInterface !== undefined && wanted.interfaceName !== undefined && syncInterface !== wanted.interfaceName)
    checks.push(
      warning(
        'KEEPALIVED_DIFFERS',
        `lvs_sync_daemon uses ${syncInterface}, doctor was asked for ${wanted.interfaceName}`,
        'use one interface for both'
      )
    )
  if (syncid !== undefined && wanted.syncid !== 0 && syncid !== wanted.syncid)
    checks.push(
      warning(
        'KEEPALIVED_DIFFERS',
        `lvs_sync_daemon uses syncid ${syncid}, doctor was asked for ${wanted.syncid}`,
        'use one syncid for both'
      )
    )
  if (fifo !== undefined && fifoState !== 'fifo')
    checks.push(
      warning(
        'KEEPALIVED_FIFO',
        `${fifo} ${fifoState === 'missing' ? 'does not exist' : 'is not a FIFO'}`,
        'keepalived creates it at start; remove another file of that name'
      )
    )
  if (checks.length === 0)
    checks.push(
      ok(
        'KEEPALIVED',
        syncInterface === undefined ? 'no lvs_sync_daemon configured' : `lvs_sync_daemon on ${syncInterface}`
      )
    )
  return checks
}

/** Reasons for which a running backup drops messages that a user must act on. */
const DROP_REASONS = ['NOT_ACCEPTED', 'OTHER_SYNCID']

/** A running daemon's own view, by `--http`. */
export const judgeDaemon: Judge = ({ daemon }) => {
  if (daemon === undefined) return [unchecked('DAEMON', 'no --http given')]
  if ('reason' in daemon)
    return [problem('DAEMON_UNREACHABLE', daemon.reason, 'start the daemon with --http, or correct the port')]
  const { ready, status, metrics } = daemon.value
  const checks: Check[] = [
    ready
      ? ok('DAEMON', `it reports: ${status}`)
      : warning('DAEMON_NOT_READY', `it reports: ${status}`, 'see docs/troubleshooting.md')
  ]
  for (const reason of DROP_REASONS) {
    const count = metrics[`ipvs_sync_messages_dropped_total{reason="${reason}"}`] ?? 0
    if (count > 0)
      checks.push(
        (metrics['ipvs_sync_connections_applied_total'] ?? 0) === 0
          ? problem(
              `DAEMON_${reason}`,
              `it dropped ${counted(count, 'message')}: ${reason}, and applied no connection`,
              'correct --accept or --syncid of the daemon'
            )
          : ok(`DAEMON_${reason}`, `it dropped ${counted(count, 'message')}: ${reason}`)
      )
  }
  const full = metrics['ipvs_sync_connections_skipped_total{reason="TABLE_FULL"}'] ?? 0
  if (full > 0)
    checks.push(
      problem('DAEMON_TABLE_FULL', `its table was full for ${counted(full, 'connection')}`, 'raise --max-connections')
    )
  const queue = metrics['ipvs_sync_queue_dropped_total'] ?? 0
  if (queue > 0)
    checks.push(
      warning(
        'DAEMON_QUEUE_DROPS',
        `its send queue dropped ${counted(queue, 'message')}`,
        'raise sync_qlen_max, or sync_ports'
      )
    )
  return checks
}

/** Difference of two clocks that makes their logs hard to compare. */
const CLOCK_TOLERANCE: Milliseconds = 2000

/** The clock, for reading logs of two hosts side by side, and those of senders whose messages carry a time. */
export const judgeClock: Judge = ({ now, hz, traffic }) => {
  const time = new Date(now).toISOString()
  const differing = traffic.senders.filter(({ clockOffset = 0 }) => Math.abs(clockOffset) > CLOCK_TOLERANCE)
  return [
    ...differing.map(({ address, clockOffset = 0 }) =>
      warning(
        'CLOCK_DIFFERS',
        `the clock of ${address} is ${Math.round(Math.abs(clockOffset) / 1000)} s ${clockOffset > 0 ? 'behind' : 'ahead of'} ours`,
        'synchronise both with NTP: logs cannot be compared, and sealed messages may be rejected as old'
      )
    ),
    ok('CLOCK', `this host's time is ${time}${'value' in hz ? `, HZ ${hz.value}` : ''}`)
  ]
}
