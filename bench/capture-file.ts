/** Captures to decode: classic pcap, Ethernet, one message of 40 connections a packet, written by hand as bench/input.ts is. */
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeMessages } from './input.js'

const ETHERNET = 14
const IP = 20
const UDP = 8
const RECORD = 16

/** Writes a capture of so many connections into a new temporary folder, which goes with this process; its path. */
export function writeCapture(connections: number): string {
  const folder = mkdtempSync(join(tmpdir(), 'ipvs-sync-bench-'))
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, `${connections}.pcap`)
  const file = openSync(path, 'w')
  const header = new DataView(new ArrayBuffer(24))
  header.setUint32(0, 0xa1b2c3d4)
  header.setUint16(4, 2)
  header.setUint16(6, 4)
  header.setUint32(16, 65535)
  header.setUint32(20, 1)
  writeSync(file, header)
  makeMessages(connections).forEach((message, i) => writeSync(file, packet(message, i)))
  closeSync(file)
  return path
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
