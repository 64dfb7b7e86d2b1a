import { sameTraffic, type TrafficRun } from '../harness/same-traffic.js'
import type { Scenario } from '../harness/scenario.js'

// Every limit (the refresh period, and an eighth of it) lies between two beats, so that a clock tick decides nothing.
const BASE = { threshold: [3, 50], refresh: 5, retries: 0, persist: 0, version: 1, packets: 17, beat: 400 } as const

const RUNS: readonly TrafficRun[] = [
  BASE,
  { ...BASE, threshold: [0, 0], retries: 2 },
  { ...BASE, threshold: [1, 3], retries: 3 },
  { ...BASE, threshold: [0, 0], persist: 1 },
  { ...BASE, threshold: [0, 2], retries: 1, version: 0 },
  { ...BASE, threshold: [0, 0], refresh: 1000, retries: 3, packets: 8 }
]

export const scenario: Scenario = {
  title: 'the same packets through a kernel master and ours, decided by refresh period and retries',
  timeLimit: 300,
  run: (lab) => sameTraffic(lab, RUNS)
}
