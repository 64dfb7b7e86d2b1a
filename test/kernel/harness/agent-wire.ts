import type { Heard } from './sync-socket.js'

/** What an agent's message is, by number. Layout and numbers: src/engine/agent-message.ts; own code, since that is judged. */
export const KIND = { HELLO: 1, REQUEST: 2, OFFER: 3, BEGIN: 4, PROGRESS: 5, DONE: 6, CANCEL: 7 } as const

/** Fields of a message that a scenario makes up. */
export interface ForgedMessage {
  readonly syncid: number
  readonly kind: number
  readonly from: bigint
  /** 0 is everybody. */
  readonly to: bigint
  readonly request: number
}

/** A message between agents. */
export function forge({ syncid, kind, from, to, request }: ForgedMessage): Uint8Array {
  const bytes = Buffer.alloc(40)
  bytes[1] = syncid
  bytes.writeUInt16BE(bytes.length, 2)
  bytes[5] = 1
  bytes.write('IVSA', 8, 'latin1')
  bytes[12] = 1
  bytes[13] = kind
  bytes.writeBigUInt64BE(from, 16)
  bytes.writeBigUInt64BE(to, 24)
  bytes.writeUInt32BE(request, 32)
  return bytes
}

/** The kind of a message between agents; 0 for any other datagram. */
export function kindOf(bytes: Uint8Array): number {
  return isAgents(bytes) ? bytes[13]! : 0
}

/** Who speaks in a message between agents. */
export function speakerOf(bytes: Uint8Array): bigint {
  return Buffer.from(bytes).readBigUInt64BE(16)
}

/** What one address sent: connections, and words between agents. */
export interface Share {
  readonly address: string
  /** Datagrams that carry connections, the connections in them, and all bytes of UDP payload. */
  datagrams: number
  connections: number
  bytes: number
  /** Messages between agents, by kind. */
  readonly words: number[]
}

/** Adds up what was heard, by sender. */
export function shares(heard: readonly Heard[]): Share[] {
  const all = new Map<string, Share>()
  for (const { bytes, address } of heard) {
    const share = all.get(address) ?? {
      address,
      datagrams: 0,
      connections: 0,
      bytes: 0,
      words: new Array<number>(10).fill(0)
    }
    all.set(address, share)
    share.bytes += bytes.length
    if (isAgents(bytes)) share.words[bytes[13]!]!++
    else {
      share.datagrams++
      share.connections += bytes[4]!
    }
  }
  return [...all.values()]
}

function isAgents(bytes: Uint8Array): boolean {
  return bytes.length >= 40 && Buffer.from(bytes.subarray(8, 12)).toString('latin1') === 'IVSA'
}
