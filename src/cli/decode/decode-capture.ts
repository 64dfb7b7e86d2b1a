/**
 * The loop of `decode`: capture in, text out, findings counted.
 *
 * @module
 */

import type { CaptureCounts, CaptureFinding, ReadCaptureOptions } from '../../capture/items.js'
import { CaptureReader } from '../../capture/capture-reader.js'
import { readBatches } from '../../capture/read-capture.js'
import type { Output } from './output.js'
import type { Printer } from './printer.js'
import type { Problem } from '../../wire/problems.js'

/** What the loop works on. */
export interface DecodeRun {
  readonly source: AsyncIterable<Uint8Array>
  readonly options: ReadCaptureOptions
  readonly printer: Printer
  readonly output: Output
  /** Told of what the format has no place for. */
  readonly onFinding: (finding: CaptureFinding) => void
}

/** What came of it. */
export interface DecodeResult {
  readonly counts: CaptureCounts
  /** Whether a receiver would have dropped or skipped something, or the file is damaged. */
  readonly hasFindings: boolean
}

/**
 * Prints a capture. Stops early, without an error, when nobody reads the output any more.
 *
 * @throws {IpvsSyncError} `ERR_CAPTURE` where it is none; what was printed until then stands.
 */
export async function decodeCapture({ source, options, printer, output, onFinding }: DecodeRun): Promise<DecodeResult> {
  const reader = new CaptureReader(options)
  let hasFindings = false
  reading: for await (const batch of readBatches(source, reader))
    for (const item of batch) {
      if (item.kind === 'datagram') {
        const problems = printer.datagram(item)
        // A promise for each message would be waste.
        hasFindings = (problems instanceof Promise ? await problems : problems).some(isFinding) || hasFindings
      } else {
        hasFindings ||= isFinding(item.problem)
        if (printer.finding === undefined) onFinding(item)
        else printer.finding(item)
      }
      if (output.isBlocked && !(await output.drained())) break reading
    }
  printer.end?.()
  output.flush()
  await output.drained()
  return { counts: reader.counts, hasFindings }
}

function isFinding({ severity }: Problem): boolean {
  return severity !== 'warning'
}
