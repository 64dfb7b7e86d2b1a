// The one validator: form of its sentences, types in them, suggestions.
import t from 'tap'
import {
  demandArray,
  demandBoolean,
  demandFunction,
  demandInteger,
  demandKnownOptions,
  demandObject,
  demandOneOf,
  demandText,
  describeValue,
  joinAlternatives,
  misuse,
  suggest,
  wrongText,
  type OptionNames
} from '../src/demand.js'

t.test('a value is shown with its type where that is not obvious', async (t) => {
  const circular: Record<string, unknown> = {}
  circular['self'] = circular
  class Packet {
    readonly length = 0
  }
  const cases: [unknown, string][] = [
    ['5', 'the string "5"'],
    [5, '5'],
    [NaN, 'NaN'],
    [undefined, 'undefined'],
    [null, 'null'],
    [true, 'true'],
    [5n, '5n'],
    [() => 0, 'a function'],
    [Symbol('x'), 'a symbol'],
    [[3, '50'], '[3,"50"]'],
    [{ a: 1 }, '{"a":1}'],
    [new ArrayBuffer(8), 'an ArrayBuffer'],
    [new Uint8Array(2), 'a Uint8Array'],
    [new Map(), 'a Map'],
    [new Packet(), 'a Packet'],
    [Object.create(null), '{}'],
    [circular, 'an object'],
    ['\u001b[2J', 'the string "\\u001b[2J"'],
    ['x'.repeat(1000), `the string "${'x'.repeat(199)}…`]
  ]
  for (const [value, wanted] of cases) t.equal(describeValue(value), wanted)
})

t.test('each refusal has its code, its field and the one form', async (t) => {
  const refusals: [() => unknown, string, string][] = [
    [() => demandObject('options', undefined), 'ERR_USAGE', 'options: expected an object, got undefined'],
    [() => demandObject('options', []), 'ERR_USAGE', 'options: expected an object, got []'],
    [() => demandObject('x', null, 'ERR_ENCODE'), 'ERR_ENCODE', 'x: expected an object, got null'],
    [() => demandArray('peers', {}), 'ERR_CONFIG', 'peers: expected an array, got {}'],
    [() => demandText('group', 5), 'ERR_CONFIG', 'group: expected a string, got 5'],
    [() => demandBoolean('hostOnly', 'no'), 'ERR_CONFIG', 'hostOnly: expected true or false, got the string "no"'],
    [() => demandFunction('now', 1), 'ERR_CONFIG', 'now: expected a function, got 1'],
    [() => demandInteger('syncid', '5', 0, 255), 'ERR_CONFIG', 'syncid: expected an integer 0…255, got the string "5"'],
    [() => demandInteger('syncid', 256, 0, 255), 'ERR_CONFIG', 'syncid: expected an integer 0…255, got 256'],
    [() => demandInteger('syncid', -1, 0, 255, 'ERR_USAGE'), 'ERR_USAGE', 'syncid: expected an integer 0…255, got -1'],
    [() => demandInteger('syncid', 1.5, 0, 255), 'ERR_CONFIG', 'syncid: expected an integer 0…255, got 1.5'],
    [
      () => demandOneOf('flagChecks', 'stict', ['strict', 'legacy']),
      'ERR_CONFIG',
      'flagChecks: expected "strict" or "legacy", got "stict"; did you mean "strict"?'
    ],
    [() => demandOneOf('order', 'x', ['big']), 'ERR_CONFIG', 'order: expected "big", got "x"'],
    [() => demandOneOf('order', 7, ['big', 'little']), 'ERR_CONFIG', 'order: expected "big" or "little", got 7']
  ]
  for (const [call, code, message] of refusals)
    t.throws(call, { name: 'IpvsSyncError', code, message, field: /^[^:]+/.exec(message)![0] })
  t.match(misuse('a', 'b', 1), { code: 'ERR_USAGE' })
  t.match(wrongText('a', 'b', 'c', 'ERR_ENCODE'), { message: 'a: expected b, got "c"' })
})

t.test('what is accepted passes', async (t) => {
  const fields = demandObject('options', { a: 1 })
  t.equal(fields['a'], 1)
  demandArray('a', [])
  demandText('a', '')
  demandBoolean('a', false)
  demandFunction('a', () => 0)
  demandInteger('a', 255, 0, 255)
  demandOneOf('a', 'x', ['x'])
})

interface Options {
  readonly mcastInterface?: string
  readonly syncid?: number
  readonly mcastPort?: number
}

const NAMES: OptionNames<Options> = { mcastInterface: true, syncid: true, mcastPort: true }

t.test('an unknown option is refused by name, with the nearest one', async (t) => {
  demandKnownOptions<Options>({ syncid: 5 }, NAMES)
  const wrong = (options: object): void => demandKnownOptions(options as Options, NAMES)
  const cases: [object, string][] = [
    [{ mcastinterface: 'lo' }, 'unknown option mcastinterface; did you mean mcastInterface?'],
    [{ syncId: 5 }, 'unknown option syncId; did you mean syncid?'],
    [{ interface: 'lo' }, 'unknown option interface; did you mean mcastInterface?'],
    [{ mcast: 'lo' }, 'unknown option mcast'],
    [{ colour: 1 }, 'unknown option colour'],
    [{ toString: 1 }, 'unknown option toString'],
    [{ '\u001b[2J': 1 }, 'unknown option "\\u001b[2J"']
  ]
  for (const [options, message] of cases)
    t.throws(() => wrong(options), { code: 'ERR_CONFIG', field: Object.keys(options)[0]!, message })
  t.throws(() => demandKnownOptions({ x: 1 } as Options, NAMES, 'ERR_USAGE'), { code: 'ERR_USAGE' })
  t.throws(() => wrong(null as never), { code: 'ERR_USAGE', field: 'options' })
})

t.test('a suggestion is the nearest name, and none is better than a wrong one', async (t) => {
  const names = ['decode', 'master', 'backup']
  t.strictSame(
    ['decod', 'DECODE', 'x', 'bakcup', 'xxxxxx', ''].map((given) => suggest(given, names)),
    ['decode', 'decode', undefined, 'backup', undefined, undefined]
  )
  t.equal(suggest('x', []), undefined)
  t.strictSame([[], ['A'], ['A', 'B'], ['A', 'B', 'C']].map(joinAlternatives), ['', 'A', 'A or B', 'A, B or C'])
})
