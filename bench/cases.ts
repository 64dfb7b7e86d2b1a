/** What is measured against what, and the targets: one list, from which bench/run.ts makes its tables. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { writeCapture, writeKernelCapture, writeRandomCapture } from './capture-file.js'
import type { Measure } from './compare.js'
import { PER_MESSAGE } from './input.js'
import { writeKernelTable } from './kernel-table-file.js'

/** A measure, less another, times a number. */
export interface Operand {
  readonly measure: string
  readonly minus?: string
  readonly times?: number
}

/** One line of the results. */
export interface Line extends Operand {
  readonly label: string
  /** By what it is divided, within each round; left out where the value itself is the result. */
  readonly over?: Operand
  /** Turns the ratio round: how many times as fast as `over`. */
  readonly faster?: boolean
  readonly most?: number
  readonly least?: number
}

/** Measures that are run in turn, and what is made of them. */
export interface Case {
  readonly title: string
  readonly unit: string
  readonly measures: readonly Measure[]
  readonly lines: readonly Line[]
  /** Less of it in a quick run: never. */
  readonly quick: boolean
  /** At most so many rounds, for what takes long. */
  readonly rounds?: number
}

/** Options of a run. */
export interface Plan {
  readonly quick: boolean
  /** Path of the C reference; undefined where there is no compiler. */
  readonly reference: string | undefined
}

/** All cases of a run. Lines whose measure cannot be run here are left out. */
export function cases({ quick, reference }: Plan): Case[] {
  const seconds = quick ? '0.25' : '1'
  const c = (name: string, ...args: string[]): Measure[] =>
    reference === undefined ? [] : [{ name, command: reference, args: [...args] }]
  const all = [
    decoding(seconds, c),
    ...(hasTshark() ? [tsharkFields(quick)] : []),
    encoding(seconds, c),
    updating(seconds, 40_000, c, true),
    updating(seconds, 1_000_000, c, false),
    director(100_000, seconds),
    memory(1_000_000),
    storing(quick ? 100_000 : 1_000_000),
    kernelTable(quick ? 100_000 : 1_000_000, c),
    ...(hasMawk() ? [dryRun(quick ? 100_000 : 1_000_000)] : []),
    giving(quick),
    ownAnnouncements(quick ? 100_000 : 1_000_000),
    master(seconds),
    draining(quick, c),
    workers(quick),
    burst(),
    zeroLoss(),
    expiry(quick ? '1' : '6', 1_000_000),
    start(),
    ...(hasTshark() && !quick ? [json(), ...KINDS.map(kind)] : [])
  ]
  return all.filter((one) => !quick || one.quick)
}

type Reference = (name: string, ...args: string[]) => Measure[]

function decoding(seconds: string, c: Reference): Case {
  return {
    title: 'Read a full message',
    unit: 'ns/connection',
    quick: true,
    measures: [
      ...c('C', 'decode', seconds),
      ...['rows', 'view', 'values', 'binary-parser'].map((name) => node(name, 'decode', name, seconds))
    ],
    lines: [
      { label: 'C', measure: 'C' },
      { label: 'rows: what the backup reads, against C', measure: 'rows', over: { measure: 'C' }, most: 2.5 },
      { label: 'view, field by field, against C', measure: 'view', over: { measure: 'C' }, most: 3 },
      { label: '`decodeMessage` to values, against C', measure: 'values', over: { measure: 'C' }, most: 18 },
      {
        label: '`decodeMessage`, times as fast as binary-parser',
        measure: 'values',
        over: { measure: 'binary-parser' },
        faster: true
      }
    ]
  }
}

/** What a person would ask tshark for: the fields that a connection has. */
const FIELDS = 'proto cport vport dport caddr vaddr daddr state type flags.v1 fwmark timeout size.v1'

function tsharkFields(quick: boolean): Case {
  const [few, more] = [20_000, quick ? 60_000 : 120_000]
  const fields = FIELDS.split(' ').flatMap((field) => ['-e', `ipvs.${field}`])
  const run = (connections: number): string[] => ['-r', writeCapture(connections), '-T', 'fields', ...fields]
  const tshark = { measure: 'tshark more', minus: 'tshark few', times: 1e6 / (more - few) }
  return {
    title: 'decodeMessage against tshark -T fields (its start-up taken off)',
    unit: 'ns/connection',
    quick: true,
    rounds: 3,
    measures: [
      node('values', 'decode', 'values', '0.5'),
      command('tshark few', 'tshark', ...run(few)),
      command('tshark more', 'tshark', ...run(more))
    ],
    lines: [
      { label: 'tshark -T fields, 13 fields', ...tshark },
      { label: '`decodeMessage`, times as fast', measure: 'values', over: tshark, faster: true, least: 100 }
    ]
  }
}

function encoding(seconds: string, c: Reference): Case {
  return {
    title: 'Write a full message',
    unit: 'ns/connection',
    quick: true,
    measures: [
      ...c('C', 'encode', seconds),
      node('writer', 'encode', 'writer', seconds),
      node('Buffer.write*', 'encode', 'buffer', seconds)
    ],
    lines: [
      { label: 'C', measure: 'C' },
      { label: '`MessageWriter`, against C', measure: 'writer', over: { measure: 'C' }, most: 3.5 },
      {
        label: '`MessageWriter`, times as fast as `Buffer.write*`',
        measure: 'writer',
        over: { measure: 'Buffer.write*' },
        faster: true,
        least: 7
      }
    ]
  }
}

function updating(seconds: string, connections: number, c: Reference, quick: boolean): Case {
  const many = String(connections)
  return {
    title: `Bring ${connections.toLocaleString('en')} connections up to date from datagrams, in random order`,
    unit: 'ns/connection',
    quick,
    measures: [
      ...c('C', 'table', seconds, many),
      ...['engine', ...(quick ? [] : IN_PLACE), 'map', 'lru-cache'].map((name) =>
        node(name, 'table', name, seconds, many)
      )
    ],
    lines: [
      { label: 'C', measure: 'C' },
      { label: '`BackupEngine.handleDatagram`, against C', measure: 'engine', over: { measure: 'C' }, most: 3 },
      timesAsFast('lru-cache with ttl', 'lru-cache', 8),
      timesAsFast('a Map of objects', 'map', 5),
      ...(quick ? [] : IN_PLACE.map((name) => timesAsFast(`${name}: objects that are there are changed`, name)))
    ]
  }
}

/** The alternatives, written with more care than most would: no object is made for what is there. */
const IN_PLACE = ['lru-cache-in-place', 'map-in-place']

function timesAsFast(what: string, measure: string, least?: number): Line {
  const line = { label: `… times as fast as ${what}`, measure: 'engine', over: { measure }, faster: true }
  return least === undefined ? line : { ...line, least }
}

function director(connections: number, seconds: string): Case {
  const many = String(connections)
  const kinds = ['tcp', 'udp', 'sctp', 'persistent', 'announcing', 'opening']
  return {
    title: `The director's model with ${connections.toLocaleString('en')} live connections`,
    unit: 'ns/packet',
    quick: true,
    rounds: 1,
    measures: kinds.map((name) => node(`model-${name}`, 'director', name, seconds, many)),
    lines: kinds.map((name) => ({ label: name, measure: `model-${name}`, most: 1000 }))
  }
}

function memory(connections: number): Case {
  const many = String(connections)
  return {
    title: `Memory of a table of ${connections.toLocaleString('en')} connections, index and expiry included`,
    unit: 'bytes/connection',
    quick: true,
    rounds: 1,
    measures: ['ipv4', 'ipv6', 'map', 'lru-cache'].map((name) => node(name, 'memory', name, '0', many)),
    lines: [
      { label: 'IPv4', measure: 'ipv4', most: 72 },
      { label: 'IPv6', measure: 'ipv6', most: 112 },
      { label: 'a Map of objects (IPv4)', measure: 'map' },
      { label: 'lru-cache with ttl (IPv4)', measure: 'lru-cache' }
    ]
  }
}

function storing(connections: number): Case {
  const measures = ['save', 'load', 'save-held', 'load-held']
  return {
    title: `A stored table of ${connections.toLocaleString('en')} connections: the file of an agent`,
    unit: 'µs/connection, or ms',
    quick: true,
    rounds: 3,
    measures: measures.map((name) => node(name, 'store', name, '0', String(connections))),
    lines: [
      { label: 'written', measure: 'save', most: 0.1 },
      { label: 'read back', measure: 'load', most: 0.5 },
      { label: 'event loop held at most, written (ms)', measure: 'save-held', most: 2 },
      { label: 'event loop held at most, read back (ms)', measure: 'load-held', most: 2 }
    ]
  }
}

/** A saved table of mixed lines. A quick run has a tenth of the lines, and targets to match. */
function kernelTable(connections: number, c: Reference): Case {
  const [file, many] = [writeKernelTable(connections), String(connections)]
  const scale = connections / 1_000_000
  return {
    title: `A saved kernel table of ${connections.toLocaleString('en')} lines: read, find, update, follow`,
    unit: 'ms of processor time',
    quick: true,
    rounds: 3,
    measures: [
      ...c('C', 'kernel-table', file),
      ...['first', 'later', 'held'].map((name) => node(name, 'kernel-table', name, file, many))
    ],
    lines: [
      { label: 'C, a later read', measure: 'C' },
      { label: 'the first read', measure: 'first', most: 800 * scale },
      { label: 'a later read', measure: 'later', most: 500 * scale },
      { label: 'a later read, against C', measure: 'later', over: { measure: 'C' }, most: 3 },
      { label: 'event loop held at most, three reads (ms)', measure: 'held', most: 20 }
    ]
  }
}

function dryRun(connections: number): Case {
  const file = writeKernelTable(connections)
  const main = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url))
  return {
    title: `resync --dry-run of ${connections.toLocaleString('en')} mixed lines, whole process`,
    unit: 'ms of processor time',
    quick: true,
    measures: [
      command('mawk', 'mawk', '{n++; s+=length($2)} END{print n,s}', file),
      command('resync', process.execPath, main, 'resync', '--source', file, '--dry-run')
    ],
    lines: [
      { label: 'mawk: lines, and length of the second column', measure: 'mawk' },
      { label: 'resync --dry-run, against mawk', measure: 'resync', over: { measure: 'mawk' }, most: 3.5 }
    ]
  }
}

/** The whole transfer between two agents, by the clock; a quick run has a tenth of the table and of the time. */
function giving(quick: boolean): Case {
  const million = quick ? 100_000 : 1_000_000
  const run = (name: string, variant: string, mix: string, buffer: number, connections: number): Measure =>
    node(name, 'give', variant, mix, String(buffer), String(connections), '26848')
  const [seconds, large] = [quick ? 0.1 : 1, 4 << 20]
  return {
    title: `An agent gives ${million.toLocaleString('en')} connections to an empty one over loopback, nothing lost`,
    unit: 's, MiB or ms',
    quick: false,
    rounds: 1,
    measures: [
      run('ipv4 large', 'seconds', 'ipv4', large, million),
      run('ipv6 large', 'seconds', 'ipv6', large, million),
      run('ipv4', 'seconds', 'ipv4', 0, million),
      run('ipv6', 'seconds', 'ipv6', 0, million),
      run('memory', 'memory', 'ipv4', large, million),
      run('memory 80k', 'memory', 'ipv4', large, 80_000),
      run('held', 'held', 'ipv4', large, million)
    ],
    lines: [
      { label: 'IPv4, 4 MiB buffers (s)', measure: 'ipv4 large', most: 10 * seconds },
      { label: 'IPv6, 4 MiB buffers (s)', measure: 'ipv6 large' },
      { label: 'IPv4, default buffers (s)', measure: 'ipv4', most: 60 * seconds },
      { label: 'IPv6, default buffers (s)', measure: 'ipv6', most: 110 * seconds },
      { label: "the responder's peak memory, with Node (MiB)", measure: 'memory', most: 200 },
      { label: 'the same with 80,000 connections (MiB)', measure: 'memory 80k', most: 160 },
      { label: "the responder's event loop held at most: reads, answer, store (ms)", measure: 'held', most: 20 }
    ]
  }
}

function ownAnnouncements(connections: number): Case {
  return {
    title: `${connections.toLocaleString('en')} connections that the own kernel's master announces, to an agent's table`,
    unit: 'µs/connection (5 are 5 % of a core at 10,000 a second)',
    quick: true,
    rounds: 1,
    measures: [node('capture', 'agent-own', 'capture', '0', String(connections))],
    lines: [{ label: 'by a capture', measure: 'capture', most: 5 }]
  }
}

function master(seconds: string): Case {
  return {
    title: "The master's decision for a packet, and its encoding, over the empty loop",
    unit: 'ns/packet',
    quick: true,
    measures: ['sent', 'not-sent', 'loop'].map((name) => node(name, 'master', name, seconds)),
    lines: [
      { label: 'a packet that is sent', measure: 'sent', minus: 'loop', most: 150 },
      { label: 'a packet that is not sent', measure: 'not-sent', minus: 'loop', most: 60 }
    ]
  }
}

function draining(quick: boolean, c: Reference): Case {
  const run = (name: string, variant: string, live: number): Measure =>
    node(name, 'drain', variant, '28848', String(live), quick ? '1' : '3')
  return {
    title: 'Drain 48,000 full datagrams from 16 filled sockets: receive, decode, apply (SyncBackup, default path)',
    unit: 'µs/datagram',
    quick: true,
    measures: [
      ...c('C', 'drain'),
      run('empty', 'empty', 40_000),
      run('40k', 'backup', 40_000),
      run('1M', 'backup', 1_000_000)
    ],
    lines: [
      { label: 'C: recvmmsg and decode', measure: 'C' },
      { label: 'an empty dgram handler', measure: 'empty' },
      {
        label: '40,000 live, as a share of the empty handler',
        measure: '40k',
        over: { measure: 'empty' },
        faster: true,
        least: 0.65
      },
      {
        label: '1,000,000 live, as a share of the empty handler',
        measure: '1M',
        over: { measure: 'empty' },
        faster: true,
        least: 0.55
      }
    ]
  }
}

/** What one thread needs of a core, and how long it took by the clock, which is as good as the machine is idle. */
function workers(quick: boolean): Case {
  const run = (name: string, count: number, by: string): Measure =>
    node(name, 'workers', '27848', String(count), by, quick ? '1' : '3')
  return {
    title: 'Two workers: 48,000 full datagrams in 16 filled sockets, 8 channels for each of two threads',
    unit: 'µs/datagram',
    quick: true,
    rounds: 3,
    measures: [
      run('one', 0, 'busiest'),
      run('two', 2, 'busiest'),
      ...(quick ? [] : [run('one by the clock', 0, 'clock'), run('two by the clock', 2, 'clock')])
    ],
    lines: [
      { label: 'one thread, processor time', measure: 'one' },
      {
        label: 'two workers, the busier one: times as fast',
        measure: 'two',
        over: { measure: 'one' },
        faster: true,
        least: 1.5
      },
      { label: 'one thread, by the clock', measure: 'one by the clock' },
      {
        label: 'two workers, by the clock: times as fast',
        measure: 'two by the clock',
        over: { measure: 'one by the clock' },
        faster: true
      }
    ]
  }
}

function zeroLoss(): Case {
  const run = (name: string, variant: string, live: number): Measure =>
    node(name, 'zero-loss', variant, '27948', String(live), '1')
  return {
    title:
      'Highest rate without loss, two processes on loopback, 4 MiB buffers, by the clock (targets 2.4 and 2.0: no gate)',
    unit: 'million connections a second',
    quick: false,
    rounds: 3,
    measures: [
      run('bare', 'bare', 40_000),
      run('master 40k', 'master', 40_000),
      run('raw 40k', 'raw', 40_000),
      run('master 1M', 'master', 1_000_000),
      run('raw 1M', 'raw', 1_000_000)
    ],
    lines: [
      { label: 'ready messages to an empty dgram handler', measure: 'bare' },
      { label: '`SyncMaster` to `SyncBackup`, 40,000 live', measure: 'master 40k' },
      { label: 'ready messages to `SyncBackup`, 40,000 live', measure: 'raw 40k' },
      { label: '`SyncMaster` to `SyncBackup`, 1,000,000 live', measure: 'master 1M' },
      { label: 'ready messages to `SyncBackup`, 1,000,000 live', measure: 'raw 1M' }
    ]
  }
}

function burst(): Case {
  return {
    title: 'A burst of 3,600 full datagrams while the backup stands still',
    unit: 'datagrams lost',
    quick: true,
    rounds: 1,
    measures: [node('4 MiB', 'burst', 'large', '28948'), node('default', 'burst', 'default', '28948')],
    lines: [
      { label: 'sync_sock_size = 4194304', measure: '4 MiB', most: 0 },
      { label: "sync_sock_size = 0 (the system's own)", measure: 'default' }
    ]
  }
}

function expiry(seconds: string, connections: number): Case {
  const many = String(connections)
  return {
    title: `Expiry of ${connections.toLocaleString('en')} connections`,
    unit: 'ms',
    quick: true,
    rounds: 3,
    measures: ['spread', 'one-second', 'steady', 'gc'].map((name) => node(name, 'expiry', name, seconds, many)),
    lines: [
      { label: 'longest tick, deadlines spread over 900 s', measure: 'spread', most: 5 },
      { label: 'longest tick, all in one second', measure: 'one-second', most: 10 },
      { label: 'share of a core, spread over 900 s (%)', measure: 'steady', most: 2 },
      { label: 'longest garbage collection while messages come', measure: 'gc', most: 2 }
    ]
  }
}

function start(): Case {
  const main = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url))
  return {
    title: 'Start of the command, processor time',
    unit: 'ms',
    quick: true,
    measures: [
      command('node', process.execPath, '-e', '0'),
      command('version', process.execPath, main, '--version'),
      command('decode', process.execPath, main, 'decode', '--format', 'json', writeCapture(PER_MESSAGE))
    ],
    lines: [
      { label: 'node -e 0', measure: 'node' },
      { label: 'ipvs-sync --version, against it', measure: 'version', over: { measure: 'node' }, most: 1.3 },
      { label: 'ipvs-sync decode of one message, against it', measure: 'decode', over: { measure: 'node' }, most: 1.3 }
    ]
  }
}

/** Whole processes, as a person would run them; memory for two lengths of a capture. */
function json(): Case {
  const main = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url))
  const [long, longer] = [writeCapture(400_000), writeCapture(1_600_000)]
  const decode = (path: string): [string, ...string[]] => [process.execPath, main, 'decode', '--format', 'json', path]
  return {
    title: 'decode --format json of 400,000 connections, whole run, processor time',
    unit: 'ms',
    quick: false,
    rounds: 3,
    measures: [
      command('ours', ...decode(long)),
      command('tshark', 'tshark', '-r', long, '-T', 'json'),
      ...(existsSync(TIME)
        ? [command('memory', '--peak', ...decode(long)), command('more memory', '--peak', ...decode(longer))]
        : [])
    ],
    lines: [
      { label: 'tshark -T json', measure: 'tshark' },
      {
        label: 'times as fast as tshark -T json',
        measure: 'ours',
        over: { measure: 'tshark' },
        faster: true,
        least: 10
      },
      { label: 'peak memory for 400,000 (MiB)', measure: 'memory' },
      { label: 'peak memory for 1,600,000 against it', measure: 'more memory', over: { measure: 'memory' }, most: 1.2 }
    ]
  }
}

/** Kinds of messages: a kernel's capture of each, and random ones. */
const KINDS = [
  ['plain UDP', 'udp4'],
  ['dual-stack TCP and UDP', 'tcp-udp6'],
  ['version 0', 'tcp4-nat-v0'],
  ['sip templates', 'sip'],
  ['persistence', 'persist'],
  ['sequence data', 'seq'],
  ['every field random', undefined]
] as const

/** What a person would ask tshark for. */
const KIND_FIELDS = `frame.number frame.time_epoch ip.src udp.srcport udp.dstport ipvs.syncid ${FIELDS.replaceAll(/\S+/g, 'ipvs.$&')}`

function kind([name, capture]: (typeof KINDS)[number]): Case {
  const main = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url))
  const write = (messages: number): string =>
    capture === undefined ? writeRandomCapture(messages) : writeKernelCapture(capture, messages)
  // The files are written when the case is run.
  const paths = new Map<number, string>()
  const file = (messages: number): string => {
    if (!paths.has(messages)) paths.set(messages, write(messages))
    return paths.get(messages)!
  }
  const [few, many] = capture === undefined ? [10_000, 40_000] : [100_000, 400_000]
  const ours = (format: string, messages = few): [string, ...string[]] => [
    process.execPath,
    main,
    'decode',
    '--format',
    format,
    file(messages)
  ]
  const against = (format: string): Line => ({
    label: `${format}, against json`,
    measure: format,
    over: { measure: 'json' },
    ...(format === 'csv' ? {} : { most: 2 })
  })
  const faster = (label: string, measure: string, over: string, least: number): Line => ({
    label,
    measure,
    over: { measure: over },
    faster: true,
    least
  })
  return {
    title: `decode of ${few.toLocaleString('en')} messages: ${name}`,
    unit: 'ms of processor time, whole process',
    quick: false,
    rounds: 3,
    get measures() {
      const fields = KIND_FIELDS.split(' ').flatMap((field) => ['-e', field])
      return [
        ...['json', 'tshark', 'table', 'hex', 'csv'].map((format) => command(format, ...ours(format))),
        command('tshark -T json', 'tshark', '-r', file(few), '-T', 'json'),
        command('tshark -T fields', 'tshark', '-r', file(few), '-T', 'fields', ...fields),
        ...(existsSync(TIME)
          ? [command('memory', '--peak', ...ours('json')), command('more memory', '--peak', ...ours('json', many))]
          : [])
      ]
    },
    lines: [
      { label: '--format json', measure: 'json' },
      faster('json, times as fast as tshark -T json', 'json', 'tshark -T json', 10),
      faster('--format tshark, times as fast as tshark -T fields with 19 fields', 'tshark', 'tshark -T fields', 3),
      ...['table', 'hex', 'csv'].map(against),
      { label: 'peak memory of json (MiB)', measure: 'memory' },
      { label: 'peak memory for 4 times as many', measure: 'more memory', over: { measure: 'memory' }, most: 1.2 }
    ]
  }
}

const TIME = '/usr/bin/time'

function hasTshark(): boolean {
  return spawnSync('tshark', ['--version'], { stdio: 'ignore' }).status === 0
}

function hasMawk(): boolean {
  return spawnSync('mawk', ['BEGIN{}'], { stdio: 'ignore' }).status === 0
}

function node(name: string, program: string, ...args: string[]): Measure {
  const path = fileURLToPath(new URL(`measures/${program}.js`, import.meta.url))
  return { name, command: process.execPath, args: [path, ...args] }
}

function command(name: string, ...words: readonly string[]): Measure {
  return node(name, 'command', ...words)
}
