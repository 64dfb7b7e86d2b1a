import { encodeMessages } from 'ipvs-sync'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { COMMAND } from '../harness/command.js'
import type { DaemonOptions, Lab } from '../harness/lab.js'
import { population } from '../harness/population.js'
import type { Scenario } from '../harness/scenario.js'

/** One check of doctor's JSON. */
interface Check {
  readonly code: string
  readonly verdict: string
  readonly text: string
}

/** A state of the host, and the checks that must be found. */
interface Case {
  readonly name: string
  readonly backup?: DaemonOptions
  readonly master?: DaemonOptions
  readonly sysctls?: Readonly<Record<string, number | string>>
  readonly services?: readonly string[]
  /** `verdict CODE`. */
  readonly expected: readonly string[]
  /** Text of one of them. */
  readonly text?: readonly [code: string, pattern: RegExp]
}

const CASES: readonly Case[] = [
  {
    name: 'agrees',
    backup: { syncid: 7, maxlen: 1472 },
    expected: ['ok IP_VS', 'ok KERNEL_DAEMON', 'ok SYSCTLS', 'warning SERVICE_MISSING', 'ok KERNEL_TABLE', 'ok ROLES'],
    text: ['KERNEL_TABLE', /^received ([1-9]\d*) connections, the kernel holds \1 of them$/]
  },
  {
    name: 'services',
    backup: { syncid: 7 },
    services: ['-A -f 1 -s rr'],
    expected: ['ok SERVICES', 'ok KERNEL_TABLE']
  },
  {
    name: 'other-syncid',
    backup: { syncid: 9 },
    expected: ['problem KERNEL_DAEMON_DIFFERS', 'problem KERNEL_TABLE_EMPTY'],
    text: ['KERNEL_TABLE_EMPTY', /^received [1-9]\d* connections, the kernel holds 0 of them$/]
  },
  {
    name: 'other-port',
    backup: { syncid: 7, port: 8900 },
    expected: ['problem KERNEL_DAEMON_DIFFERS', 'problem KERNEL_TABLE_EMPTY']
  },
  {
    name: 'settings',
    backup: { syncid: 7, maxlen: 1400 },
    master: { syncid: 7, maxlen: 1300 },
    sysctls: {
      'net.ipv4.vs.sync_persist_mode': 1,
      'net.ipv4.vs.sync_threshold': '40 50',
      'net.ipv4.vs.backup_only': 1,
      'net.ipv4.vs.sync_version': 0
    },
    services: ['-A -t [fd00:1::100]:80 -s rr'],
    expected: [
      'warning PERSIST_WITHOUT_SLOPPY',
      'warning LATE_THRESHOLD',
      'warning BACKUP_ONLY',
      'problem VERSION_0_WITH_IPV6',
      'warning KERNEL_DAEMONS_DISAGREE'
    ]
  },
  { name: 'no-daemon', expected: ['unchecked KERNEL_DAEMONS', 'unchecked KERNEL_TABLE', 'warning NO_ROLE'] }
]

export const scenario: Scenario = {
  title: "doctor judges the kernel's daemons, settings, services and table against what is received",
  timeLimit: 180,
  async run(lab) {
    const disagreements: string[] = []
    const notes: string[] = []
    let compared = 0
    let datagrams = 0
    for (const one of CASES) {
      lab.namespace('backup')
      if (one.sysctls !== undefined) lab.sysctl('backup', one.sysctls)
      lab.services('backup', one.services ?? [])
      if (one.backup !== undefined) lab.backup('backup', one.backup)
      if (one.master !== undefined) lab.master('backup', one.master)
      const { checks, sent } = await runDoctor(lab, one.name)
      datagrams += sent
      compared += one.expected.length
      const found = checks.map(({ verdict, code }) => `${verdict} ${code}`)
      for (const expected of one.expected)
        if (!found.includes(expected)) disagreements.push(`${one.name}: expected ${expected}, got ${found.join(', ')}`)
      const [code, pattern] = one.text ?? []
      const text = checks.find((check) => check.code === code)?.text ?? ''
      if (pattern !== undefined && !pattern.test(text)) disagreements.push(`${one.name}: ${code}: ${text}`)
      if (code !== undefined) notes.push(`${one.name}: ${text}`)
      await lab.remove('backup')
    }
    return { datagrams, compared, disagreements, notes }
  }
}

/** Runs doctor on the backup while messages are sent. */
async function runDoctor(
  lab: Lab,
  name: string
): Promise<{ readonly checks: readonly Check[]; readonly sent: number }> {
  const connections = population(lab.random, 1, 1)
    .filter(({ family, state, flags }) => family === 'ipv4' && state === 'ESTABLISHED' && !flags.includes('TEMPLATE'))
    .slice(0, 20)
  const messages = encodeMessages({ version: 1, syncid: 7, connections })
  const words = ['doctor', '--mcast-interface', 'sync0', '--syncid', '7', '--seconds', '4', '--format', 'json']
  const child = lab.start('backup', process.execPath, [COMMAND, ...words], `doctor-${name}`)
  let sent = 0
  while (child.exitCode === null && child.signalCode === null) {
    for (const message of messages) await lab.announce(message)
    sent += messages.length
    await lab.pause(200)
  }
  const text = readFileSync(join(lab.folder, `doctor-${name}.log`), 'utf8')
  return { checks: (JSON.parse(text.slice(text.indexOf('{'))) as { checks: Check[] }).checks, sent }
}
