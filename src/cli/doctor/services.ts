/**
 * Services of received connections.
 *
 * @module
 */

import type { Service } from '../../procfs/services.js'
import type { Connection } from '../../wire/connection.js'

/**
 * Finds the service that a connection belongs to. A service by firewall mark may match anything, so one of them is
 * enough; a template's port 0 matches every port of the address.
 */
export function serviceOf(services: readonly Service[], { protocol, virtual }: Connection): Service | undefined {
  return services.find(
    (service) =>
      service.virtual === undefined ||
      (service.virtual.address === virtual.address &&
        (virtual.port === 0 ||
          service.virtual.port === 0 ||
          (service.virtual.port === virtual.port && service.protocol === protocol)))
  )
}

/** Whether a service has an IPv6 address. */
export function isIpv6Service({ family }: Service): boolean {
  return family === 'ipv6'
}
