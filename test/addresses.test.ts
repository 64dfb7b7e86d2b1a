import { isIP } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import {
  addressFamily,
  formatAddress,
  formatIpv4,
  formatIpv6,
  isMulticast,
  networkHolds,
  parseAddress,
  parseNetwork
} from '../src/addresses.js'

/** Words and text; the texts are RFC 5952's own examples and its rules, one by one. */
const IPV6: [readonly number[], string][] = [
  [[0, 0, 0, 0], '::'],
  [[0, 0, 0, 1], '::1'],
  [[0x20010db8, 0, 0, 1], '2001:db8::1'],
  [[0x20010db8, 0, 0, 0x00020001], '2001:db8::2:1'],
  [[0x20010db8, 0x00000001, 0x00010001, 0x00010001], '2001:db8:0:1:1:1:1:1'],
  [[0x20010db8, 0x00000000, 0x00010000, 0x00000001], '2001:db8::1:0:0:1'],
  [[0x20010000, 0x00000001, 0x00000000, 0x00000001], '2001:0:0:1::1'],
  [[0x20010db8, 0x00000001, 0, 1], '2001:db8:0:1::1'],
  [[0x00010000, 0, 0, 0], '1::'],
  [[0xabcdef01 | 0, 0x23456789, 0xabcdef01 | 0, 0x23456789], 'abcd:ef01:2345:6789:abcd:ef01:2345:6789'],
  [[0, 0, 0xffff, 0xc0000201 | 0], '::ffff:192.0.2.1'],
  [[0x00070000, 0, 0, 0], '7::'],
  [[0xff020000 | 0, 0, 0, 0x51], 'ff02::51']
]

t.test('IPv6 addresses print as RFC 5952 says, and read back', async (t) => {
  for (const [words, text] of IPV6) {
    t.equal(formatIpv6([9, ...words], 1), text)
    const read = new Int32Array(5)
    t.equal(parseAddress(text, read, 1), 6, text)
    t.strictSame([...read], [0, ...words], text)
  }
})

t.test('an address is taken exactly where the platform takes it, but for scopes', async (t) => {
  const part = fc.constantFrom(
    '0',
    '1',
    'ffff',
    'AbC',
    '00001',
    'g',
    '',
    '1.2.3.4',
    '01.2.3.4',
    '256.1.1.1',
    ' 1',
    '255'
  )
  const text = fc.oneof(
    fc.array(part, { maxLength: 9 }).map((parts) => parts.join(':')),
    fc.array(part, { maxLength: 5 }).map((parts) => parts.join('.')),
    fc.array(part, { maxLength: 7 }).map((parts) => parts.join('::')),
    fc.ipV4(),
    fc.ipV6()
  )
  fc.assert(
    fc.property(text, (address) => addressFamily(address) === isIP(address)),
    { numRuns: 5000 }
  )
  t.equal(addressFamily('fe80::1%eth0'), 0, 'a scope is no part of an address here')
})

t.test('what is printed reads back, whatever the words', async () => {
  const word = fc.integer()
  fc.assert(
    fc.property(fc.tuple(word, word, word, word), (words) => {
      const [read, single] = [new Int32Array(4), new Int32Array(1)]
      const isIpv6 = parseAddress(formatIpv6(words), read) === 6 && words.every((value, i) => read[i] === value)
      return isIpv6 && parseAddress(formatIpv4(words[0]), single) === 4 && single[0] === words[0]
    }),
    { numRuns: 2000 }
  )
})

t.test('bytes print too', async (t) => {
  const view = (...bytes: number[]): DataView => new DataView(Uint8Array.from(bytes).buffer)
  t.equal(formatAddress(view(1, 224, 0, 0, 81), 1, 4), '224.0.0.81')
  t.equal(formatAddress(view(0xfd, ...new Array<number>(14).fill(0), 1), 0, 6), 'fd00::1')
})

t.test('multicast addresses are distinguished from others', async (t) => {
  for (const text of ['224.0.0.81', '239.255.255.255', 'ff02::51']) t.ok(isMulticast(text), text)
  for (const text of ['223.255.255.255', '240.0.0.1', 'fe80::1', '::', 'group', '']) t.notOk(isMulticast(text), text)
})

t.test('a network holds its addresses and no others', async (t) => {
  const table: [string, string, boolean][] = [
    ['10.0.0.0/8', '10.255.1.2', true],
    ['10.0.0.0/8', '11.0.0.1', false],
    ['10.1.2.3/8', '10.9.9.9', true],
    ['10.1.2.3', '10.1.2.3', true],
    ['10.1.2.3', '10.1.2.4', false],
    ['0.0.0.0/0', '255.255.255.255', true],
    ['0.0.0.0/0', '::1', false],
    ['10.0.0.0/8', '::ffff:10.1.1.1', true],
    ['2001:db8::/33', '2001:db8:7fff::1', true],
    ['2001:db8::/33', '2001:db8:8000::1', false],
    ['::/0', '2001:db8::', true],
    ['fe80::1', 'fe80::1', true],
    ['fe80::/64', 'fe80::1:2:3:4', true],
    ['fe80::/64', 'fe80:0:0:1::', false],
    ['fe80::/64', '10.0.0.1', false]
  ]
  for (const [network, address, holds] of table)
    t.equal(networkHolds(parseNetwork(network)!, address), holds, `${network} ${address}`)
})

t.test('what is no network is refused', async (t) => {
  for (const text of [
    '',
    '10.0.0.0/33',
    '::/129',
    '10.0.0.0/08',
    '10.0.0.0/',
    '10.0.0.0/1/2',
    '10.0.0/8',
    'a/8',
    '::/-1'
  ])
    t.equal(parseNetwork(text), undefined, text)
})
