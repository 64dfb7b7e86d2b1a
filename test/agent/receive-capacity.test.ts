// Receive buffer settings that an agent states in its requests.
import t from 'tap'
import { Agent } from '../../src/agent/agent.js'
import { decodeAgentMessage, type AgentMessage } from '../../src/agent/protocol/messages.js'
import { readReceiveCapacity } from '../../src/agent/receive-capacity.js'
import { verifySysctls } from '../../src/sysctl/settings.js'
import { MemoryNetwork } from '../../src/transport/memory.js'
import { FakeSystem } from '../fixtures/support/fake-network.js'

function systemWith(files: Readonly<Record<string, string>>): FakeSystem {
  const system = new FakeSystem()
  for (const [name, text] of Object.entries(files)) system.files.set(`/proc/sys/net/${name}`, text)
  return system
}

t.test('the smaller buffer of the agent and of the kernel’s daemon counts', (t) => {
  const core = { 'core/rmem_default': '212992\n', 'core/rmem_max': '4194304\n' }
  const limits = { rmemDefault: 212_992, rmemMax: 4_194_304 }
  const large = verifySysctls({ syncSockSize: 2_000_000 })
  const read = (files: Readonly<Record<string, string>>, sysctls = large) =>
    readReceiveCapacity(systemWith({ ...core, ...files }), sysctls)
  t.strictSame(read({}), { syncSockSize: 2_000_000, ...limits }, 'no kernel with IPVS')
  t.strictSame(read({ 'ipv4/vs/sync_sock_size': '0\n' }), { syncSockSize: 0, ...limits })
  t.strictSame(read({ 'ipv4/vs/sync_sock_size': '3000000\n' }), { syncSockSize: 2_000_000, ...limits })
  t.strictSame(read({ 'core/rmem_max': '-1\n', 'core/rmem_default': 'many' }), {
    syncSockSize: 2_000_000,
    rmemDefault: 0,
    rmemMax: 0
  })
  t.end()
})

t.test('requests of an agent state it', async (t) => {
  const network = new MemoryNetwork()
  const requests: AgentMessage[] = []
  await network.open('10.9.0.2').start({
    onDatagram: (bytes) => {
      const message = decodeAgentMessage(bytes)
      if (message?.kind === 'request') requests.push(message)
    }
  })
  const agent = new Agent({
    peers: [{ address: '10.9.0.2' }],
    kernel: false,
    system: systemWith({ 'core/rmem_default': '425984', 'core/rmem_max': '851968' }),
    receiver: network.open('10.9.0.1'),
    sender: network.open('10.9.0.1', 40_000)
  })
  await agent.start()
  network.advance(100)
  t.match(requests, [{ capacity: { syncSockSize: 0, rmemDefault: 425_984, rmemMax: 851_968 } }])
  await agent.close()
})
