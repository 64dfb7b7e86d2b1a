import { createSocket } from 'node:dgram'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { generateKey } from 'ipvs-sync/trust'
import { compareTables } from '../harness/kernel-table.js'
import type { Lab } from '../harness/lab.js'
import { RelaySite } from '../harness/relay-site.js'
import type { Scenario } from '../harness/scenario.js'
import { KINDS, Player, SERVICES } from '../harness/traffic.js'
import { comparable } from '../harness/two-directors.js'

const SITES = ['director', 'backup'] as const
const FORGED = 10_000
/** Longer than a kernel's open buffer lives. */
const FLUSH_MS = 3400
export const scenario: Scenario = {
  title: 'two kernel directors without a common group: an encrypted UDP relay makes their tables equal',
  timeLimit: 90,
  async run(lab) {
    const notes: string[] = []
    const disagreements: string[] = []
    const cannon = await lab.director(SERVICES)
    lab.namespace('backup')
    lab.sysctl('director', { 'net.ipv4.vs.sync_threshold': '0 1' })
    const key = join(lab.folder, 'key')
    writeFileSync(key, `${generateKey()}\n`, { mode: 0o600 })
    const sites = SITES.map((name) => {
      const link = `udp://10.9.0.${name === 'director' ? 2 : 1}`
      return new RelaySite(lab, name, { words: ['--link', link, '--key-file', key] })
    })
    for (const site of sites) await site.listening()
    const capture = join(lab.folder, 'link.pcap')
    lab.start('root', 'tcpdump', ['-U', '-i', 'sync0', '-w', capture, 'udp port 8850'], 'tcpdump')
    await lab.until('tcpdump listens', () => existsSync(capture) && readFileSync(capture).length >= 24)
    const players = KINDS.flatMap((kind, number) =>
      Array.from({ length: 3 }, (_, twin) => new Player(lab, cannon, kind, 0x300 + number, 3000 + 8 * number + twin, 4))
    )
    for (const player of players) for (let step = 0; step < 6 && player.more; step++) await player.play()
    await lab.pause(FLUSH_MS)
    const differences = (): string[] =>
      compareTables(comparable(lab.table('director')), comparable(lab.table('backup')))
    // What is not equal in time is compared below, line by line.
    await lab.until('the tables are equal', () => differences().length === 0, 10).catch(() => undefined)
    const [there, here] = [lab.table('director'), lab.table('backup')]
    notes.push(`${there.length} connections at one site, ${here.length} at the other`)
    if (there.length < KINDS.length) disagreements.push(`the director made ${there.length} connections only`)
    disagreements.push(...compareTables(comparable(there), comparable(here)))
    const wire = readFileSync(capture)
    notes.push(`${wire.length} bytes on the link`)
    if (wire.length < 1000) disagreements.push(`the link carried ${wire.length} bytes only`)
    if (wire.includes(Buffer.from([10, 1, 0, 100]))) disagreements.push('the virtual address is readable on the link')
    await forge(lab, wire)
    disagreements.push(
      ...compareTables(comparable(here), comparable(lab.table('backup'))).map((line) => `forged: ${line}`)
    )
    const refusals = printed(lab, 'relay-backup')
      .split('\n')
      .filter((line) => line.includes('refused'))
    if (refusals.length === 0) disagreements.push('no refusal was reported')
    notes.push(`${FORGED} forged, replayed, cut and altered datagrams: ${refusals.at(-1)?.trim() ?? 'no refusal'}`)
    return { compared: there.length + here.length, disagreements, notes }
  }
}

/** Replays, cuts and alters what the link carried, and sends what it never carried. */
async function forge(lab: Lab, wire: Buffer): Promise<void> {
  const frames: Buffer[] = []
  for (let at = 24; at + 16 <= wire.length;) {
    const length = wire.readUInt32LE(at + 8)
    frames.push(wire.subarray(at + 16 + 14 + 20 + 8, at + 16 + length))
    at += 16 + length
  }
  const socket = createSocket('udp4')
  for (let number = 0; number < FORGED; number++) {
    const frame = Buffer.from(frames[number % frames.length]!)
    const kind = number % 4
    if (kind === 1) frame[lab.random.below(frame.length)]! ^= 1 + lab.random.below(255)
    const bytes = kind === 2 ? frame.subarray(0, lab.random.below(frame.length)) : frame
    if (kind === 3) frame.fill(number & 255, 36)
    await new Promise<void>((resolve) => {
      socket.send(bytes, 8850, '10.9.0.2', () => resolve())
    })
    if (number % 200 === 0) await lab.pause(5)
  }
  socket.close()
  await lab.pause(500)
}

function printed(lab: Lab, name: string): string {
  const file = join(lab.folder, `${name}.log`)
  return existsSync(file) ? readFileSync(file, 'utf8') : ''
}
