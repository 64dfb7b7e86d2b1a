import type { DirectorHost } from '../harness/director-host.js'
import type { Lab } from '../harness/lab.js'
import type { Scenario } from '../harness/scenario.js'
import { rolesOf, TwoDirectors } from '../harness/two-directors.js'

/** Several of keepalived's intervals: a change of the address has happened by then. */
const SETTLE_MS = 4500

export const scenario: Scenario = {
  title: 'agents announce by the role that keepalived says: reload, another FIFO, another role, and the table stays',
  timeLimit: 150,
  needs: { keepalived: 'keepalived' },
  needsSpeed: 'keepalived ends its track script, a Node program, after 2 s',
  async run(lab) {
    const two = new TwoDirectors(lab)
    for (const host of [two.b, two.a]) await start(two, host)
    await two.holds(two.a, 'both start')
    await two.role(two.a, 'MASTER')
    await announces(lab, two, two.a)
    await reload(lab, two)
    const size = two.a.table().length
    await two.stopKeepalived(two.a)
    await two.holds(two.b, 'keepalived a stops')
    for (const [host, role] of [
      [two.a, 'BACKUP'],
      [two.b, 'MASTER']
    ] as const)
      await two.role(host, role)
    await two.goOn('through b')
    await newFifo(two)
    await two.goOn('through a')
    two.claim(`a had ${size} connections before, and has ${two.a.table().length}`, two.a.table().length === size)
    return two.outcome(3 * size)
  }
}

/** The kernel announces nothing: its backup daemon alone runs, and the agent's unit lacks one word. */
async function start(two: TwoDirectors, host: DirectorHost): Promise<void> {
  await host.up()
  two.kernelDaemons(host, /backup/)
  two.agent(host, (command) => command.replace(' --no-announce', ''))
  two.startKeepalived(host)
}

/** What the other kernel knows of the live connections, it knows from an agent. */
async function announces(lab: Lab, two: TwoDirectors, host: DirectorHost): Promise<void> {
  const wire = await lab.syncSocket()
  await two.openConnections()
  await two.knows(two.b)
  two.notes.push(`${wire.heard.length} datagrams; ${host.name} announces`)
}

async function reload(lab: Lab, two: TwoDirectors): Promise<void> {
  const { a } = two
  const roles = rolesOf(a).length
  await two.reloadKeepalived(a)
  await lab.pause(SETTLE_MS)
  two.claim(`keepalived a reloads (SIGHUP): the address is at ${two.holders()}`, two.holders() === 'a')
  two.claim(`agent a received ${rolesOf(a).length - roles} other roles`, rolesOf(a).length === roles)
  two.claim('its script is tracked still', !/not found|removing$/m.test(a.printed('keepalived')))
}

/** keepalived takes its FIFO with it when it ends, and makes another one. */
async function newFifo(two: TwoDirectors): Promise<void> {
  const { a, b } = two
  two.claim('keepalived took its FIFO with it', !a.sh('ls /run/ipvs-sync').includes('notify.fifo\n'))
  two.startKeepalived(a)
  await two.holds(a, 'keepalived a starts, with another FIFO')
  await two.role(a, 'MASTER')
  await two.role(b, 'BACKUP')
  two.claim(
    `its FIFO is another one, and agent a heard ${rolesOf(a).join(', ')}`,
    rolesOf(a).join() === 'MASTER,BACKUP,MASTER'
  )
}
