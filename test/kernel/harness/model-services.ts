import type { ServiceOptions } from 'ipvs-sync/director'

/** Services as ipvsadm's commands for the kernel and as options for the model, in the same order of servers. */
export interface SharedServices {
  readonly commands: readonly string[]
  readonly options: readonly ServiceOptions[]
}

interface Draft {
  readonly protocol: 'TCP' | 'UDP' | 'SCTP'
  readonly port: number
  readonly scheduler: string
  readonly forwarding: 'MASQ' | 'DROUTE' | 'TUNNEL'
  readonly persistence?: number
  readonly weights: readonly number[]
}

const DRAFTS: readonly Draft[] = [
  { protocol: 'TCP', port: 80, scheduler: 'rr', forwarding: 'MASQ', weights: [1, 1, 1] },
  { protocol: 'TCP', port: 81, scheduler: 'rr', forwarding: 'DROUTE', weights: [1, 0, 1] },
  { protocol: 'TCP', port: 82, scheduler: 'rr', forwarding: 'TUNNEL', weights: [1, 1] },
  { protocol: 'TCP', port: 83, scheduler: 'lblc', forwarding: 'MASQ', weights: [1, 2] },
  { protocol: 'TCP', port: 84, scheduler: 'rr', forwarding: 'MASQ', persistence: 300, weights: [1, 1] },
  { protocol: 'TCP', port: 85, scheduler: 'lblcr', forwarding: 'DROUTE', weights: [2, 1] },
  { protocol: 'UDP', port: 53, scheduler: 'rr', forwarding: 'MASQ', weights: [1, 1] },
  { protocol: 'UDP', port: 54, scheduler: 'rr', forwarding: 'DROUTE', persistence: 240, weights: [1, 1] },
  { protocol: 'SCTP', port: 60, scheduler: 'rr', forwarding: 'MASQ', weights: [1, 1] },
  { protocol: 'SCTP', port: 61, scheduler: 'rr', forwarding: 'DROUTE', weights: [1] }
]

const LETTERS = { MASQ: '-m', DROUTE: '-g', TUNNEL: '-i' } as const
const SERVICE = { TCP: '-t', UDP: '-u', SCTP: '--sctp-service' } as const
const VIRTUAL = '10.1.0.100'

/** The services of the model's scenarios. */
export function sharedServices(): SharedServices {
  return {
    commands: DRAFTS.flatMap(({ protocol, port, scheduler, forwarding, persistence, weights }) => {
      const name = `${SERVICE[protocol]} ${VIRTUAL}:${port}`
      return [
        `-A ${name} -s ${scheduler}${persistence === undefined ? '' : ` -p ${persistence}`}`,
        ...weights.map((weight, at) => `-a ${name} -r 10.2.0.${2 + at}:${port} ${LETTERS[forwarding]} -w ${weight}`)
      ]
    }),
    options: DRAFTS.map(({ protocol, port, scheduler, forwarding, persistence, weights }) => ({
      protocol,
      virtual: { address: VIRTUAL, port },
      scheduler,
      persistence: persistence === undefined ? undefined : { timeout: persistence },
      // A server that is added later stands before the others.
      servers: weights.map((weight, at) => ({ address: `10.2.0.${2 + at}`, port, forwarding, weight })).reverse()
    }))
  }
}
