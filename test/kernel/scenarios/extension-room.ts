import type { Lab } from '../harness/lab.js'
import type { Scenario } from '../harness/scenario.js'
import { messageV1, recordV1 } from '../harness/message.js'

// docs/protocol.md section 14. Each fact is a message, the client ports that must stand afterwards, and what must not be logged.
interface Fact {
  readonly name: string
  readonly message: Uint8Array
  readonly ports: readonly number[]
  /** How many lines of the backup's the kernel logs at debug level 7. */
  readonly logged: number
}

const FACTS: readonly Fact[] = [
  {
    name: '33 bytes after the last record',
    message: messageV1([recordV1({ cport: 1 })], { trailer: new Uint8Array(33).fill(0xa5) }),
    ports: [1],
    logged: 0
  },
  {
    name: '40 bytes after the last record',
    message: messageV1([recordV1({ cport: 2 })], { trailer: new Uint8Array(40).fill(0x5a) }),
    ports: [2],
    logged: 0
  },
  {
    name: 'an unknown parameter that may be skipped (0x45)',
    message: messageV1([recordV1({ cport: 3, parameters: [0x45, 4, 1, 2, 3, 4] })]),
    ports: [3],
    logged: 0
  },
  {
    name: 'an unknown parameter that must be known (0x05): that record is skipped, the next stands',
    message: messageV1([recordV1({ cport: 4, parameters: [0x05, 4, 1, 2, 3, 4] }), recordV1({ cport: 5 })]),
    ports: [5],
    logged: 2
  },
  { name: 'a message without connections', message: messageV1([]), ports: [], logged: 0 },
  {
    name: 'a message without connections that carries 100 bytes',
    message: messageV1([], { trailer: new Uint8Array(100).fill(7) }),
    ports: [],
    logged: 0
  }
]

export const scenario: Scenario = {
  title: 'bytes after the last record, skippable parameters and empty messages are room for extensions',
  async run(lab) {
    const { hasLog } = lab.kernel
    lab.backup('backup')
    if (hasLog) lab.sysctl('root', { 'net.ipv4.vs.debug_level': 7 })
    const disagreements: string[] = []
    const before = new Set<number>()
    for (const fact of FACTS) disagreements.push(...(await judge(lab, fact, before)))
    return { datagrams: FACTS.length, compared: FACTS.length, disagreements }
  }
}

async function judge(lab: Lab, { name, message, ports, logged }: Fact, before: Set<number>): Promise<string[]> {
  lab.log.take()
  await lab.announce(message)
  // Nothing tells when a message that does nothing has been read: a sound one behind it does.
  const fence = 60000 + before.size
  await lab.announce(messageV1([recordV1({ cport: fence })]))
  const standing = (): number[] => lab.table('backup').map((row) => row.clientPort)
  await lab.until('the fence message is applied', () => standing().includes(fence))
  const created = standing().filter((port) => port < 60000 && !before.has(port))
  for (const port of [...created, fence]) before.add(port)
  const lines = lab.log.take().filter((line) => line.includes('BACKUP'))
  const faults =
    created.join() === ports.join()
      ? []
      : [`${name}: created ${created.join() || 'nothing'}, expected ${ports.join() || 'nothing'}`]
  return !lab.kernel.hasLog || lines.length === logged
    ? faults
    : [...faults, `${name}: the kernel logged ${JSON.stringify(lines)}`]
}
