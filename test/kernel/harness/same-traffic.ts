import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Cannon } from './cannon.js'
import { readRecords, show, type WireRecord } from './message.js'
import type { Lab } from './lab.js'
import { OurMaster, type TrafficSettings } from './our-master.js'
import type { Outcome } from './scenario.js'
import { KINDS, Player, SERVICES, type Observation } from './traffic.js'

/** A run: what the director is set to, and how its clients behave. */
export interface TrafficRun extends TrafficSettings {
  /** Packets between a connection's opening and its closing. */
  readonly packets: number
  /** Milliseconds between two rounds, in each of which every connection sends one packet. 0: they come in any order. */
  readonly beat: number
}

/** Longer than a kernel's open buffer lives (2 s and a wake-up). */
const FLUSH_MS = 3400
/** A packet this late in its beat may be across a limit of time. */
const LATE_MS = 60

/**
 * Plays the same traffic under each setting through a kernel's director, and gives what its table showed after each
 * packet to our engine. Both must announce the same records in the same order.
 */
export async function sameTraffic(lab: Lab, runs: readonly TrafficRun[]): Promise<Outcome> {
  const cannon = await lab.director(SERVICES)
  const socket = await lab.syncSocket()
  lab.master('director')
  const disagreements: string[] = []
  const notes: string[] = []
  let [datagrams, compared] = [0, 0]
  let index = 0
  for (const run of runs) {
    lab.sysctl('director', sysctls(run))
    for (let attempt = 1; ; attempt++) {
      const { observed, lateMs } = await play(lab, cannon, run, index)
      await lab.pause(FLUSH_MS)
      const heard = socket.take()
      const kernel = heard.flatMap(({ bytes }) => readRecords(bytes)).map(show)
      writeFileSync(join(lab.folder, `observed-${index++}.json`), JSON.stringify({ run, observed, kernel }))
      const difference = firstDifference(kernel, decisions(run, observed).map(show))
      datagrams += heard.length
      compared += observed.length
      // A machine too busy to keep the beat moves packets across the limits: that says nothing about either side.
      if (difference !== undefined && lateMs > LATE_MS && attempt < 3) continue
      if (difference !== undefined) disagreements.push(`${title(run)}: ${difference}; at most ${lateMs} ms late`)
      disagreements.push(...unseen(observed).map((line) => `${title(run)}: ${line}`))
      notes.push(`${title(run)}: ${observed.length} packets, ${kernel.length} records`)
      break
    }
  }
  return { datagrams, compared, disagreements, notes }
}

async function play(
  lab: Lab,
  cannon: Cannon,
  run: TrafficRun,
  index: number
): Promise<{ observed: Observation[]; lateMs: number }> {
  const observed: Observation[] = []
  const began = Date.now()
  let lateMs = 0
  // Hosts and ports of their own for each run: entries of the run before are still there.
  const player = (kind: number, twin: number): Player =>
    new Player(
      lab,
      cannon,
      KINDS[kind]!,
      0x200 + index * 32 + kind,
      2000 + index * 64 + 2 * kind + twin,
      run.packets + twin
    )
  const players = KINDS.flatMap((kind, number) =>
    kind.persistence === undefined ? [player(number, 0)] : [player(number, 0), player(number, 1)]
  )
  for (let round = 0; players.some(({ more }) => more); round++) {
    const waiting = players.filter(({ more }) => more)
    const turn = run.beat > 0 ? waiting : [lab.random.pick(waiting)]
    const due = began + (round + 1) * run.beat
    for (const one of turn) {
      const seen = await one.play()
      if (seen !== undefined) observed.push(seen)
    }
    if (run.beat === 0) continue
    lateMs = Math.max(lateMs, Date.now() - due + run.beat)
    await lab.pause(Math.max(0, due - Date.now()))
  }
  return { observed, lateMs }
}

/** Kinds that the director's kernel made nothing of: nobody announces them, and that would pass for agreement. */
function unseen(observed: readonly Observation[]): string[] {
  return KINDS.filter(({ onePacket }) => onePacket !== true).flatMap((kind) => {
    const own = observed.filter((packet) => packet.kind === kind)
    return [
      ...(own.some(({ row }) => row !== undefined) ? [] : [`no connection of ${kind.name}`]),
      ...(kind.persistence === undefined || own.some(({ template }) => template !== undefined)
        ? []
        : [`no template of ${kind.name}`])
    ]
  })
}

/** The records that our engine announces for what was observed. */
export function decisions(run: TrafficRun, observed: readonly Observation[]): WireRecord[] {
  const master = new OurMaster(run)
  for (const packet of observed) master.take(packet)
  return master.records()
}

function sysctls({ threshold, refresh, retries, persist, version }: TrafficSettings): Record<string, string | number> {
  return {
    'net.ipv4.vs.sync_threshold': threshold.join(' '),
    'net.ipv4.vs.sync_refresh_period': refresh,
    'net.ipv4.vs.sync_retries': retries,
    'net.ipv4.vs.sync_persist_mode': persist,
    'net.ipv4.vs.sync_version': version
  }
}

function title({ threshold, refresh, retries, persist, version }: TrafficSettings): string {
  return `threshold ${threshold.join(' ')}, refresh ${refresh}, retries ${retries}, persist ${persist}, version ${version}`
}

function firstDifference(kernel: readonly string[], ours: readonly string[]): string | undefined {
  const at = kernel.findIndex((line, index) => line !== ours[index])
  if (at === -1 && ours.length <= kernel.length) return undefined
  const place = at === -1 ? kernel.length : at
  return `record ${place} of ${kernel.length} and ${ours.length}: kernel ${kernel[place] ?? 'none'}, ours ${ours[place] ?? 'none'}`
}
