import { BackupEngine } from 'ipvs-sync/engine'
import { compareTables } from '../harness/kernel-table.js'
import type { Lab } from '../harness/lab.js'
import { messageV1, recordV1, type RecordFields } from '../harness/message.js'
import { asKernelRows } from '../harness/our-table.js'
import type { Scenario } from '../harness/scenario.js'

// A kernel looks up a connection with the hash of its engine data, and its test of the key ignores TEMPLATE: so a connection can be taken
// for a template (docs/protocol.md section 7). No kernel sends such records; here are all of them.

const SYNCID = 9
const FROM = { address: '10.9.0.254', port: 40000 }
/** Longer than the tick at which a kernel ends an entry that it replaced. */
const TICKS_MS = 25
const TIMEOUT = 5000
const TEMPLATE = 0x1100
const [NO_CPORT, INACTIVE] = [0x800, 0x100]

interface Case {
  readonly name: string
  readonly vport: number
  readonly records: readonly RecordFields[]
}

export const scenario: Scenario = {
  title: 'connections with the engine data of a template: which entry a kernel takes for them',
  async run(lab) {
    lab.backup('backup', { syncid: SYNCID })
    const ours = new BackupEngine({ syncid: SYNCID, flagChecks: lab.kernel.generation, maxConnections: 10_000 })
    const cases = allCases()
    const disagreements: string[] = []
    for (const one of cases) disagreements.push(...(await judge(lab, ours, one)))
    const kernel = lab.table('backup')
    const alone = cases.filter(({ vport }) => kernel.filter(({ virtualPort }) => virtualPort === vport).length === 1)
    if (alone.length === 0) disagreements.push('no connection was taken for a template')
    const notes = [
      `in ${alone.length} of ${cases.length} cases one entry stands at the end, in the others two or three`
    ]
    return { datagrams: cases.length * 3, compared: cases.length, disagreements, notes }
  }
}

/** First a template or a connection, then twice a connection of the same key. */
function allCases(): Case[] {
  const cases: Case[] = []
  for (const first of ['template', 'template without client port', 'connection', 'connection without client port'])
    for (const flags of [0, INACTIVE])
      for (const destination of ['same', 'other'])
        for (const data of ['none', 'same', 'other'])
          for (const openPort of [false, true]) {
            const number = cases.length + 1
            const name = `${first}; ${flags === 0 ? 'active' : 'INACTIVE'}, ${destination} destination, ${data} data${openPort ? ', NO_CPORT' : ''}`
            const key = { protocol: 17, state: 0, timeout: TIMEOUT, vport: 1000 + number }
            const noPort = first.endsWith('without client port')
            const firstFlags =
              (first.startsWith('template') ? TEMPLATE : INACTIVE) |
              (noPort && !first.startsWith('template') ? NO_CPORT : 0)
            const second: RecordFields = {
              ...key,
              cport: openPort ? 0 : number,
              flags: flags | (openPort ? NO_CPORT : 0),
              destination: [10, 2, 0, destination === 'same' ? 2 : 9],
              parameters: data === 'none' ? [] : sip(data === 'same' ? `call-${number}` : `other-${number}`)
            }
            cases.push({
              name,
              vport: key.vport,
              records: [
                { ...key, cport: noPort ? 0 : number, flags: firstFlags, parameters: sip(`call-${number}`) },
                second,
                { ...second, timeout: TIMEOUT + 1000 }
              ]
            })
          }
  return cases
}

async function judge(lab: Lab, ours: BackupEngine, { name, vport, records }: Case): Promise<string[]> {
  for (const record of records) {
    const bytes = messageV1([recordV1(record)], { syncid: SYNCID })
    ours.handleDatagram(bytes, FROM, Date.now())
    await lab.announce(bytes)
    await lab.pause(TICKS_MS)
  }
  await lab.pause(TICKS_MS)
  ours.handleTimeout(Date.now())
  const kernel = lab.table('backup', 'engine').filter(({ virtualPort }) => virtualPort === vport)
  const own = asKernelRows(ours.table, 'engine').filter(({ virtualPort }) => virtualPort === vport)
  return compareTables(kernel, own, 10).map((line) => `${name}: ${line}`)
}

function sip(call: string): number[] {
  const data = [...Buffer.from(`${call}@example`)]
  return [2, data.length, ...data, 3, 3, ...Buffer.from('sip')]
}
