/**
 * The input of every benchmark: connection `i` and messages of 40 such connections (1448 bytes), laid out here by hand so
 * that nothing measured has made what it is measured on. bench/reference/reference.c makes the same.
 */

/** Connections in a full IPv4 message of 1448 bytes. */
export const PER_MESSAGE = 40
const HEADER = 8
const RECORD = 36

/** Fields of connection `i`, as numbers. */
export function connectionOf(i: number): {
  readonly client: number
  readonly clientPort: number
  readonly virtual: number
  readonly destination: number
} {
  return {
    client: 0x0a000000 + Math.floor(i / 7),
    clientPort: 1024 + (i % 60000),
    virtual: 0xc0a80001,
    destination: 0x0a640001 + (i % 16)
  }
}

/** Version 1 messages that hold connections `0…connections-1` in `order`, each in a separate ArrayBuffer, as dgram delivers them. */
export function makeMessages(connections: number, order: Uint32Array = identity(connections)): Uint8Array[] {
  const messages: Uint8Array[] = []
  for (let first = 0; first + PER_MESSAGE <= connections; first += PER_MESSAGE) {
    const view = new DataView(new ArrayBuffer(HEADER + PER_MESSAGE * RECORD))
    view.setUint8(1, 7)
    view.setUint16(2, view.byteLength)
    view.setUint8(4, PER_MESSAGE)
    view.setUint8(5, 1)
    for (let k = 0; k < PER_MESSAGE; k++) writeRecord(view, HEADER + k * RECORD, order[first + k]!)
    messages.push(new Uint8Array(view.buffer))
  }
  return messages
}

function writeRecord(view: DataView, at: number, i: number): void {
  const { client, clientPort, virtual, destination } = connectionOf(i)
  view.setUint8(at + 1, 6)
  view.setUint16(at + 2, RECORD)
  view.setUint32(at + 4, 0x100)
  view.setUint16(at + 8, 1)
  view.setUint16(at + 10, clientPort)
  view.setUint16(at + 12, 80)
  view.setUint16(at + 14, 8080)
  view.setUint32(at + 20, 900)
  view.setUint32(at + 24, client)
  view.setUint32(at + 28, virtual)
  view.setUint32(at + 32, destination)
}

/** 0…n-1 in order. */
export function identity(n: number): Uint32Array {
  return Uint32Array.from({ length: n }, (_, i) => i)
}

/** 0…n-1 shuffled by a seeded xorshift: the same order at every run. */
export function shuffled(n: number, seed = 1): Uint32Array {
  const order = identity(n)
  let x = seed
  for (let i = n - 1; i > 0; i--) {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    const j = (x >>> 0) % (i + 1)
    const held = order[i]!
    order[i] = order[j]!
    order[j] = held
  }
  return order
}
