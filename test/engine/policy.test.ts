// When a master announces a connection: docs/protocol.md section 8, judged by every call that a kernel answered.
import { readdirSync, readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { decideSync, type DecisionReason, type SyncSubject } from '../../src/engine/decide-sync.js'
import { EventQueue } from '../../src/engine/events.js'
import type { IpvsSyncError } from '../../src/errors.js'
import type { PolicySettings } from '../../src/engine/decide-sync.js'

const vectors = new URL('../fixtures/vectors/', import.meta.url)

interface Call {
  protocol: number
  flags: number
  state: number
  lastSyncedState: number
  timeoutMs: number
  endTimeMs: number
  retriesUsed: number
  controlled: boolean
  packets: number
  nowMs: number
  sent: boolean
}
interface Sysctls {
  sysctls: {
    sync_threshold: [number, number]
    sync_refresh_period: number
    sync_retries: number
    sync_persist_mode: number
  }
}

function readVectors(name: string): { settings: PolicySettings; calls: Call[] } {
  const [head, ...rest] = readFileSync(new URL(name, vectors), 'utf8').trim().split('\n')
  const { sysctls } = JSON.parse(head ?? '') as Sysctls
  const settings = {
    syncThreshold: sysctls.sync_threshold,
    syncRefreshPeriod: sysctls.sync_refresh_period,
    syncRetries: sysctls.sync_retries,
    syncPersistMode: sysctls.sync_persist_mode
  }
  return { settings, calls: rest.map((line) => JSON.parse(line) as Call) }
}

function subjectOf(call: Call): SyncSubject {
  return {
    protocol: call.protocol,
    template: (call.flags & 0x1000) !== 0,
    onePacket: (call.flags & 0x2000) !== 0,
    underTemplate: call.controlled,
    state: call.state,
    lastSyncedState: call.lastSyncedState,
    timeoutMs: call.timeoutMs,
    endTimeMs: call.endTimeMs,
    retriesUsed: call.retriesUsed
  }
}

/** The kernel counts time in ticks of 4 ms and stores end times to 16 ms: does moving the clock by that much turn the answer? */
function isNearLimit(call: Call, settings: PolicySettings): boolean {
  const answers = [-16, 16].map((shift) => decideSync(subjectOf(call), call.packets, call.nowMs + shift, settings).send)
  return answers.includes(call.sent)
}

t.test('a running kernel gave the same answers', async (t) => {
  const files = readdirSync(vectors).filter((name) => name.startsWith('decisions-'))
  t.equal(files.length, 7)
  let asked = 0
  const differ: string[] = []
  for (const name of files) {
    const { settings, calls } = readVectors(name)
    for (const call of calls) {
      asked++
      const answer = decideSync(subjectOf(call), call.packets, call.nowMs, settings)
      if (answer.send === call.sent) continue
      differ.push(name)
      t.ok(isNearLimit(call, settings), `${name}: differs within 16 ms of a limit`, { call, answer })
    }
  }
  t.comment(`${String(differ.length)} of ${String(asked)} answers differ`)
  t.equal(asked, 3547)
  t.ok(differ.length * 1000 <= asked, 'at most 1 in 1,000 differs', { differ })
})

const idle: SyncSubject = {
  protocol: 6,
  template: false,
  onePacket: false,
  underTemplate: false,
  state: 1,
  lastSyncedState: 1,
  timeoutMs: 900_000,
  endTimeMs: 1_000_000,
  retriesUsed: 0
}
const byCount: PolicySettings = { syncThreshold: [3, 50], syncRefreshPeriod: 0, syncRetries: 0, syncPersistMode: 0 }
const byTime: PolicySettings = { syncThreshold: [3, 0], syncRefreshPeriod: 10, syncRetries: 2, syncPersistMode: 0 }

type Case = readonly [string, Partial<SyncSubject>, number, number, Partial<PolicySettings>, DecisionReason]

// An endTime of 1,000,000 with a timeout of 900 s: last announced at 100,000.
const cases: readonly Case[] = [
  ['one packet scheduling is never announced', { onePacket: true }, 3, 100_000, {}, 'one-packet'],
  ['an established connection at the threshold', { lastSyncedState: 0 }, 3, 100_000, {}, 'packet-count'],
  ['and once each period after', {}, 53, 100_000, {}, 'packet-count'],
  ['but not between', {}, 4, 100_000, {}, 'packet-count-not-met'],
  ['a new ESTABLISHED waits for its count', { lastSyncedState: 0 }, 1, 100_000, {}, 'packet-count-not-met'],
  ['a closing state goes at once', { state: 5 }, 4, 100_000, {}, 'state-changed'],
  ['only once', { state: 5, lastSyncedState: 5 }, 4, 100_000, {}, 'packet-count-not-met'],
  ['a handshake is not announced', { state: 2 }, 3, 100_000, {}, 'state-not-synced'],
  ['nor a state beyond the table', { state: 33 }, 3, 100_000, {}, 'state-not-synced'],
  ['SCTP in its handshake', { protocol: 132, state: 4 }, 3, 100_000, {}, 'state-not-synced'],
  ['SCTP beyond the table', { protocol: 132, state: 40 }, 3, 100_000, {}, 'state-not-synced'],
  ['SCTP established waits for its count', { protocol: 132, state: 8 }, 4, 100_000, {}, 'packet-count-not-met'],
  ['SCTP closing goes at once', { protocol: 132, state: 13, lastSyncedState: 8 }, 4, 100_000, {}, 'state-changed'],
  ['UDP has no forced states', { protocol: 17, state: 0, lastSyncedState: 1 }, 4, 100_000, {}, 'packet-count-not-met'],
  [
    'persistence mode leaves it to the template',
    { underTemplate: true },
    3,
    100_000,
    { syncPersistMode: 1 },
    'under-template'
  ],
  [
    'a template under another is still considered',
    { template: true, underTemplate: true },
    9,
    1,
    { syncPersistMode: 1 },
    'template'
  ],
  ['a template ignores the count and the state', { template: true, state: 0 }, 4, 100_000, {}, 'template'],
  ['with period 0 only the threshold itself', {}, 3, 100_000, { syncThreshold: [3, 0] }, 'packet-count'],
  ['also for a template', { template: true }, 4, 100_000, { syncThreshold: [3, 0] }, 'packet-count-not-met']
]

const timed: readonly Case[] = [
  ['announced lately: too early for a retry', {}, 1, 100_000, {}, 'retry-too-early'],
  ['an eighth of the period on: a retry', {}, 1, 101_250, {}, 'retry'],
  ['just before: not', {}, 1, 101_249, {}, 'retry-too-early'],
  ['the last retry', { retriesUsed: 1 }, 1, 102_500, {}, 'retry'],
  ['none left', { retriesUsed: 2 }, 1, 105_000, {}, 'fresh'],
  ['the period has ended', { retriesUsed: 2 }, 1, 110_000, {}, 'refresh'],
  ['a millisecond before', { retriesUsed: 2 }, 1, 109_999, {}, 'fresh'],
  [
    'half a timeout is the limit where it is shorter',
    { timeoutMs: 40_000, endTimeMs: 140_000, retriesUsed: 3 },
    1,
    120_000,
    { syncRefreshPeriod: 60 },
    'refresh'
  ],
  [
    'but at least 10 s',
    { timeoutMs: 4_000, endTimeMs: 104_000, retriesUsed: 3 },
    1,
    109_999,
    { syncRefreshPeriod: 60 },
    'fresh'
  ],
  ['an end time far ahead counts as moved', { timeoutMs: 10_000 }, 1, 100_000, {}, 'refresh'],
  ['with a period the count must be met too', {}, 4, 110_000, { syncThreshold: [3, 50] }, 'packet-count-not-met'],
  ['for retries as well', {}, 4, 102_000, { syncThreshold: [3, 50] }, 'packet-count-not-met'],
  ['and is', {}, 53, 110_000, { syncThreshold: [3, 50] }, 'refresh'],
  ['a template is refreshed without a count', { template: true }, 4, 110_000, { syncThreshold: [3, 50] }, 'refresh'],
  ['a forced state waits for nothing', { state: 6 }, 4, 100_000, {}, 'state-changed']
]

function check(t: Test, list: readonly Case[], base: PolicySettings): void {
  for (const [claim, change, packets, now, setting, reason] of list) {
    const subject = { ...idle, ...change }
    const answer = decideSync(subject, packets, now, { ...base, ...setting })
    const send = ['packet-count', 'state-changed', 'template', 'refresh', 'retry'].includes(reason)
    t.strictSame(
      answer,
      {
        send,
        reason,
        endTimeMs: send ? now + subject.timeoutMs : subject.endTimeMs,
        retriesUsed: reason === 'retry' ? subject.retriesUsed + 1 : send ? 0 : subject.retriesUsed
      },
      claim
    )
  }
}

t.test('by packet counts', async (t) => check(t, cases, byCount))
t.test('by refresh period and retries', async (t) => check(t, timed, byTime))

t.test('settings that the kernel refuses are refused, with what it takes', async (t) => {
  const wrong: readonly [Partial<PolicySettings>, string][] = [
    [{ syncThreshold: [-1, 50] }, 'sync_threshold'],
    [{ syncThreshold: [1, 0.5] }, 'sync_threshold'],
    [{ syncThreshold: [50, 50] }, 'sync_threshold'],
    [{ syncRefreshPeriod: -1 }, 'sync_refresh_period'],
    [{ syncRetries: 4 }, 'sync_retries'],
    [{ syncRetries: -1 }, 'sync_retries']
  ]
  for (const [change, field] of wrong) {
    t.throws(() => decideSync(idle, 1, 1, { ...byCount, ...change }), { code: 'ERR_CONFIG', field })
  }
})

t.test('what a caller without types leaves out or takes for a number is named in the error', async (t) => {
  const given = (change: object, settings: object | undefined = byCount): string | undefined => {
    try {
      return decideSync({ ...idle, ...change }, 3, 20_000, settings as PolicySettings).reason
    } catch (error) {
      return `${(error as IpvsSyncError).code} ${(error as IpvsSyncError).message}`
    }
  }
  t.equal(given({ protocol: 'TCP' }), 'ERR_USAGE protocol: expected a number, got the string "TCP"')
  t.equal(given({ timeoutMs: 900n }), 'ERR_USAGE timeoutMs: expected a number, got 900n')
  t.equal(given({ endTimeMs: undefined }), 'ERR_USAGE endTimeMs: expected a number, got undefined')
  t.equal(given({ state: NaN }), 'ERR_USAGE state: expected a number, got NaN')
  t.equal(given({ state: () => 1 }), 'ERR_USAGE state: expected a number, got a function')
  t.equal(given({}, []), 'ERR_USAGE settings: expected an object, got []')
  t.throws(() => decideSync(idle, 3, 20_000, undefined as never), { code: 'ERR_USAGE', field: 'settings' })
  for (const syncPersistMode of [false, undefined, 0])
    t.not(given({ underTemplate: true }, { ...byCount, syncPersistMode }), 'under-template', 'off')
  t.equal(given({ underTemplate: true }, { ...byCount, syncPersistMode: true }), 'under-template')
})

t.test('events leave in order, frozen; what does not fit is counted', async (t) => {
  const queue = new EventQueue<{ n: number }>(2)
  t.equal(queue.shift(), undefined)
  t.strictSame(
    [1, 2, 3].map((n) => queue.push({ n })),
    [true, true, false]
  )
  t.strictSame([queue.length, queue.isFull, queue.lost], [2, true, 1])
  const first = queue.shift()
  t.ok(Object.isFrozen(first))
  queue.push({ n: 4 })
  t.strictSame([first, queue.shift(), queue.shift(), queue.shift()], [{ n: 1 }, { n: 2 }, { n: 4 }, undefined])
  const mute = new EventQueue(0)
  t.notOk(mute.push({ type: 'notice', code: 'X', message: 'x' }))
  t.equal(mute.lost, 1)
  t.equal(new EventQueue().isFull, false)
})
