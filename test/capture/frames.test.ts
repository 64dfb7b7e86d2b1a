import fc from 'fast-check'
import t from 'tap'
import { CaptureReader } from '../../src/capture/capture-reader.js'
import { CaptureTime } from '../../src/capture/capture-time.js'
import { PacketReader } from '../../src/capture/packet-reader.js'
import { formatAddress } from '../../src/addresses.js'
import { be16, be32, bytes, ethernet, ipv4, ipv6, pcap, udp } from '../fixtures/support/packets.js'

const SEED = Number(process.env['PROPERTY_SEED'] ?? 20261125)
const PORTS = { ports: [[8848, 8911]] } as const

/** Datagrams as text, by the reader that makes an object of each. */
function careful(file: Uint8Array): string[] {
  const reader = new CaptureReader(PORTS)
  return [...reader.push(file), ...reader.end()].flatMap((item) =>
    item.kind === 'problem'
      ? []
      : [
          [
            item.packet,
            String(item.time),
            item.source.address,
            item.source.port,
            item.destination.address,
            item.destination.port,
            Buffer.from(item.payload).toString('hex')
          ].join(' ')
        ]
  )
}

/** The same by the reader that hands over plain datagrams where they stand; how many there were. */
function quick(file: Uint8Array): { readonly lines: string[]; readonly plain: number } {
  const lines: string[] = []
  let plain = 0
  const reader = new PacketReader(PORTS, {
    finding: () => undefined,
    datagram: ({ packet, time, source, destination, payload }) => {
      const ends = `${source.address} ${source.port} ${destination.address} ${destination.port}`
      lines.push(`${packet} ${String(time)} ${ends} ${Buffer.from(payload).toString('hex')}`)
    },
    plain: ({ packet, seconds, fraction, digits, view, addressesAt, portsAt, isIpv6, bytes, start, end }) => {
      plain++
      const unit = 10 ** digits
      const carry = Math.floor(fraction / unit)
      const time = new CaptureTime(seconds + carry, String(fraction - carry * unit).padStart(digits, '0'))
      const [source, destination] = [0, isIpv6 ? 16 : 4].map((more) =>
        formatAddress(view, addressesAt + more, isIpv6 ? 6 : 4)
      )
      const ends = `${source} ${view.getUint16(portsAt)} ${destination} ${view.getUint16(portsAt + 2)}`
      lines.push(`${packet} ${String(time)} ${ends} ${Buffer.from(bytes.subarray(start, end)).toString('hex')}`)
    }
  })
  reader.push(file)
  reader.end()
  return { lines, plain }
}

const PAYLOAD = bytes('00 07 0008 00 01 0000')
const FRAMES = [ethernet(0x0800, ipv4(udp(PAYLOAD))), ethernet(0x86dd, ipv6(udp(PAYLOAD)))]

function block(type: number, ...body: (number[] | Uint8Array)[]): Uint8Array {
  const content = bytes(...body)
  const length = 12 + ((content.length + 3) & ~3)
  return bytes(be32(type), be32(length), content, new Uint8Array(length - 12 - content.length), be32(length))
}

/** A pcapng file of one Ethernet interface, big-endian. */
function pcapng(frames: readonly Uint8Array[], resolution: number, ticks: bigint): Uint8Array {
  return bytes(
    block(0x0a0d0d0a, be32(0x1a2b3c4d), be16(1), be16(0), be32(0xffffffff), be32(0xffffffff)),
    block(1, be16(1), be16(0), be32(0), be16(9), be16(1), [resolution, 0, 0, 0], be32(0)),
    ...frames.map((frame) => {
      const time = [Number(ticks >> 32n), Number(ticks & 0xffffffffn)].map((word) => be32(word))
      return block(6, be32(0), time[0]!, time[1]!, be32(frame.length), be32(frame.length), frame)
    })
  )
}

const frame = fc
  .tuple(
    fc.constantFrom(...FRAMES),
    fc.array(fc.tuple(fc.nat({ max: 75 }), fc.nat({ max: 255 })), { maxLength: 2 }),
    fc.nat({ max: 6 })
  )
  .map(([base, changes, cut]) => {
    const changed = bytes(base)
    for (const [at, value] of changes) if (at < changed.length) changed[at] = value
    return cut > 4 ? changed.subarray(0, changed.length - cut) : changed
  })

t.test('plain datagrams read where they stand are those that the careful reader gives', async (t) => {
  let plain = 0
  fc.assert(
    fc.property(
      fc.array(frame, { minLength: 1, maxLength: 4 }),
      fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
      (frames, ticks) => {
        for (const file of [pcap(frames), pcapng(frames, 6, ticks >> 8n), pcapng(frames, 9, ticks)]) {
          const found = quick(file)
          plain += found.plain
          if (found.lines.join('\n') !== careful(file).join('\n'))
            throw new Error(`${found.lines.join('\n')}\nand\n${careful(file).join('\n')}`)
        }
      }
    ),
    { numRuns: 400, seed: SEED }
  )
  t.ok(plain > 400, `${plain} plain datagrams`)
})

t.test('ticks of 64 bits are split exactly at the edges of a second', async (t) => {
  for (const resolution of [6, 9])
    for (const seconds of [0n, 1n, 1_795_384_981n, 0xffff_fffen, 0xffff_ffffn, 0x1_0000_0000n])
      for (const off of [-1n, 0n, 1n]) {
        const ticks = seconds * 10n ** BigInt(resolution) + off
        if (ticks < 0n || ticks >> 64n !== 0n) continue
        const file = pcapng([FRAMES[0]!], resolution, ticks)
        t.strictSame(quick(file).lines, careful(file), `${ticks} at 10^-${resolution} s`)
      }
})
