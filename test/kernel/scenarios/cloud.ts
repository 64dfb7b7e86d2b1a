import type { DirectorHost } from '../harness/director-host.js'
import type { Lab } from '../harness/lab.js'
import { compareTables } from '../harness/kernel-table.js'
import { blocksOf, commandsOf } from '../harness/page.js'
import type { Scenario } from '../harness/scenario.js'
import { ADDRESS, comparable, isReady, TwoDirectors } from '../harness/two-directors.js'

export const scenario: Scenario = {
  title: 'a cloud without multicast: the VXLAN of docs/keepalived.md carries what kernels and agents say',
  timeLimit: 90,
  async run(lab) {
    const two = new TwoDirectors(lab)
    const { a, b } = two
    for (const host of [a, b]) await start(host)
    service(lab, a)
    agent(two, a)
    await two.openConnections()
    await two.knows(b)
    two.notes.push(`the kernel's master told the other kernel of ${b.table().length} connections`)
    await b.off()
    await start(b)
    two.claim(`b comes back with ${b.table().length} connections`, b.table().length === 0)
    agent(two, b)
    const [took] = await two.timed(() => lab.until('b is ready', () => isReady(b), 30))
    const [there, here] = [a.table(), b.table()]
    two.notes.push(`its agent asks: ready after ${took} s, with ${here.length} of ${there.length}`)
    two.faults.push(...compareTables(comparable(there), comparable(here)))
    a.sh(`ip addr del ${ADDRESS}/32 dev eth0`)
    service(lab, b)
    await two.goOn('through b')
    return two.outcome(there.length)
  }
}

/** A host whose network carries no multicast, its VXLAN as on the page, and the kernel's daemons on that. */
async function start(host: DirectorHost): Promise<void> {
  await host.up()
  host.sh('ip link set eth1 down; ip link set eth0 multicast off')
  const [first, second] = ['10.0.0.11', '10.0.0.12']
  const vxlan = blocksOf('docs/keepalived.md', 'sh').find((script) => script.includes('type vxlan'))!
  const own = host.name === 'a' ? vxlan : exchange(exchange(vxlan, first, second), '10.9.0.1/24', '10.9.0.2/24')
  host.sh(`ip addr add ${host.name === 'a' ? first : second}/24 dev eth0; ${own}`)
  for (const command of commandsOf('examples/systemd/ipvs-sync-kernel.service'))
    if (!command.includes('modprobe'))
      host.sh(onVxlan(command) + (command.includes(' master ') ? ' --sync-maxlen 1422' : ''))
}

function agent(two: TwoDirectors, host: DirectorHost): void {
  two.agent(host, onVxlan)
}

function onVxlan(command: string): string {
  return command.replace('eth1', 'sync0')
}

/** Gives a director the address and the service; it is taken from the host that had it. */
function service(lab: Lab, host: DirectorHost): void {
  host.sh(`ip addr add ${ADDRESS}/32 dev eth0`)
  host.sh(`ipvsadm -A -t ${ADDRESS}:80 -s rr; ipvsadm -a -t ${ADDRESS}:80 -r 192.0.2.81 -g`)
  lab.sh('client', 'ip neigh flush all')
}

function exchange(text: string, one: string, other: string): string {
  return text.replaceAll(one, '\0').replaceAll(other, one).replaceAll('\0', other)
}
