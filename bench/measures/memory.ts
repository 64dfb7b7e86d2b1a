/** Bytes a connection in a table of so many, index and expiry included: `ipv4`, `ipv6`, `lru-cache`, `map` (both IPv4). */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { ConnectionTable } from 'ipvs-sync'
import { createRows, ROW } from 'ipvs-sync/wire'
import { LRUCache } from 'lru-cache'
import { connectionOf } from '../input.js'
import { given, print } from './timing.js'

const { variant, connections } = given()
setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

function used(): number {
  collect()
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

function fillTable(family: 4 | 6): ConnectionTable {
  const table = new ConnectionTable({ maxConnections: connections })
  const rows = createRows(1)
  for (let i = 0; i < connections; i++) {
    const { client, clientPort, virtual, destination } = connectionOf(i)
    const { words } = rows
    words.fill(0)
    words[ROW.FAMILY] = family
    words[ROW.PROTOCOL] = 6
    words[ROW.STATE] = 1
    words[ROW.CLIENT_PORT] = clientPort
    words[ROW.VIRTUAL_PORT] = 80
    words[ROW.TIMEOUT] = 900
    words[ROW.CLIENT] = client
    words[ROW.VIRTUAL] = virtual
    words[ROW.DESTINATION] = destination
    if (table.add(rows, 0, 1000 + i) === 0) throw new Error(`connection ${i} was refused`)
  }
  return table
}

function fillObjects(table: { set(key: string, value: object): unknown }): unknown {
  for (let i = 0; i < connections; i++) {
    const { client, clientPort, virtual, destination } = connectionOf(i)
    const key = String.fromCharCode(client >>> 16, client & 0xffff, virtual >>> 16, virtual & 0xffff, clientPort, 80, 6)
    table.set(key, {
      flags: 0x100,
      state: 1,
      fwmark: 0,
      timeout: 900,
      destination: destination | 0,
      destinationPort: 8080,
      deadline: 900_000 + i
    })
  }
  return table
}

const makers: Record<string, () => unknown> = {
  ipv4: () => fillTable(4),
  ipv6: () => fillTable(6),
  map: () => fillObjects(new Map<string, object>()),
  'lru-cache': () => fillObjects(new LRUCache<string, object>({ max: connections, ttl: 900_000 }))
}
const before = used()
const kept = makers[variant]!()
print((used() - before) / connections)
if (kept === undefined) throw new Error('nothing was kept')
