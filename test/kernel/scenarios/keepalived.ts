import { encodeMessages, type Connection } from 'ipvs-sync'
import { compareTables } from '../harness/kernel-table.js'
import type { Lab } from '../harness/lab.js'
import { population } from '../harness/population.js'
import { withoutSequences } from '../harness/record-differences.js'
import type { Scenario } from '../harness/scenario.js'
import { ADDRESS, comparable, isReady, TwoDirectors } from '../harness/two-directors.js'

/** Copies of the made-up population that stands beside the live connections, of 74 each. */
const COPIES = 20
/** Long enough for VRRP to give the address to anybody who would take it. */
const HELD_BACK_MS = 4500
const PATIENCE = 30

export const scenario: Scenario = {
  title: 'keepalived and IPVS as docs/keepalived.md has them: a director that rebooted gets the address with its table',
  timeLimit: 150,
  needs: { keepalived: 'keepalived' },
  needsSpeed: 'keepalived ends its track script, a Node program, after 2 s',
  async run(lab) {
    const two = new TwoDirectors(lab)
    await firstOfAll(lab, two)
    await fill(lab, two)
    await two.a.off()
    await two.holds(two.b, 'the power of a fails')
    await two.goOn('through b')
    await two.role(two.b, 'MASTER')
    const compared = await comesBack(lab, two)
    await two.goOn('through a')
    await two.role(two.a, 'MASTER')
    await two.role(two.b, 'BACKUP')
    return two.outcome(compared)
  }
}

/** keepalived on both: without an agent nobody has the address. */
async function firstOfAll(lab: Lab, two: TwoDirectors): Promise<void> {
  for (const host of [two.a, two.b]) {
    await host.up()
    two.kernelDaemons(host)
    two.startKeepalived(host)
  }
  await lab.pause(HELD_BACK_MS)
  two.claim(`no agent: the address is at ${two.holders() || 'nobody'}`, two.holders() === '')
  two.agent(two.a)
  await two.holds(two.a, 'agent a starts, nobody answers it')
  two.agent(two.b)
}

/** Live connections through the address, and a crowd that both kernels hear of. */
async function fill(lab: Lab, two: TwoDirectors): Promise<void> {
  const connections = population(lab.random, 1, COPIES).filter(isToldApart).map(withoutSequences)
  for (const message of encodeMessages({ version: 1, syncid: 51, connections })) await lab.announce(message)
  await two.openConnections()
  await two.knows(two.b)
  two.notes.push(`connections at a ${two.a.table().length}, at b ${two.b.table().length}`)
}

/** A kernel's table does not tell a connection without client port from a template; docs/late-joiner.md has more of it. */
function isToldApart({ client, flags }: Connection): boolean {
  return client.port !== 0 || flags.includes('TEMPLATE')
}

/** keepalived starts at once, the agent later: the address stays until the table is there. Returns how large it was. */
async function comesBack(lab: Lab, two: TwoDirectors): Promise<number> {
  const { a, b } = two
  await a.up()
  two.kernelDaemons(a)
  two.startKeepalived(a)
  await lab.pause(HELD_BACK_MS)
  two.claim(`a is back without its agent: the address is at ${two.holders()}`, two.holders() === 'b')
  two.agent(a)
  const [early, ready] = await two.timed(async () => {
    await lab.until('a is ready, or takes the address', () => isReady(a) || a.holds(ADDRESS), PATIENCE)
    return !a.holds(ADDRESS)
  })
  two.claim(`agent a starts: ready after ${early} s, and the address still at ${two.holders()}`, ready)
  await two.holds(a, 'agent a is ready')
  const [there, here] = [b.table(), a.table()]
  two.faults.push(...compareTables(comparable(there), comparable(here)).map((line) => `when a took over: ${line}`))
  two.claim(`a had ${here.length} connections then, b ${there.length}`, here.length > 70 * COPIES)
  return there.length
}
