#!/usr/bin/env node
/**
 * The command `ipvs-sync`.
 *
 * @module
 */

import { processIo } from './io.js'
import { run } from './run.js'

const code = await run(process.argv.slice(2), processIo())
// What was written leaves first; an input that is still open must not keep the process.
process.stdout.write('', () => process.exit(code))
