/**
 * Listening to an AbortSignal that many share.
 *
 * @module
 */

const callbacks = new WeakMap<AbortSignal, Set<() => void>>()

/**
 * Calls back when a signal is aborted. However many listen, the signal has one listener of ours: Node warns of more than ten.
 *
 * @returns A function that ends it.
 */
export function whenAborted(signal: AbortSignal, callback: () => void): () => void {
  const all = callbacks.get(signal) ?? listen(signal)
  all.add(callback)
  return () => void all.delete(callback)
}

function listen(signal: AbortSignal): Set<() => void> {
  const all = new Set<() => void>()
  callbacks.set(signal, all)
  signal.addEventListener('abort', () => all.forEach((callback) => callback()), { once: true })
  return all
}
