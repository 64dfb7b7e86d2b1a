import t from 'tap'
import { demandConnectionShape } from '../../src/wire/connection-shape.js'
import { tcpConnection } from '../fixtures/support/connections.js'

const good = tcpConnection(1)

t.test('a value of the right shape passes', async (t) => {
  const sequence = { initial: 1, delta: 2, previousDelta: 3 }
  const full = { ...good, inSequence: sequence, outSequence: sequence, engine: { name: 'sip', data: '61' } }
  for (const value of [good, full, { ...good, more: 1 }]) t.doesNotThrow(() => demandConnectionShape(value, 'x'))
})

t.test('what is missing or of another type is named', async (t) => {
  const cases: [value: unknown, field: string][] = [
    [undefined, 'line'],
    [null, 'line'],
    [[], 'line'],
    ['text', 'line'],
    [{ ...good, family: 4 }, 'line.family'],
    [{ ...good, protocol: undefined }, 'line.protocol'],
    [{ ...good, client: '10.0.0.1' }, 'line.client'],
    [{ ...good, client: { port: 1 } }, 'line.client.address'],
    [{ ...good, flags: 'TEMPLATE' }, 'line.flags'],
    [{ ...good, flags: [1] }, 'line.flags'],
    [{ ...good, inSequence: 7 }, 'line.inSequence'],
    [{ ...good, engine: null }, 'line.engine'],
    [{ ...good, engine: { name: 'sip' } }, 'line.engine.data']
  ]
  for (const [value, field] of cases)
    t.throws(() => demandConnectionShape(value, 'line'), { code: 'ERR_ENCODE', field, name: 'IpvsSyncError' })
  t.throws(() => demandConnectionShape({ ...good, state: undefined }, 'line'), {
    message: 'line.state: expected text, got nothing'
  })
})
