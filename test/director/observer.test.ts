// Frames of a capture: those that a director received, those that it sent, and those of other hosts.
import t from 'tap'
import { Director, Observer, type ObserverCounts, type ServiceOptions } from '../../src/director/index.js'
import { serviceBy } from '../fixtures/support/director-packets.js'
import { icmpError, ip, tcp, udp, type Path } from '../kernel/harness/packet.js'

const REQUEST: Path = { from: [10, 1, 9, 9], fromPort: 1000, to: [10, 1, 0, 100], toPort: 80 }
const WIDE: Path = {
  from: [0xfd, ...new Array<number>(14).fill(0), 9],
  fromPort: 1000,
  to: [0xfd, ...new Array<number>(14).fill(0), 1],
  toPort: 80
}
const WIDE_SERVICE: ServiceOptions = {
  protocol: 'TCP',
  virtual: { address: 'fd00::1', port: 80 },
  scheduler: 'rr',
  servers: [{ address: 'fd00::2', port: 80, forwarding: 'DROUTE' }]
}
const [ETHERNET, RAW_IP] = [1, 101]

class Capture {
  readonly observer: Observer
  #ms = 1000

  constructor(services: readonly ServiceOptions[], local: readonly string[] = []) {
    this.observer = new Observer(new Director({ services, local }))
  }

  frame(bytes: Uint8Array, linkType = RAW_IP): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    const time = { ms: ++this.#ms } as never
    const rest = { interfaceNumber: 0, interfaceName: undefined, time, linkType }
    this.observer.frame({ bytes, view, start: 0, end: bytes.length, wireLength: bytes.length, ...rest })
  }

  ethernet(packet: Uint8Array, from: number, to: number): void {
    const type = packet[0]! >> 4 === 6 ? [0x86, 0xdd] : [8, 0]
    this.frame(Uint8Array.of(2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, ...type, ...packet), ETHERNET)
  }

  counts(): Partial<ObserverCounts> {
    return Object.fromEntries(Object.entries(this.observer.counts).filter(([, count]) => count > 0))
  }
}

/** The same packet one hop later. */
function forwarded(packet: Uint8Array): Uint8Array {
  const copy = packet.slice()
  copy[copy[0]! >> 4 === 6 ? 7 : 8]!--
  return copy
}

const tunnel = { from: [10, 2, 0, 1], to: [10, 2, 0, 2] }
const syn = tcp(REQUEST, 2)

t.test('packets of a tunnel are the director’s own, whatever the kind of tunnel', async (t) => {
  const gre = (flags: number, more: readonly number[]): Uint8Array =>
    ip(tunnel, 47, Uint8Array.of(flags, 0, 8, 0, ...more, ...syn))
  const gue = (optional: number): Uint8Array =>
    udp(
      { ...tunnel, fromPort: 40_000, toPort: 6080 },
      Uint8Array.of(optional, 4, 0, 0, ...new Uint8Array(4 * optional), ...syn)
    )
  for (const [name, packet] of Object.entries({
    ipip: ip(tunnel, 4, syn),
    gre: gre(0, []),
    'gre with checksum and key': gre(0xa0, new Array<number>(8).fill(0)),
    gue: gue(0),
    'gue with checksum': gue(1)
  })) {
    const capture = new Capture([serviceBy('TUNNEL')])
    capture.frame(syn)
    capture.frame(packet)
    t.strictSame(capture.counts(), { frames: 2, handled: 1, own: 1 }, name)
  }
  const sixth = new Capture([WIDE_SERVICE])
  sixth.frame(tcp(WIDE, 2))
  sixth.frame(ip(tunnel, 41, tcp(WIDE, 2)))
  t.strictSame(sixth.counts(), { frames: 2, handled: 1, own: 1 })
  const other = new Capture([serviceBy('TUNNEL')])
  other.frame(ip(tunnel, 4, tcp({ ...REQUEST, toPort: 99 }, 2)))
  other.frame(ip(tunnel, 47, Uint8Array.of(0, 0)))
  other.frame(udp({ ...tunnel, fromPort: 1, toPort: 2 }, Uint8Array.of(0)))
  t.strictSame(other.counts(), { frames: 3, foreign: 3 }, 'what they carry is for no service')
})

t.test('copies of direct routing: by MAC address', async (t) => {
  const capture = new Capture([serviceBy('DROUTE')])
  capture.ethernet(syn, 1, 2)
  capture.ethernet(syn, 2, 3)
  capture.ethernet(tcp({ from: REQUEST.to, fromPort: 80, to: REQUEST.from, toPort: 1000 }, 18), 3, 1)
  capture.ethernet(udp({ ...tunnel, fromPort: 5, toPort: 6 }), 2, 3)
  t.strictSame(capture.counts(), { frames: 4, handled: 1, own: 2, bypassing: 1 })
})

t.test(
  'copies of direct routing without MAC addresses: by TTL, and IP id or what the header tells apart',
  async (t) => {
    const datagram = udp(REQUEST, Uint8Array.of(1, 2, 3))
    const capture = new Capture([serviceBy('DROUTE'), serviceBy('DROUTE', { protocol: 'UDP' }), WIDE_SERVICE])
    for (const packet of [syn, datagram, tcp(WIDE, 2)]) {
      capture.frame(packet)
      capture.frame(forwarded(packet))
    }
    t.strictSame(capture.counts(), { frames: 6, handled: 3, own: 3 })
    const again = new Capture([serviceBy('DROUTE')])
    again.frame(syn)
    again.frame(syn)
    t.strictSame(again.counts(), { frames: 2, handled: 2 }, 'a retransmission has the same TTL')
  }
)

t.test('the director’s own packets by --local', async (t) => {
  const packet = udp({ ...tunnel, fromPort: 5, toPort: 6 })
  const known = new Capture([serviceBy('DROUTE')], ['10.2.0.1'])
  known.frame(packet)
  t.strictSame(known.counts(), { frames: 1, own: 1 })
  const unknown = new Capture([serviceBy('DROUTE')])
  unknown.frame(packet)
  t.strictSame(unknown.counts(), { frames: 1, foreign: 1 })
  const sixth = new Capture([WIDE_SERVICE], ['fd00::5'])
  sixth.frame(tcp({ ...WIDE, from: [...WIDE.from.slice(0, 15), 5], toPort: 99 }, 2))
  t.strictSame(sixth.counts(), { frames: 1, own: 1 })
})

t.test('frames that are cut off or hold no IP are counted', async (t) => {
  const capture = new Capture([serviceBy('DROUTE')])
  for (const length of [0, 10, 22]) capture.frame(syn.subarray(0, length))
  capture.frame(icmpError({ from: REQUEST.from, to: REQUEST.to }, syn))
  t.match(capture.counts(), { frames: 4, unreadable: 3 })
})
