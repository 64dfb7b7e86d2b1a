/** What measures have in common: a function timed by `benchmark`, and a number printed on the last line. */
import Benchmark from 'benchmark'

/**
 * Times a function: `benchmark` warms it up and decides how often it is called; what is counted is the processor time of
 * this process, not the clock's, so that whatever else the machine does is left out.
 *
 * @param operations - How many of what is counted (connections, packets) one call makes.
 * @param seconds - How long to measure.
 * @returns Nanoseconds for one of them.
 */
export function nanoseconds(run: () => void, operations: number, seconds: number): number {
  const warm = performance.now() + 300
  while (performance.now() < warm) run()
  let calls = 0
  const benchmark = new Benchmark(
    () => {
      run()
      calls++
    },
    { maxTime: seconds, minSamples: 5, initCount: 1 }
  )
  const before = processorTime()
  benchmark.run()
  const took = processorTime() - before
  const { error } = benchmark as { error?: unknown }
  if (error !== undefined) throw new Error('the benchmark failed', { cause: error })
  return (took * 1e6) / (calls * operations)
}

/** Milliseconds of processor time that this process has had. */
export function processorTime(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

/** Prints a measure's result. */
export function print(value: number): void {
  console.log(value.toFixed(4))
}

/** The measure's arguments: which variant, seconds, connections. */
export function given(): { readonly variant: string; readonly seconds: number; readonly connections: number } {
  const [variant = '', seconds = '1', connections = '40000'] = process.argv.slice(2)
  return { variant, seconds: Number(seconds), connections: Number(connections) }
}
