/**
 * `ipvs-sync store`: converts the file of `agent --store` to JSON Lines and back.
 *
 * @module
 */

import type { Command } from 'commander'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { createStoreLoader, saveTable, type StoreLoader } from '../../daemon/table-store.js'
import { IpvsSyncError } from '../../errors.js'
import { fileFault } from '../../procfs/file-fault.js'
import { readLines } from '../../procfs/lines.js'
import { ConnectionTable } from '../../table/connection-table.js'
import { newReport, SNAPSHOT_FORMAT, SnapshotLoader, writeSnapshot } from '../../table/snapshot.js'
import { counted } from '../../text.js'
import type { Io } from '../io.js'
import { addNotes } from '../notes.js'
import { MAX_CONNECTIONS } from '../resync/stored-rows.js'

/** Bytes that tell a packed store from one of version 1. */
const STORE_WORD = 8

/** Options of the command. */
interface StoreOptions {
  readonly fromJson?: string
  readonly output?: string
}

/** Adds the argument, the options and the help. */
export function configure(command: Command): void {
  command
    .argument(
      '[file]',
      'a store (packed, or JSON of earlier versions), to be printed as JSON Lines; - for standard input'
    )
    .option('--from-json <file>', 'read JSON Lines and write a store; - for standard input')
    .option('--output <store>', 'with --from-json: the store to write; an existing file is replaced as a whole')
  addNotes(command, {
    text: [
      'The first line of the JSON Lines has the time, the last line the number of connections; "resync --source" reads them too. Without these two lines, "expires" counts from now. Connections that have expired are omitted in both directions.',
      'Exit codes: 0 converted, 2 usage or a line that is not a connection, 3 input or output, also for a damaged store. The input is never changed.'
    ],
    examples: [
      'ipvs-sync store /var/lib/ipvs-sync/table > table.jsonl',
      'ipvs-sync store --from-json table.jsonl --output /var/lib/ipvs-sync/table'
    ]
  })
}

/** Converts. */
export async function execute(command: Command, io: Io): Promise<number> {
  const [file] = command.args
  const { fromJson, output } = command.opts<StoreOptions>()
  const input = file ?? fromJson
  if (input === undefined || (file !== undefined && fromJson !== undefined))
    throw new IpvsSyncError('ERR_USAGE', 'input: expected either FILE or --from-json FILE')
  if ((fromJson === undefined) !== (output === undefined))
    throw new IpvsSyncError('ERR_USAGE', '--from-json and --output: expected both or neither')
  const name = input === '-' ? 'standard input' : input
  try {
    const source = input === '-' ? io.stdin : createReadStream(input)
    if (output === undefined) {
      const now = Date.now()
      const table = new ConnectionTable({ maxConnections: MAX_CONNECTIONS })
      let loader: StoreLoader | undefined
      let first = Buffer.alloc(0)
      for await (const piece of source) {
        const bytes =
          loader === undefined ? (first = Buffer.concat([first, piece as Uint8Array])) : (piece as Uint8Array)
        // The version is in the first bytes, which a pipe may split.
        if (bytes === first && bytes.length < STORE_WORD) continue
        loader ??= createStoreLoader(bytes, table, { now: 0, wallClock: now })
        if (!loader.push(bytes)) break
      }
      const { complete, faulty, expired } = loader?.report ?? newReport()
      if (!complete || faulty > 0)
        throw new IpvsSyncError('ERR_IO', `${name}: expected a whole store, got a damaged or truncated one`)
      const report = { expired }
      for (const chunk of writeSnapshot(table, now)) if (!io.stdout.write(chunk)) await once(io.stdout, 'drain')
      io.stderr.write(`${counted(table.size, 'connection')} printed${expiredText(report)}\n`)
    } else {
      const table = new ConnectionTable({ maxConnections: MAX_CONNECTIONS })
      const now = Date.now()
      // Loads JSON Lines; a line that is not a connection ends it.
      const loader = new SnapshotLoader(table, 0, now)
      const { report } = loader
      let isFramed: boolean | undefined
      for await (const line of readLines(source)) {
        isFramed ??= line.includes(SNAPSHOT_FORMAT)
        loader.push(Buffer.from(line, 'latin1').toString())
        const [fault] = report.faults
        if (fault !== undefined) throw new IpvsSyncError('ERR_CONFIG', `${name}:${fault.line}: ${fault.message}`)
      }
      if (isFramed === true && !report.complete)
        throw new IpvsSyncError('ERR_IO', `${name}: expected a last line that counts the connections; it is truncated`)
      await saveTable(table, output, now)
      io.stdout.write(`${counted(report.loaded, 'connection')} written to ${output}${expiredText(report)}\n`)
    }
    return 0
  } catch (cause) {
    // Errors of the output have other calls.
    if (!/^(?:open|read)$/.test((cause as NodeJS.ErrnoException).syscall ?? '')) throw cause
    throw new IpvsSyncError('ERR_IO', `${name}: ${fileFault(cause)}`, { cause })
  }
}

function expiredText({ expired }: { readonly expired: number }): string {
  return expired === 0 ? '' : ` (${expired} had expired)`
}
