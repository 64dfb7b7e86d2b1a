// All 684 transitions that a running kernel showed, each from a state that synchronisation gave the connection.
import { readFileSync } from 'node:fs'
import t from 'tap'
import { Director, type PacketValue } from '../../src/director/index.js'
import { stateName } from '../../src/wire/index.js'
import { CLIENT, replyOf, sctp, SERVER, serviceBy, tcp, VIRTUAL } from '../fixtures/support/director-packets.js'

type Vector = readonly [machine: string, column: string, state: number, event: string | number, next: number]
const vectors = JSON.parse(
  readFileSync(new URL('../fixtures/vectors/transitions.json', import.meta.url), 'utf8')
) as Vector[]

/** The state after one packet of a connection that stands in a state. */
function after([machine, column, state, event]: Vector): string {
  const protocol = machine === 'sctp' ? 'SCTP' : 'TCP'
  const number = protocol === 'SCTP' ? 132 : 6
  const forwarding = column === 'only' ? 'DROUTE' : 'MASQ'
  const director = new Director({
    services: [serviceBy(forwarding, { protocol })],
    settings: { secureTcp: machine === 'tcp-secure' ? 3 : 0, connReuseMode: 0 }
  })
  director.adopt(
    {
      family: 'ipv4',
      protocol,
      client: { address: CLIENT, port: 1000 },
      virtual: { address: VIRTUAL, port: 80 },
      destination: { address: SERVER.address, port: forwarding === 'MASQ' ? SERVER.port : 80 },
      forwarding,
      flags: ['INACTIVE'],
      state: stateName(number, false, state),
      timeout: 500,
      origin: 'SYNC',
      expires: 500,
      syncid: 7
    },
    1000
  )
  const request: PacketValue = protocol === 'SCTP' ? sctp([Number(event)]) : tcp(String(event))
  const outcome = director.handlePacket(column === 'out' ? replyOf(request, SERVER) : request, 2000)
  return `${outcome.stateAfter} of ${[...director.connections()][0]!.state}`
}

for (const machine of ['tcp', 'tcp-secure', 'sctp']) {
  t.test(`${machine}: every state, event and direction`, async (t) => {
    const own = vectors.filter(([name]) => name === machine)
    t.equal(own.length, machine === 'sctp' ? 420 : 132)
    const wrong = own.filter((vector) => {
      const number = machine === 'sctp' ? 132 : 6
      return after(vector) !== `${vector[4]} of ${stateName(number, false, vector[4])}`
    })
    t.strictSame(wrong, [])
  })
}
