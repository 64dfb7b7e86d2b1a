// What stands between an engine and the world: the clock, the runner, systemd.
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, writeFileSync, readFileSync, chmodSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { systemClock } from '../../src/daemon/clock.js'
import { launchQuietly, notifyService } from '../../src/daemon/notify.js'
import { ContainedEmitter, Runner, type RunnableEngine } from '../../src/daemon/runner.js'
import type { EngineEvent } from '../../src/engine/events.js'
import { SyncMaster } from '../../src/daemon/master/sync-master.js'
import { FakeSystem, systemError } from '../fixtures/support/fake-network.js'
import { ManualClock } from '../fixtures/support/manual-clock.js'

/** An engine that wants to be called at given times and says so in events. */
class Alarm implements RunnableEngine {
  readonly calls: number[] = []
  readonly times: number[]
  readonly events: EngineEvent[] = []

  constructor(times: number[]) {
    this.times = times
  }

  handleTimeout(now: number): void {
    this.calls.push(now)
    while (this.times[0] !== undefined && this.times[0] <= now) {
      this.events.push({ type: 'notice', code: String(this.times.shift()), message: '' })
    }
  }

  nextTimeout(): number | undefined {
    return this.times[0]
  }

  pollEvent(): EngineEvent | undefined {
    return this.events.shift()
  }
}

function run(times: number[], transmit?: () => void) {
  const clock = new ManualClock()
  const engine = new Alarm(times)
  const told: EngineEvent[] = []
  const event = (value: EngineEvent): void => void told.push(value)
  const runner = new Runner(engine, clock, transmit ? { event, transmit } : { event })
  return { clock, engine, runner, told }
}

t.test('the engine is woken at each of its times, and never after the end', async (t) => {
  const { clock, engine, runner, told } = run([10, 30, 5_000_000])
  runner.settle()
  clock.advance(40)
  t.strictSame(engine.calls, [10, 30])
  t.strictSame(
    told.map((event) => event.type === 'notice' && event.code),
    ['10', '30']
  )
  clock.advance(5_000_000)
  t.strictSame(engine.calls.slice(2), [3_600_030, 5_000_000], 'a far time takes an early wake-up, which does no harm')
  engine.times.push(6_000_000)
  runner.settle()
  runner.stop()
  runner.settle()
  t.equal(clock.armed, 0)
})

t.test('one timer: an earlier time moves it, a later one leaves it', async (t) => {
  const { clock, engine, runner } = run([100])
  runner.settle()
  engine.times.unshift(50)
  runner.settle()
  t.equal(clock.armed, 1)
  engine.times.splice(0, 2, 200)
  runner.settle()
  t.equal(clock.armed, 1)
  clock.advance(300)
  t.strictSame(engine.calls, [50, 200])
})

t.test('a time that is past is taken as now', async (t) => {
  const { clock, engine, runner } = run([0])
  runner.settle()
  clock.advance(0)
  t.strictSame(engine.calls, [1])
})

t.test('many inputs of one turn are settled once', async (t) => {
  let transmitted = 0
  const { runner } = run([], () => transmitted++)
  for (let i = 0; i < 100; i++) runner.soon()
  t.equal(transmitted, 0)
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(transmitted, 1)
  runner.soon()
  runner.stop()
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(transmitted, 2, 'stopping settles, and what was to come does not come')
})

t.test('the system clock starts above 0, moves on, and its timers can be prevented', async (t) => {
  const before = systemClock.now()
  t.ok(before >= 1 && Number.isInteger(before))
  const prevent = systemClock.after(1, () => t.fail('prevented'))
  prevent()
  await new Promise<void>((resolve) => systemClock.after(5, resolve))
  t.ok(systemClock.now() > before)
})

t.test('what waits in a socket is read before a timer acts, however long the turn took', async (t) => {
  const socket = createSocket('udp4')
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  const order: string[] = []
  const heard = new Promise<void>((resolve) => socket.on('message', () => resolve(void order.push('datagram'))))
  socket.connect(socket.address().port, '127.0.0.1')
  await once(socket, 'connect')
  const due = new Promise<void>((resolve) => {
    // After the poll phase: the next thing in the loop would be the timer.
    setImmediate(() => {
      systemClock.after(1, () => resolve(void order.push('timer')))
      socket.send('x')
      const end = performance.now() + 20
      while (performance.now() < end);
    })
  })
  await Promise.all([heard, due])
  socket.close()
  t.strictSame(order, ['datagram', 'timer'])
})

t.test('systemd is notified where it asked, and only there', async (t) => {
  const launched: unknown[] = []
  const launch = (program: string, args: readonly string[]): void => void launched.push([program, ...args])
  notifyService({ phase: 'ready', status: 'listening' }, {}, launch)
  notifyService({ phase: 'ready', status: 'listening' }, { NOTIFY_SOCKET: '' }, launch)
  t.strictSame(launched, [])
  const env = { NOTIFY_SOCKET: '/run/notify' }
  notifyService({ phase: 'ready', status: 'listening' }, env, launch)
  notifyService({ status: 'so far so good' }, env, launch)
  notifyService({ phase: 'stopping', status: 'bye' }, env, launch)
  const pid = `--pid=${process.pid}`
  t.strictSame(launched, [
    ['systemd-notify', pid, '--status=listening', 'READY=1'],
    ['systemd-notify', pid, '--status=so far so good'],
    ['systemd-notify', pid, '--status=bye', 'STOPPING=1']
  ])
})

t.test('a program that is not there does no harm; one that is there runs', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'ipvs-sync-'))
  launchQuietly(join(folder, 'none'), [])
  const program = join(folder, 'program')
  writeFileSync(program, `#!/bin/sh\necho "$1" > "${folder}/said"\n`)
  chmodSync(program, 0o755)
  writeFileSync(join(folder, 'said'), '')
  launchQuietly(program, ['hello'])
  const said = (): string => readFileSync(join(folder, 'said'), 'utf8')
  for (let tries = 0; said() === '' && tries < 500; tries++) await new Promise((resolve) => setTimeout(resolve, 10))
  t.equal(said(), 'hello\n')
  const path = process.env['PATH']
  process.env['PATH'] = folder
  notifyService({ status: 'no such program on the path' }, { NOTIFY_SOCKET: '/nowhere' })
  process.env['PATH'] = path
})

t.test('listeners that throw at random leave the engine, its timer and the other events as they are', async (t) => {
  const thrown: unknown[] = []
  const caught = (error: unknown): void => void thrown.push(error)
  // tap has its own listener, which fails the test: ours alone stands here.
  const others = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  process.on('uncaughtException', caught)
  try {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(1000), { maxLength: 20 }),
        fc.array(fc.boolean(), { maxLength: 30 }),
        async (gaps, throws) => {
          let sum = 1
          const times = gaps.map((gap) => (sum += gap))
          const calm = run([...times])
          const clock = new ManualClock()
          const engine = new Alarm([...times])
          const told: EngineEvent[] = []
          let calls = 0
          let expected = 0
          const maybeThrow = (): void => {
            if (throws[calls++ % Math.max(throws.length, 1)] !== true) return
            expected++
            throw new Error('listener')
          }
          const runner = new Runner(engine, clock, {
            transmit: maybeThrow,
            event: (event) => {
              told.push(event)
              maybeThrow()
            }
          })
          thrown.length = 0
          for (const one of [calm, { clock, runner }]) {
            one.runner.settle()
            for (let i = 0; i < 30; i++) one.clock.advance(1000)
          }
          t.strictSame(told, calm.told)
          t.strictSame(engine.calls, calm.engine.calls)
          await new Promise((resolve) => setImmediate(resolve))
          t.equal(thrown.length, expected, 'each error is an uncaught exception')
        }
      ),
      { seed: 1, numRuns: 50 }
    )
  } finally {
    process.removeListener('uncaughtException', caught)
    for (const other of others) process.on('uncaughtException', other)
  }
})

t.test('a listener of any event that throws does not unwind the one who emits', async (t) => {
  const thrown: string[] = []
  const caught = ({ message }: Error): void => void thrown.push(message)
  const others = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  process.on('uncaughtException', caught)
  try {
    const system = new FakeSystem()
    const master = new SyncMaster({ mcastInterface: 'eth1', system, clock: new ManualClock() })
    const emitter = new ContainedEmitter<{ error: [error: Error]; other: [] }>()
    for (const one of [emitter, master])
      one.on('error', () => {
        throw new Error('listener')
      })
    t.equal(emitter.emit('error', new Error('x')), true)
    t.equal(emitter.emit('other'), false)
    t.equal(new ContainedEmitter<{ error: [error: Error] }>().emit('error', new Error('unheard')), true)
    await master.start()
    system.faults.set('interfaces', systemError('EMFILE'))
    await system.tick()
    system.faults.clear()
    await new Promise((resolve) => setImmediate(resolve))
    t.strictSame(thrown, ['listener', 'unheard', 'listener'])
    t.equal(master.listening, true)
    await master.close()
  } finally {
    process.removeListener('uncaughtException', caught)
    for (const other of others) process.on('uncaughtException', other)
  }
})
