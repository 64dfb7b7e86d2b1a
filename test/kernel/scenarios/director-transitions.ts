import { Director, FrameReader } from 'ipvs-sync/director'
import { stateName } from 'ipvs-sync/wire'
import { messageV1, recordV1 } from '../harness/message.js'
import { sctp, tcp, type Path } from '../harness/packet.js'
import { readPacket } from '../harness/director-recording.js'
import type { Lab } from '../harness/lab.js'
import type { Scenario } from '../harness/scenario.js'
import { parseKernelTable } from '../harness/kernel-table.js'

/** Every state machine, and what a state machine reads: state, direction, event. */
interface Case {
  readonly protocol: 'TCP' | 'SCTP'
  readonly column: 'in' | 'out' | 'only'
  readonly state: number
  /** TCP's flags, or a chunk type. */
  readonly event: number
  readonly port: number
}

const COLUMNS = ['in', 'out', 'only'] as const
const MACHINES = [
  { name: 'TCP', protocol: 'TCP', secure: 0, states: 11, events: [2, 1, 16, 4] },
  { name: 'TCP under secure_tcp', protocol: 'TCP', secure: 3, states: 11, events: [2, 1, 16, 4] },
  { name: 'SCTP', protocol: 'SCTP', secure: 0, states: 14, events: [0, 1, 2, 10, 11, 7, 8, 14, 9, 6] }
] as const
/** Records in one message. */
const MESSAGE = 30
const CLIENT = [10, 1, 30, 1]
const VIRTUAL = [10, 1, 0, 100]
const SERVER = [10, 2, 0, 2]
const NUMBERS = { TCP: 6, SCTP: 132 } as const

export const scenario: Scenario = {
  title: 'every state, direction and event of TCP, TCP under secure_tcp and SCTP: the state after one packet',
  timeLimit: 120,
  async run(lab) {
    const cannon = await lab.director([
      '-A -t 10.1.0.100:80 -s rr',
      '-a -t 10.1.0.100:80 -r 10.2.0.2:8080 -m',
      '-A -t 10.1.0.100:81 -s rr',
      '-a -t 10.1.0.100:81 -r 10.2.0.2:81 -g',
      '-A --sctp-service 10.1.0.100:80 -s rr',
      '-a --sctp-service 10.1.0.100:80 -r 10.2.0.2:8080 -m',
      '-A --sctp-service 10.1.0.100:81 -s rr',
      '-a --sctp-service 10.1.0.100:81 -r 10.2.0.2:81 -g'
    ])
    lab.sysctl('director', { 'net.ipv4.vs.conn_reuse_mode': 0 })
    lab.backup('director')
    await lab.pause(200)
    const disagreements: string[] = []
    let [compared, firstPort] = [0, 1000]
    for (const machine of MACHINES) {
      lab.sysctl('director', { 'net.ipv4.vs.secure_tcp': machine.secure })
      const cases = casesOf(machine, firstPort)
      firstPort += cases.length
      await teach(lab, cases)
      for (const one of cases) cannon.shoot(packetOf(one), one.column === 'out' ? 'server' : 'client')
      await lab.pause(100)
      const rows = parseKernelTable(lab.proc('director', 'ip_vs_conn'))
      const states = new Map(rows.map(({ clientPort, state }) => [clientPort, state]))
      for (const one of cases) {
        compared++
        const [kernel, model] = [states.get(one.port) ?? 'no connection', predicted(one, machine.secure)]
        if (kernel !== model)
          disagreements.push(
            `${machine.name}, ${one.column}, state ${one.state}, event ${one.event}: kernel ${kernel}, model ${model}`
          )
      }
    }
    return { compared, disagreements, notes: [`${compared} transitions`] }
  }
}

function casesOf({ protocol, states, events }: (typeof MACHINES)[number], firstPort: number): Case[] {
  const cases: Case[] = []
  for (const column of COLUMNS)
    for (let state = 0; state < states; state++)
      for (const event of events) cases.push({ protocol, column, state, event, port: firstPort + cases.length })
  return cases
}

/** A backup daemon in the director's namespace takes connections in any state. */
async function teach(lab: Lab, cases: readonly Case[]): Promise<void> {
  for (let at = 0; at < cases.length; at += MESSAGE) {
    const records = cases.slice(at, at + MESSAGE).map(({ protocol, column, state, port }) =>
      recordV1({
        protocol: NUMBERS[protocol],
        flags: column === 'only' ? 0x103 : 0x100,
        state,
        client: CLIENT,
        cport: port,
        virtual: VIRTUAL,
        vport: column === 'only' ? 81 : 80,
        destination: SERVER,
        dport: column === 'only' ? 81 : 8080,
        timeout: 500
      })
    )
    await lab.announce(messageV1(records))
  }
  await lab.until('the connections are in the table', () => {
    const known = new Set(parseKernelTable(lab.proc('director', 'ip_vs_conn')).map(({ clientPort }) => clientPort))
    return cases.every(({ port }) => known.has(port))
  })
}

function packetOf({ protocol, column, event, port }: Case): Uint8Array {
  const path: Path =
    column === 'out'
      ? { from: SERVER, fromPort: 8080, to: CLIENT, toPort: port }
      : { from: CLIENT, fromPort: port, to: VIRTUAL, toPort: column === 'only' ? 81 : 80 }
  return protocol === 'TCP' ? tcp(path, event) : sctp(path, event)
}

/** The state that the model gives the same connection. */
function predicted(one: Case, secureTcp: number): string {
  const { protocol, column, state, port } = one
  const isOnly = column === 'only'
  const server = { address: '10.2.0.2', port: isOnly ? 81 : 8080, forwarding: isOnly ? 'DROUTE' : 'MASQ' } as const
  const virtual = { address: '10.1.0.100', port: isOnly ? 81 : 80 }
  const model = new Director({
    services: [{ protocol, virtual, scheduler: 'rr', servers: [server] }],
    settings: { connReuseMode: 0, secureTcp }
  })
  model.adopt(
    {
      family: 'ipv4',
      protocol,
      client: { address: '10.1.30.1', port },
      virtual,
      destination: { address: server.address, port: server.port },
      forwarding: server.forwarding,
      flags: ['INACTIVE'],
      state: stateName(NUMBERS[protocol], false, state),
      timeout: 500,
      origin: 'SYNC',
      expires: 500,
      syncid: 7
    },
    1000
  )
  const reader = new FrameReader()
  readPacket(reader, packetOf(one), 0)
  return stateName(NUMBERS[protocol], false, model.handlePacket(reader.packet, 1001).stateAfter)
}
