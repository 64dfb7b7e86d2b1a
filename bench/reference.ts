/** Builds the C reference where there is a compiler. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Path of the built reference, or undefined where no C compiler answers (then ratios to C are left out, and it is said). */
export function buildReference(): string | undefined {
  const source = fileURLToPath(new URL('../../bench/reference/reference.c', import.meta.url))
  const folder = mkdtempSync(join(tmpdir(), 'ipvs-sync-bench-'))
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  const output = join(folder, 'reference')
  for (const compiler of ['cc', 'gcc', 'clang']) {
    try {
      execFileSync(compiler, ['-O2', '-o', output, source], { stdio: 'pipe' })
      return output
    } catch {
      // The next one; none is a result too.
    }
  }
  return undefined
}
