/**
 * The kernel's clock: `/proc/net/ip_vs` shows persistence timeouts in its ticks (HZ), and not how many of them a second has.
 *
 * @module
 */

import { readFile } from 'node:fs/promises'
import { release } from 'node:os'
import { gunzipSync } from 'node:zlib'
import { formatIpv4, formatIpv6 } from '../addresses.js'
import { FLAG } from '../wire/constants.js'
import { PROTOCOL, protocolName } from '../wire/protocols.js'
import { ROW, ROW_WORDS, type Rows } from '../wire/rows.js'
import type { Service } from './services.js'
import { TABLE_ROW } from './table-reader.js'

/** HZ of Debian's kernels. */
export const USUAL_TICKS = 250
/** What Linux can be built with (`kernel/Kconfig.hz`), highest first. */
const TICK_RATES = [1000, 300, 250, 100]

/**
 * Finds the running kernel's HZ in its configuration.
 *
 * @param paths - Where the configuration may be, for a test.
 * @returns Undefined if no configuration is there, or none tells.
 */
export async function findKernelTicks(
  paths: readonly string[] = ['/proc/config.gz', `/boot/config-${release()}`]
): Promise<{ readonly ticksPerSecond: number; readonly path: string } | undefined> {
  for (const path of paths) {
    const text = await readFile(path)
      .then((bytes) => (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('latin1'))
      .catch(() => '')
    const [, ticks] = /^CONFIG_HZ=(\d+)$/m.exec(text) ?? []
    if (ticks !== undefined) return { ticksPerSecond: Number(ticks), path }
  }
  return undefined
}

/**
 * Concludes HZ from a table: no template of a persistent service has more time left than the service's timeout, and with
 * several templates the longest has nearly all of it.
 *
 * @example
 * const ticks = new TicksEstimate(services)
 * for await (const rows of readTableFile(path, reader)) ticks.take(rows)
 * ticks.result() // 1000, or undefined
 */
export class TicksEstimate {
  readonly #longest = new Map<string, { readonly ticks: number; seconds: number }>()

  /** @param services - As `/proc/net/ip_vs` shows them. */
  constructor(services: readonly Service[]) {
    for (const { protocol, virtual, fwmark, persistence } of services)
      if (persistence?.unit === 'ticks')
        this.#longest.set(virtual === undefined ? `IP ${fwmark}` : `${protocol} ${virtual.address} ${virtual.port}`, {
          ticks: persistence.timeout,
          seconds: 0
        })
  }

  /** Whether there is anything to conclude. */
  get isNeeded(): boolean {
    return this.#longest.size > 0
  }

  /** Takes rows of `TableReader`. */
  take({ words, count }: Rows): void {
    for (let row = 0; row < count * ROW_WORDS; row += ROW_WORDS) {
      if ((words[row + ROW.FLAGS]! & FLAG.TEMPLATE) === 0) continue
      const protocol = words[row + ROW.PROTOCOL]!
      const address = (words[row + ROW.FAMILY] === 6 ? formatIpv6(words, row + ROW.VIRTUAL) : formatIpv4(words[row + ROW.VIRTUAL]!)) // prettier-ignore
      const found = this.#longest.get(
        protocol === PROTOCOL.IP
          ? `IP ${words[row + ROW.VIRTUAL]! >>> 0}`
          : `${protocolName(protocol)} ${address} ${words[row + ROW.VIRTUAL_PORT]!}`
      )
      if (found !== undefined) found.seconds = Math.max(found.seconds, words[row + TABLE_ROW.EXPIRES]! >>> 0)
    }
  }

  /** The highest rate under which no template has more left than its service gives; undefined where nothing is near it. */
  result(): number | undefined {
    const shown = [...this.#longest.values()].filter(({ seconds }) => seconds > 0)
    return TICK_RATES.find(
      (rate) =>
        shown.every(({ ticks, seconds }) => seconds <= ticks / rate) &&
        shown.some(({ ticks, seconds }) => seconds > ticks / rate / 2)
    )
  }
}
