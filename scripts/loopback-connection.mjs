// A connection by its number, for the scripts that send many over the loopback interface.

/** @param timeout In seconds. */
export function connectionOf(number, timeout) {
  return {
    family: 'ipv4',
    protocol: 'TCP',
    client: {
      address: `10.${1 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`,
      port: 1024 + (number % 60_000)
    },
    virtual: { address: '192.0.2.10', port: 80 },
    destination: { address: '10.2.0.2', port: 80 },
    forwarding: 'DROUTE',
    flags: [],
    state: 'ESTABLISHED',
    fwmark: 0,
    timeout
  }
}
