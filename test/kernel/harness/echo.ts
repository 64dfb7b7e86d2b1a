// Long-lived TCP connections, for takeover drills:
//   node echo.js serve PORT…
//   node echo.js hold ADDRESS PORT COUNT SOURCE FILE [BEAT]   writes a Holding as JSON to FILE again and again;
//                                                            with BEAT 0 each sends one line, then none until FILE.resume exists
import { existsSync, renameSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'

/** Milliseconds between two lines of a connection, and between two reports. */
const BEAT_MS = 100

/** What the holder of connections writes down. */
export interface Holding {
  readonly alive: number
  readonly dead: number
  /** Lines that came back, by connection. */
  readonly echoes: readonly number[]
  /** Longest time in which none of the connections received an echo, in milliseconds. */
  readonly silence: number
}

const [role, ...words] = process.argv.slice(2)
if (role === 'serve')
  for (const port of words) createServer((socket) => socket.on('error', ignore).pipe(socket)).listen(Number(port))
else if (role === 'hold') hold(words)

function hold([address, port, count, source, file, beat = String(BEAT_MS)]: readonly string[]): void {
  const echoes = new Array<number>(Number(count)).fill(0)
  const dead = new Set<number>()
  let [silence, last] = [0, Infinity]
  const isResumed = (): boolean => beat !== '0' || existsSync(`${file!}.resume`)
  echoes.forEach((_, index) => {
    const socket = connect({ host: address!, port: Number(port), localAddress: source! })
    socket.on('data', () => {
      echoes[index]!++
      const now = performance.now()
      silence = Math.max(silence, now - last)
      last = now
    })
    socket.on('error', ignore)
    socket.on('close', () => dead.add(index))
    if (beat === '0') socket.on('connect', () => socket.write('x'))
    setInterval(() => isResumed() && socket.writable && socket.write('x'), Number(beat) || BEAT_MS)
  })
  setInterval(() => {
    const holding: Holding = { alive: echoes.length - dead.size, dead: dead.size, echoes, silence }
    writeFileSync(`${file!}.part`, JSON.stringify(holding))
    renameSync(`${file!}.part`, file!)
  }, BEAT_MS)
}

function ignore(): void {
  // A connection that fails is counted by its close.
}
