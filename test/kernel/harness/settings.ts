import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'

const INT = ['-2147483649', '-2147483648', '-1', '0', '1', '2', '2147483647', '2147483648', 'x', '1x', '1 2']
const SMALL = ['-1', '0', '1', '2', '3', '4', '2147483648', 'on']

const FOLDER = '/proc/sys/net/ipv4/vs'

/** Boundary values of every variable of docs/protocol.md section 10. */
const TRIALS: Readonly<Record<string, readonly string[]>> = {
  sync_version: SMALL,
  sync_threshold: [
    '0 0',
    '3 50',
    '0 1',
    '1 1',
    '2 1',
    '49 50',
    '50 50',
    '51 50',
    '5 0',
    '-1 50',
    '0 -1',
    '-1 0',
    '2147483647 0',
    '2147483646 2147483647',
    '2147483648 0',
    '3',
    '3 50 7',
    'a b',
    '3,50',
    '3\t40',
    ' 4 40 '
  ],
  sync_retries: SMALL,
  sync_ports: ['-1', '0', '1', '2', '3', '4', '6', '8', '32', '63', '64', '65', '128', '1073741824', '2147483648', 'x'],
  sync_qlen_max: ['-1', '0', '1', '5000', '9007199254740991', '18446744073709551616', 'x'],
  sync_sock_size: INT,
  sync_persist_mode: INT,
  backup_only: INT,
  sloppy_tcp: INT,
  sloppy_sctp: INT,
  am_droprate: INT,
  amemthresh: INT,
  drop_entry: SMALL,
  drop_packet: SMALL,
  secure_tcp: SMALL,
  conn_reuse_mode: INT,
  conntrack: INT,
  cache_bypass: INT,
  expire_nodest_conn: INT,
  expire_quiescent_template: INT,
  nat_icmp_send: INT,
  ignore_tunneled: INT,
  schedule_icmp: INT,
  snat_reroute: INT,
  pmtu_disc: INT,
  run_estimation: INT,
  debug_level: [...INT, '0x10', '010', '09', '0x', '+1', '-0x1'],
  // A CPU that does not exist is refused too; how many there are is not ours to know.
  est_cpulist: ['0', '0-0', '', 'x', '0-', '1-0'],
  est_nice: ['-21', '-20', '0', '19', '20', '2147483648', 'x']
}

/** Boundary values of the variables that a kernel keeps in ticks of its clock. */
function trialsInTicks(hz: number): Readonly<Record<string, readonly string[]>> {
  const most = Math.floor((2 ** 31 - 1) / hz)
  const expiration = [`-${most}`, '0', '86400', `${most}`, `${most + 1}`, 'x']
  const refresh = ['0', '1', '10', '3600', `${most}`, `${most + 1}`, '2147483648', '-2147483649', 'x']
  return { sync_refresh_period: refresh, lblc_expiration: expiration, lblcr_expiration: expiration }
}

/** What a kernel did with a value. */
export interface Verdict {
  readonly name: string
  readonly value: string
  readonly accepted: boolean
  /** What the file holds afterwards. */
  readonly after: string
}

/**
 * Writes every value to the kernel's own files, in the first namespace: one write each, as sysctl(8) does. Variables that
 * this kernel does not have are left out.
 */
export function tryOnKernel(hz: number): Verdict[] {
  return Object.entries({ ...TRIALS, ...trialsInTicks(hz) })
    .filter(([name]) => existsSync(`${FOLDER}/${name}`))
    .flatMap(([name, values]) => values.map((value) => tryOne(name, value)))
}

/** Returns the variables of this kernel that have no trials. */
export function untried(): string[] {
  const tried = { ...TRIALS, ...trialsInTicks(1) }
  return readdirSync(FOLDER).filter((name) => tried[name] === undefined)
}

function tryOne(name: string, value: string): Verdict {
  const file = `${FOLDER}/${name}`
  const before = readFileSync(file, 'utf8')
  const accepted = takes(file, `${value}\n`)
  const after = readFileSync(file, 'utf8').trim().replaceAll('\t', ' ')
  takes(file, before)
  return { name, value, accepted, after }
}

function takes(file: string, text: string): boolean {
  try {
    writeFileSync(file, text)
    return true
  } catch {
    return false
  }
}
