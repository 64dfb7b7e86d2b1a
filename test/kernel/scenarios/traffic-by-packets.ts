import { sameTraffic, type TrafficRun } from '../harness/same-traffic.js'
import type { Scenario } from '../harness/scenario.js'

const BASE = { refresh: 0, retries: 0, persist: 0, version: 1, packets: 20, beat: 0 } as const

const RUNS: readonly TrafficRun[] = [
  { ...BASE, threshold: [3, 50], packets: 110 },
  { ...BASE, threshold: [0, 1] },
  { ...BASE, threshold: [1, 4] },
  { ...BASE, threshold: [0, 0] },
  { ...BASE, threshold: [4, 0] },
  { ...BASE, threshold: [3, 7], persist: 1 },
  { ...BASE, threshold: [0, 3], version: 0 },
  { ...BASE, threshold: [5, 0], version: 0 },
  { ...BASE, threshold: [1, 2], version: 0, persist: 1 }
]

export const scenario: Scenario = {
  title: 'the same packets through a kernel master and ours, decided by packet counts',
  timeLimit: 150,
  run: (lab) => sameTraffic(lab, RUNS)
}
