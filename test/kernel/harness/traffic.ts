import type { Cannon } from './cannon.js'
import { kernelAddress, type KernelRow } from './kernel-table.js'
import type { Lab } from './lab.js'
import { back, sctp, SCTP, TCP, tcp, udp, type Path } from './packet.js'

/** The services that scripted traffic goes to, for `lab.director`. Real servers: 10.2.0.2…4 and fd00:2::2. */
export const SERVICES: readonly string[] = [
  '-A -t 10.1.0.100:80 -s rr',
  '-a -t 10.1.0.100:80 -r 10.2.0.2:8080 -m',
  '-A -t 10.1.0.100:8000 -s rr',
  '-a -t 10.1.0.100:8000 -r 10.2.0.3:8000 -g',
  '-A -t 10.1.0.101:80 -s rr',
  '-a -t 10.1.0.101:80 -r 10.2.0.4:80 -i',
  '-A -u 10.1.0.100:53 -s rr',
  '-a -u 10.1.0.100:53 -r 10.2.0.3:53 -g',
  '-A -u 10.1.0.100:514 -s rr -o',
  '-a -u 10.1.0.100:514 -r 10.2.0.2:514 -m',
  '-A -t 10.1.0.100:443 -s rr -p 300',
  '-a -t 10.1.0.100:443 -r 10.2.0.2:443 -m',
  '-A -u 10.1.0.101:53 -s rr -p 240',
  '-a -u 10.1.0.101:53 -r 10.2.0.3:53 -g',
  '-A --sctp-service 10.1.0.100:5060 -s rr',
  '-a --sctp-service 10.1.0.100:5060 -r 10.2.0.2:5060 -m',
  '-A -t [fd00:1::100]:80 -s rr',
  '-a -t [fd00:1::100]:80 -r [fd00:2::2]:80 -m'
]

/** A kind of connection: where it goes, and its packets one after the other. */
export interface Kind {
  readonly name: string
  readonly protocol: 'TCP' | 'UDP' | 'SCTP'
  readonly virtual: readonly number[]
  readonly port: number
  /** The real server. With direct routing and tunnels its replies do not pass the director. */
  readonly destination: readonly number[]
  readonly serverPort?: number
  /** The template's timeout in seconds, of a persistent service. */
  readonly persistence?: number
  readonly onePacket?: true
  /** Text of each datagram, of UDP; NUMBER stands for the connection's port. */
  readonly payload?: string
  readonly forwarding: 'MASQ' | 'DROUTE' | 'TUNNEL'
  readonly opening: readonly Step[]
  readonly middle: Step
  readonly closing: readonly Step[]
}

/** Who sends, and TCP's flags or SCTP's chunk. */
export type Step = readonly ['client' | 'server', number]

const V6 = (tail: number, net: number): number[] => [
  0xfd,
  0,
  0,
  net,
  ...new Array<number>(10).fill(0),
  tail >> 8,
  tail & 0xff
]
const TCP_OPENING: readonly Step[] = [
  ['client', TCP.SYN],
  ['server', TCP.SYN | TCP.ACK],
  ['client', TCP.ACK]
]
const TCP_CLOSING: readonly Step[] = [
  ['client', TCP.FIN | TCP.ACK],
  ['server', TCP.FIN | TCP.ACK],
  ['client', TCP.ACK]
]
const SERVER_CLOSES: readonly Step[] = [
  ['server', TCP.FIN | TCP.ACK],
  ['client', TCP.ACK],
  ['client', TCP.FIN | TCP.ACK],
  ['server', TCP.ACK]
]
const TCP_DATA: Step = ['client', TCP.ACK]
const TOGETHER = { opening: TCP_OPENING, middle: TCP_DATA, closing: TCP_CLOSING } as const
/** What a director sees of TCP whose replies do not pass it. */
const ONE_WAY = {
  opening: [
    ['client', TCP.SYN],
    ['client', TCP.ACK]
  ],
  middle: TCP_DATA
} as const
const DATAGRAMS = { opening: [], middle: ['client', 0], closing: [] } as const
const RESET: readonly Step[] = [['client', TCP.RST]]

const FIRST_VIRTUAL = { virtual: [10, 1, 0, 100] } as const
const SECOND_VIRTUAL = { virtual: [10, 1, 0, 101] } as const
const NAT = { destination: [10, 2, 0, 2], forwarding: 'MASQ' } as const
const DIRECT = { destination: [10, 2, 0, 3], forwarding: 'DROUTE' } as const
const OVER_IPV6 = {
  virtual: [...V6(0, 1).slice(0, 14), 1, 0],
  destination: V6(2, 2),
  forwarding: 'MASQ'
} as const
const WEB = { protocol: 'TCP', ...FIRST_VIRTUAL, port: 80, ...NAT, serverPort: 8080 } as const

/** One of each kind that the decision of a master tells apart. */
export const KINDS: readonly Kind[] = [
  { name: 'tcp', ...WEB, ...TOGETHER },
  { name: 'tcp that the server closes', ...WEB, ...TOGETHER, closing: SERVER_CLOSES },
  { name: 'tcp that is reset', ...WEB, ...TOGETHER, closing: RESET },
  {
    name: 'tcp by direct routing',
    protocol: 'TCP',
    ...FIRST_VIRTUAL,
    port: 8000,
    ...DIRECT,
    ...ONE_WAY,
    closing: [
      ['client', TCP.FIN | TCP.ACK],
      ['client', TCP.ACK]
    ]
  },
  {
    name: 'tcp by tunnel',
    protocol: 'TCP',
    ...SECOND_VIRTUAL,
    port: 80,
    destination: [10, 2, 0, 4],
    forwarding: 'TUNNEL',
    ...ONE_WAY,
    closing: RESET
  },
  { name: 'tcp over IPv6', protocol: 'TCP', ...OVER_IPV6, port: 80, serverPort: 80, ...TOGETHER },
  {
    name: 'persistent tcp',
    protocol: 'TCP',
    ...FIRST_VIRTUAL,
    port: 443,
    ...NAT,
    serverPort: 443,
    persistence: 300,
    ...TOGETHER
  },
  {
    name: 'persistent udp',
    protocol: 'UDP',
    ...SECOND_VIRTUAL,
    port: 53,
    ...DIRECT,
    persistence: 240,
    ...DATAGRAMS
  },
  { name: 'udp', protocol: 'UDP', ...FIRST_VIRTUAL, port: 53, ...DIRECT, ...DATAGRAMS },
  {
    name: 'udp, one packet a connection',
    protocol: 'UDP',
    ...FIRST_VIRTUAL,
    port: 514,
    ...NAT,
    serverPort: 514,
    onePacket: true,
    ...DATAGRAMS
  },
  {
    name: 'sctp',
    protocol: 'SCTP',
    ...FIRST_VIRTUAL,
    port: 5060,
    ...NAT,
    serverPort: 5060,
    opening: [
      ['client', SCTP.INIT],
      ['server', SCTP.INIT_ACK],
      ['client', SCTP.COOKIE_ECHO],
      ['server', SCTP.COOKIE_ACK]
    ],
    middle: ['client', SCTP.DATA],
    closing: [
      ['client', SCTP.SHUTDOWN],
      ['server', SCTP.SHUTDOWN_ACK],
      ['client', SCTP.SHUTDOWN_COMPLETE]
    ]
  }
]

/** Services that need more than an address: firewall marks (see {@link MARKS}) and the `sip` engine. */
export const FURTHER_SERVICES: readonly string[] = [
  '-A -f 5 -s rr -p 300',
  '-a -f 5 -r 10.2.0.2:0 -m',
  '-A -f 6 -s rr',
  '-a -f 6 -r 10.2.0.3:0 -g',
  '-A -f 7 -6 -s rr -p 300',
  '-a -f 7 -6 -r [fd00:2::2]:0 -m',
  '-A -u 10.1.0.100:5060 -s rr -p 300 --pe sip',
  '-a -u 10.1.0.100:5060 -r 10.2.0.2:5060 -m'
]

/** Shell that marks what comes in from clients by its port. */
export const MARKS = `tc qdisc add dev clients ingress
for rule in 'ip 9000 5' 'ip 9001 6' 'ipv6 9000 7'; do
  set -- $rule
  tc filter add dev clients parent ffff: protocol $1 prio $3 flower ip_proto tcp dst_port $2 action skbedit mark $3
done`

/** Kinds for {@link FURTHER_SERVICES}. */
export const FURTHER_KINDS: readonly Kind[] = [
  {
    name: 'firewall mark, persistent',
    protocol: 'TCP',
    ...FIRST_VIRTUAL,
    port: 9000,
    ...NAT,
    serverPort: 9000,
    persistence: 300,
    ...TOGETHER
  },
  { name: 'firewall mark', protocol: 'TCP', ...SECOND_VIRTUAL, port: 9001, ...DIRECT, ...ONE_WAY, closing: [] },
  {
    name: 'firewall mark over IPv6',
    protocol: 'TCP',
    ...OVER_IPV6,
    port: 9000,
    serverPort: 9000,
    persistence: 300,
    ...TOGETHER
  },
  {
    name: 'sip',
    protocol: 'UDP',
    ...FIRST_VIRTUAL,
    port: 5060,
    ...NAT,
    serverPort: 5060,
    persistence: 300,
    ...DATAGRAMS,
    payload: 'OPTIONS sip:lab@10.1.0.100 SIP/2.0\r\nCall-ID: call-NUMBER@10.1.0.2\r\n\r\n'
  }
]

/** A packet from a client as the director's kernel took it. */
export interface Observation {
  readonly kind: Kind
  /** `Date.now()` when it was sent. */
  readonly at: number
  /** The connection in the kernel's table after it; nothing for one-packet connections. */
  readonly row: KernelRow | undefined
  /** The template that it belongs to. */
  readonly template: KernelRow | undefined
  readonly client: readonly number[]
  readonly clientPort: number
}

/** A connection that is played packet by packet. */
export class Player {
  readonly kind: Kind
  readonly client: readonly number[]
  readonly port: number
  readonly #lab: Lab
  readonly #cannon: Cannon
  readonly #steps: Step[]

  /** @param middle - How many packets between opening and closing. */
  constructor(lab: Lab, cannon: Cannon, kind: Kind, host: number, port: number, middle: number) {
    this.kind = kind
    this.client = kind.virtual.length === 16 ? V6(host, 1) : [10, 1, host >> 8, host & 0xff]
    this.port = port
    this.#lab = lab
    this.#cannon = cannon
    this.#steps = [...kind.opening, ...new Array<Step>(middle).fill(kind.middle), ...kind.closing]
  }

  /** Whether there are packets left. */
  get more(): boolean {
    return this.#steps.length > 0
  }

  /** Plays the next packet of the client, replies before it included. */
  async play(): Promise<Observation | undefined> {
    for (let step = this.#steps.shift(); step !== undefined; step = this.#steps.shift()) {
      const [who, what] = step
      if (who === 'server') {
        await this.#cannon.fromServer(this.#packet(this.#reply(), what))
        continue
      }
      const at = Date.now()
      const before = this.#packetsIn()
      await this.#cannon.fromClient(this.#packet(this.#path(), what))
      for (let look = 0; look < 20 && this.#packetsIn() === before; look++) await this.#lab.pause(2)
      return this.#observeReadily(at)
    }
    return undefined
  }

  /** Plays all that is left, and looks at nothing. */
  async rush(): Promise<void> {
    for (const [who, what] of this.#steps.splice(0)) {
      if (who === 'client') await this.#cannon.fromClient(this.#packet(this.#path(), what))
      else await this.#cannon.fromServer(this.#packet(this.#reply(), what))
    }
  }

  #path(): Path {
    return { from: this.client, to: this.kind.virtual, fromPort: this.port, toPort: this.kind.port }
  }

  #reply(): Path {
    return back({ ...this.#path(), to: this.kind.destination, toPort: this.kind.serverPort! })
  }

  #packet(path: Path, what: number): Uint8Array {
    if (this.kind.protocol === 'UDP') return udp(path, this.#payload())
    return this.kind.protocol === 'TCP' ? tcp(path, what) : sctp(path, what)
  }

  #payload(): Uint8Array {
    return new TextEncoder().encode((this.kind.payload ?? 'anything').replace('NUMBER', String(this.port)))
  }

  /** On a busy machine the director can be behind by a few milliseconds: a row that must be there is looked for again. */
  async #observeReadily(at: number): Promise<Observation> {
    let seen = this.#observe(at)
    for (let look = 1; look < 10 && seen.row === undefined && this.kind.onePacket !== true; look++) {
      await this.#lab.pause(5)
      seen = this.#observe(at)
    }
    return seen
  }

  /**
   * What the director's kernel has counted of packets from clients, its own form: another text after each. On a busy machine it
   * can be behind, and its table would show the state of before.
   */
  #packetsIn(): string {
    return this.#lab.proc('director', 'ip_vs_stats_percpu')
  }

  #observe(at: number): Observation {
    const { kind, client, port } = this
    const rows = this.#lab
      .table('director')
      .filter(
        (row) =>
          row.protocol === kind.protocol &&
          row.client === kernelAddress(Uint8Array.from(client)) &&
          row.virtual === kernelAddress(Uint8Array.from(kind.virtual)) &&
          row.virtualPort === kind.port
      )
    return {
      kind,
      at,
      client,
      clientPort: port,
      row: rows.find((row) => row.clientPort === port),
      template: rows.find((row) => row.clientPort === 0)
    }
  }
}
