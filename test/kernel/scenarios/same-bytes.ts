import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FlagChecks } from 'ipvs-sync'
import { BackupEngine } from 'ipvs-sync/engine'
import { Generator, SYNCID } from '../harness/generator.js'
import { compareTables, type KernelRow } from '../harness/kernel-table.js'
import type { Lab } from '../harness/lab.js'
import { asKernelRows } from '../harness/our-table.js'
import { reasonOf, ROWS, splitByDatagram } from '../harness/reasons.js'
import type { Scenario } from '../harness/scenario.js'

const [DATAGRAMS, EMULATED_DATAGRAMS] = [20_480, 5_120]
const BATCH = 128
/** Batches between two comparisons of the whole table. */
const COMPARE_EVERY = 4
const AT_LEAST = 50
/**
 * A kernel ends an entry that it replaced at its next clock tick; until then records still find it. That is an artefact
 * of ticks (10 ms here), so nothing is sent meanwhile.
 */
const TICKS_MS = 25
const FROM = { address: '10.9.0.254', port: 40000 }

/** Seconds that an entry can survive its replacement where the kernel's receiving thread held it (docs/protocol.md section 9). */
const SURVIVOR_S = 60

/** Counts the checks that this kernel does not make: by what was generated. */
const STRICT = new BackupEngine({ syncid: SYNCID, flagChecks: 'strict', maxConnections: 100_000 })

export const scenario: Scenario = {
  title: 'the same bytes to both backups: the same connections, and the same reasons',
  timeLimit: 240,
  async run(lab) {
    lab.backup('backup', { syncid: SYNCID })
    // A kernel that knows no engine of a name would look for a module, with a process for each record.
    lab.sysctl('root', { 'kernel.modprobe': '/nonexistent' })
    const { hasLog, generation, isEmulated } = lab.kernel
    if (hasLog) lab.sysctl('root', { 'net.ipv4.vs.debug_level': 7 })
    await lab.syncSocket()
    lab.log.take()
    const ours = new BackupEngine({ syncid: SYNCID, flagChecks: generation, maxConnections: 1_000_000 })
    const generator = new Generator(lab.random)
    const trial = new Trial(lab, ours)
    const datagrams = isEmulated ? EMULATED_DATAGRAMS : DATAGRAMS
    for (let batch = 0; batch < datagrams / BATCH && trial.disagreements.length < 20; batch++) {
      await trial.judge(Array.from({ length: BATCH }, () => generator.next()))
      if (batch % COMPARE_EVERY === COMPARE_EVERY - 1) await trial.compare()
    }
    return trial.outcome()
  }
}

/** The accounts of a run: what was sent, what both sides reported. */
class Trial {
  readonly disagreements: string[] = []
  readonly #lab: Lab
  readonly #ours: BackupEngine
  readonly #hits = new Map<string, number>()
  readonly #recent: string[] = []
  #datagrams = 0
  #pastHeader = 0
  #compared = 0
  #replaced = 0
  readonly #survivors = new Set<string>()

  constructor(lab: Lab, ours: BackupEngine) {
    this.#lab = lab
    this.#ours = ours
  }

  /** Sends a batch, gives ours the same, and holds the reasons of each datagram side by side. */
  async judge(batch: readonly Uint8Array[]): Promise<void> {
    const own: string[][] = []
    for (const bytes of batch) {
      own.push(problemsOf(this.#ours, bytes))
      const { generation } = this.#lab.kernel
      for (const code of problemsOf(STRICT, bytes))
        if (CHECKED.strict.includes(code) && !CHECKED[generation].includes(code)) this.#hit(code)
      await this.#lab.announce(bytes)
      await this.#afterReplacement()
      if (getsPastHeader(bytes)) this.#pastHeader++
    }
    if (!this.#lab.kernel.hasLog) {
      await this.#drained()
      batch.forEach((bytes, index) => this.#hold(bytes, own[index]!, own[index]!))
      return
    }
    const heard = await this.#kernelReasons(batch.length)
    batch.forEach((bytes, index) => this.#hold(bytes, heard[index] ?? ['no trace of it'], own[index]!))
  }

  /**
   * Holds the two tables side by side. A table in /proc is read piece by piece while entries come and go, so that one
   * reading can miss some: what counts is a difference that every one of three readings shows.
   */
  async compare(): Promise<void> {
    let lasting: readonly string[] | undefined
    for (let reading = 0; reading < 3 && lasting?.length !== 0; reading++) {
      if (reading > 0) await this.#lab.pause(100)
      const kernel = this.#lab.table('backup', 'engine')
      this.#ours.handleTimeout(Date.now())
      const own = asKernelRows(this.#ours.table, 'engine')
      const differences = compareTables(this.#withoutSurvivors(kernel, own), own)
      const keys = new Set(differences.map(keyOf))
      lasting = lasting?.filter((line) => keys.has(keyOf(line))) ?? differences
      if (reading === 0) this.#compared += kernel.length
    }
    if (lasting === undefined || lasting.length === 0) return
    const path = join(this.#lab.folder, 'datagrams')
    writeFileSync(path, this.#recent.map((hex) => `${hex}\n`).join(''))
    this.disagreements.push(...lasting.map((line) => `table after ${this.#datagrams} datagrams: ${line}`))
  }

  /** Says what was reached, and counts as disagreement what was not reached often enough. */
  outcome(): Awaited<ReturnType<Scenario['run']>> {
    const rows = ROWS.map(
      ([row, codes]) => [row, codes.reduce((sum, code) => sum + (this.#hits.get(code) ?? 0), 0)] as const
    )
    const thin = rows
      .filter(([, hits]) => hits < AT_LEAST)
      .map(([row, hits]) => `generator: "${row}" hit ${hits} times, wanted ${AT_LEAST}`)
    if (2 * this.#pastHeader < this.#datagrams)
      thin.push(`generator: ${this.#pastHeader} of ${this.#datagrams} got past the header`)
    return {
      datagrams: this.#datagrams,
      compared: this.#compared,
      disagreements: [...this.disagreements, ...thin],
      notes: [
        `${this.#replaced} entries replaced by another destination, of which ${this.#survivors.size} survived beside their successor`,
        ...(this.#lab.kernel.hasLog ? [] : ['no debug log: the tables alone were compared']),
        `${this.#pastHeader} of ${this.#datagrams} datagrams got past the header; rows of docs/protocol.md section 4:`,
        ...rows.map(([row, hits]) => `${String(hits).padStart(6)}  ${row}`)
      ]
    }
  }

  async #afterReplacement(): Promise<void> {
    const { replaced } = this.#ours.counters()
    if (replaced === this.#replaced) return
    this.#replaced = replaced
    await this.#lab.pause(TICKS_MS)
  }

  /**
   * Leaves out what the kernel's race with its own timers kept: an entry of at most a minute, beside its successor, with a destination
   * that ours no longer has.
   */
  #withoutSurvivors(kernel: readonly KernelRow[], own: readonly KernelRow[]): readonly KernelRow[] {
    const name = ({ key, destination, destinationPort }: KernelRow): string =>
      `${key} ${destination} ${destinationPort}`
    const [ours, keys] = [new Set(own.map(name)), new Set(own.map(({ key }) => key))]
    const both = new Set(kernel.map(name).filter((row) => ours.has(row)))
    const succeeded = new Set(kernel.filter((row) => both.has(name(row))).map(({ key }) => key))
    return kernel.filter((row) => {
      const survives = row.expires <= SURVIVOR_S && keys.has(row.key) && succeeded.has(row.key) && !ours.has(name(row))
      if (survives) this.#survivors.add(name(row))
      return !survives
    })
  }

  /** Without a log: waits until the kernel's socket is empty, twice. */
  async #drained(): Promise<void> {
    for (let look = 0; look < 2; look++) {
      await this.#lab.until('the kernel has read everything', () => this.#queued() === 0, 60)
      await this.#lab.pause(10)
    }
  }

  /** Bytes that wait at the backup's port. */
  #queued(): number {
    const sockets = this.#lab
      .proc('backup', 'udp')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter(([, local]) => local?.endsWith(':2290'))
    if (sockets.some((words) => words.at(-1) !== '0')) throw new Error("the backup's socket dropped datagrams")
    return sockets.reduce((sum, words) => sum + Number.parseInt(words[4]!.split(':')[1]!, 16), 0)
  }

  /** The kernel reads in its own thread: its log shows when it has read everything. */
  async #kernelReasons(count: number): Promise<string[][]> {
    const lines: string[] = []
    await this.#lab.until(`${count} datagrams are read`, () => {
      lines.push(...this.#lab.log.take())
      return splitByDatagram(lines).length >= count && lines.at(-1)?.includes('Enter') === false
    })
    await this.#lab.pause(2)
    lines.push(...this.#lab.log.take())
    return splitByDatagram(lines).map((said) =>
      said.map((line) => reasonOf(line, this.#lab.kernel.generation)).filter((reason) => reason !== undefined)
    )
  }

  #hold(bytes: Uint8Array, kernel: readonly string[], ours: readonly string[]): void {
    this.#datagrams++
    for (const reason of kernel) this.#hit(reason)
    const hex = Buffer.from(bytes).toString('hex')
    this.#recent.push(hex)
    if (!judgesStaleBytes(bytes) && kernel.join() !== ours.join()) {
      this.disagreements.push(`reasons for ${hex}: kernel ${kernel.join() || 'none'}, ours ${ours.join() || 'none'}`)
    }
  }

  #hit(code: string): void {
    this.#hits.set(code, (this.#hits.get(code) ?? 0) + 1)
  }
}

/** Of the checks that depend on the generation, those that each makes. */
const CHECKED: Readonly<Record<FlagChecks, readonly string[]>> = {
  legacy: [],
  middle: ['TEMPLATE_STATE'],
  strict: ['TEMPLATE_STATE', 'FLAGS_REFUSED']
}

/** The codes with which an engine drops or skips, in order. */
function problemsOf(engine: BackupEngine, bytes: Uint8Array): string[] {
  const codes: string[] = []
  engine.handleDatagram(bytes, FROM, Date.now())
  for (let event = engine.pollEvent(); event !== undefined; event = engine.pollEvent()) {
    if (event.type === 'problem' && event.problem.severity !== 'warning') codes.push(event.problem.code)
  }
  return codes
}

/** Whether a receiver with our syncid looks at one record at least. By hand: docs/protocol.md section 2. */
function getsPastHeader(bytes: Uint8Array): boolean {
  if (bytes.length < 4 || ((bytes[2]! << 8) | bytes[3]!) !== bytes.length || bytes[1] !== SYNCID) return false
  if (bytes[0] !== 0) return true
  return bytes.length >= 8 && bytes[5] === 1 && bytes[6] === 0 && bytes[7] === 0 && bytes[4] !== 0
}

/** Of 4…7 bytes a kernel looks for the version behind their end: what it logs then tells of an earlier datagram. */
function judgesStaleBytes(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && bytes.length < 8 && bytes[0] === 0
}

/** A difference begins with the key of its connection. */
function keyOf(difference: string): string {
  return difference.slice(0, difference.indexOf(': kernel'))
}
