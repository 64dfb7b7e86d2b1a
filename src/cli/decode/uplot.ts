/**
 * uPlot, for pages that carry it in themselves: script, style and licence.
 *
 * @module
 */

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

/** What a page embeds. */
export interface UPlotParts {
  readonly script: string
  readonly style: string
  readonly licence: string
}

/** Reads uPlot from its package. */
export function readUPlot(): UPlotParts {
  const folder = dirname(createRequire(import.meta.url).resolve('uplot/package.json'))
  const read = (name: string): string => readFileSync(join(folder, name), 'utf8')
  return {
    script: read('dist/uPlot.iife.min.js'),
    style: read('dist/uPlot.min.css'),
    licence: read('LICENSE')
  }
}
