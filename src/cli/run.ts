/**
 * Runs a command line and returns the exit code.
 *
 * @module
 */

import { readFileSync } from 'node:fs'
import { EXIT_IO, exitCodeOf, explain } from './errors.js'
import type { Io, OutputStream } from './io.js'

/**
 * Runs a command line. It throws nothing and does not end the process.
 *
 * @param argv - Without Node and the script.
 * @param io - The process.
 * @returns 0 ok, 1 findings, 2 usage, 3 I/O.
 * @example
 * const code = await run(['sysctl', '--format', 'json'], processIo())
 */
export async function run(argv: readonly string[], io: Io): Promise<number> {
  // A closed standard error must not end a command.
  io.stderr.on('error', () => undefined)
  const broken = whenBroken(io.stdout)
  try {
    // Resolves after pending write errors have been emitted, so that {@link whenBroken} sees them.
    return await Promise.race([
      dispatch(argv, io).then(
        async (code: number): Promise<number> => new Promise((resolve) => setImmediate(() => resolve(code)))
      ),
      broken
    ])
  } catch (error) {
    io.stderr.write(`ipvs-sync: ${explain(error)}\n`)
    return exitCodeOf(error)
  }
}

async function dispatch(argv: readonly string[], io: Io): Promise<number> {
  // Scripts ask for the version often: no module is loaded for it.
  if (argv.length === 1 && (argv[0] === '--version' || argv[0] === '-V')) {
    io.stdout.write(`${versionText()}\n`)
    return 0
  }
  const { runProgram } = await import('./program.js')
  return runProgram(argv, io, versionText())
}

/**
 * Resolves to 0 when the reader of standard output has closed the pipe (`| head`); rejects at another failure of it, unless the
 * command has its own listener for failures.
 */
async function whenBroken(stdout: OutputStream): Promise<number> {
  return new Promise((resolve, reject) => {
    stdout.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') resolve(0)
      else if (stdout.listenerCount('error') === 1)
        reject(Object.assign(new Error(`standard output: ${error.message}`), { syscall: 'write', code: EXIT_IO }))
    })
  })
}

/** Returns the version on its own line, for scripts, and the supported kernels. */
function versionText(): string {
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  const version = (JSON.parse(manifest) as { version: string }).version
  return `${version}\nkernels: legacy flag checks, middle ones (such as Linux 6.1.190 and 6.12.111) and strict ones (from 6.1.191); messages of version 0 and 1`
}
