/**
 * Receives what this host's kernel announces on a private link: the other end of the veth pair that its master sends on.
 *
 * @module
 */

import { networkHolds, parseNetwork } from '../../addresses.js'
import { nodeSystem, type NetworkSystem } from '../../transport/system.js'
import type { UdpOptions } from '../../transport/udp-options.js'
import { UdpReceiver } from '../../transport/udp-receiver.js'
import type { OpenOwnSource } from './own-source.js'

/**
 * Returns a function that joins the group on an interface.
 *
 * @param udp - With the interface of the private link.
 */
export function interfaceSource(
  udp: UdpOptions & { readonly mcastInterface: string },
  system: NetworkSystem = nodeSystem
): OpenOwnSource {
  const { mcastInterface } = udp
  return ({ onUp, onDatagram, onDrops, onEnd }) => {
    const receiver = new UdpReceiver(udp, system)
    const networks = (system.interfaces()[mcastInterface] ?? []).flatMap(({ cidr }) =>
      cidr === null ? [] : [parseNetwork(cidr)!]
    )
    let isOpen = true
    const end = (text: string): void => {
      if (!isOpen) return
      isOpen = false
      void receiver.close()
      onEnd('OWN_INTERFACE_LOST', text)
    }
    receiver
      .start({
        onDatagram(bytes, from) {
          // A socket that is bound to a group also receives what other interfaces of the host have joined.
          const isOfLink = from.address.endsWith(`%${mcastInterface}`) || networks.some((network) => networkHolds(network, from.address)) // prettier-ignore
          if (isOpen && isOfLink) onDatagram(bytes, from)
        },
        onNotice({ code, message }) {
          if (code === 'INTERFACE_LOST') end(message)
        },
        onError: ({ message }) => end(message)
      })
      .then(
        () => isOpen && onUp(),
        (error: unknown) => end((error as Error).message)
      )
    return {
      poll() {
        const drops = receiver.receiveDrops()
        if (isOpen && drops !== undefined) onDrops(drops)
      },
      async close() {
        isOpen = false
        await receiver.close()
      }
    }
  }
}
