/** Captures to decode: classic pcap, Ethernet, one message of 40 connections a packet, written by hand as bench/input.ts is. */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeMessages, PER_MESSAGE } from './input.js'

/** Lengths: the file's header, that of a message, a connection, and those of a packet. */
const GLOBAL = 24
const HEADER = 8
const CONNECTION = 36
const ETHERNET = 14
const IP = 20
const UDP = 8
const RECORD = 16

/** Writes a capture of so many connections into a new temporary folder, which goes with this process; its path. */
export function writeCapture(connections: number): string {
  return writeMessages(`${connections}.pcap`, makeMessages(connections))
}

/** Writes full messages in which every field of every connection is random, as far as a receiver accepts it; the path. */
export function writeRandomCapture(messages: number): string {
  return writeMessages('random.pcap', randomMessages(messages))
}

/**
 * Writes a kernel's capture again and again, each time some seconds later, until it holds so many messages; the path.
 *
 * @param kind - A folder of test/fixtures/captures.
 */
export function writeKernelCapture(kind: string, messages: number): string {
  const source = readFileSync(new URL(`../../test/fixtures/captures/${kind}/sync.pcap`, import.meta.url))
  const starts: number[] = []
  for (let at = GLOBAL; at < source.length; at += RECORD + source.readUInt32LE(at + 8)) starts.push(at)
  const [path, file] = create(`${kind}.pcap`)
  writeSync(file, source, 0, GLOBAL)
  const copy = Buffer.from(source)
  for (let written = 0; written < messages; written += starts.length) {
    const isWhole = messages - written >= starts.length
    writeSync(file, copy, GLOBAL, (isWhole ? copy.length : starts[messages - written]!) - GLOBAL)
    for (const at of starts) copy.writeUInt32LE(copy.readUInt32LE(at) + 6, at)
  }
  closeSync(file)
  return path
}

function create(name: string): [path: string, file: number] {
  const folder = mkdtempSync(join(tmpdir(), 'ipvs-sync-bench-'))
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, name)
  return [path, openSync(path, 'w')]
}

function writeMessages(name: string, messages: Iterable<Uint8Array>): string {
  const [path, file] = create(name)
  const header = new DataView(new ArrayBuffer(GLOBAL))
  header.setUint32(0, 0xa1b2c3d4)
  header.setUint16(4, 2)
  header.setUint16(6, 4)
  header.setUint32(16, 65535)
  header.setUint32(20, 1)
  writeSync(file, header)
  let number = 0
  for (const message of messages) writeSync(file, packet(message, number++))
  closeSync(file)
  return path
}

/** Protocol, and how many states it has. */
const STATES = [
  [6, 11],
  [17, 1],
  [132, 14]
] as const

function* randomMessages(messages: number): Generator<Uint8Array> {
  let x = 1
  const random = (): number => {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    return x >>> 0
  }
  for (let message = 0; message < messages; message++) {
    const [bytes = new Uint8Array()] = makeMessages(PER_MESSAGE)
    const view = new DataView(bytes.buffer)
    view.setUint8(1, random() & 255)
    for (let at = HEADER; at < bytes.length; at += CONNECTION) {
      const [protocol, states] = STATES[random() % STATES.length]!
      view.setUint8(at + 1, protocol)
      // Forwarding, and one of the flags that stand by themselves.
      view.setUint32(at + 4, (random() % 5) | [0, 0x20, 0x100, 0x800][random() & 3]!)
      view.setUint16(at + 8, random() % states)
      for (const offset of [10, 12, 14]) view.setUint16(at + offset, random() & 0xffff)
      for (const offset of [16, 20, 24, 28, 32]) view.setUint32(at + offset, random())
    }
    yield bytes
  }
}

function packet(payload: Uint8Array, number: number): Uint8Array {
  const length = ETHERNET + IP + UDP + payload.length
  const view = new DataView(new ArrayBuffer(RECORD + length))
  view.setUint32(0, 1_700_000_000 + Math.floor(number / 1000))
  view.setUint32(4, (number % 1000) * 1000)
  view.setUint32(8, length)
  view.setUint32(12, length)
  const ip = RECORD + ETHERNET
  view.setUint16(RECORD + 12, 0x0800)
  view.setUint8(ip, 0x45)
  view.setUint16(ip + 2, length - ETHERNET)
  view.setUint8(ip + 8, 1)
  view.setUint8(ip + 9, 17)
  view.setUint32(ip + 12, 0x0a090001)
  view.setUint32(ip + 16, 0xe0000051)
  view.setUint16(ip + IP, 51113)
  view.setUint16(ip + IP + 2, 8848)
  view.setUint16(ip + IP + 4, UDP + payload.length)
  const bytes = new Uint8Array(view.buffer)
  bytes.set(payload, ip + IP + UDP)
  return bytes
}
