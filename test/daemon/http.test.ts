// Metrics, tables and health over HTTP, on the loopback interface.
import { connect } from 'node:net'
import t from 'tap'
import { serveHttp, type HttpView } from '../../src/daemon/http/http-server.js'
import type { MetricsSnapshot } from '../../src/daemon/http/metrics.js'
import type { TableConnection } from '../../src/wire/connection.js'

const CONNECTION: TableConnection = {
  family: 'ipv4',
  protocol: 'TCP',
  client: { address: '10.1.0.2', port: 38988 },
  virtual: { address: '10.1.0.1', port: 80 },
  destination: { address: '10.2.0.2', port: 80 },
  forwarding: 'MASQ',
  flags: ['SYNC'],
  state: 'ESTABLISHED',
  timeout: 900,
  origin: 'SYNC',
  expires: 899,
  syncid: 5
}

const SNAPSHOT: MetricsSnapshot = {
  master: { sent: [3, 0], queueLength: [1, 0], queueDropped: [0, 7] },
  backup: {
    received: [
      [1, 20],
      [0, 4]
    ],
    dropped: { SIZE_MISMATCH: 2 },
    applied: 640,
    skipped: { STATE_RANGE: 1 },
    age: { '10.9.0.1': 0.25 },
    socketDrops: 12,
    directing: false
  },
  table: [{ protocol: 'TCP', origin: 'SYNC', connections: 600 }]
}

async function serve(view: Partial<HttpView>) {
  return serveHttp(
    { port: 0 },
    { ready: () => true, connections: () => [], procLines: () => [], metrics: () => ({ table: [] }), ...view }
  )
}

async function get(url: string, method = 'GET') {
  const response = await fetch(url, { method })
  return { status: response.status, type: response.headers.get('content-type'), text: await response.text() }
}

t.test('the metrics have the names and labels that are promised', async (t) => {
  const server = await serve({ metrics: () => SNAPSHOT })
  const first = await get(`${server.url}/metrics`)
  t.match(first.type, /^text\/plain; version=0\.0\.4/)
  const samples = first.text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  t.strictSame(samples, [
    'ipvs_sync_messages_received_total{channel="0",version="0"} 1',
    'ipvs_sync_messages_received_total{channel="0",version="1"} 20',
    'ipvs_sync_messages_received_total{channel="1",version="0"} 0',
    'ipvs_sync_messages_received_total{channel="1",version="1"} 4',
    'ipvs_sync_messages_dropped_total{reason="SIZE_MISMATCH"} 2',
    'ipvs_sync_connections_applied_total 640',
    'ipvs_sync_connections_skipped_total{reason="STATE_RANGE"} 1',
    'ipvs_sync_messages_sent_total{channel="0"} 3',
    'ipvs_sync_messages_sent_total{channel="1"} 0',
    'ipvs_sync_queue_length{channel="0"} 1',
    'ipvs_sync_queue_length{channel="1"} 0',
    'ipvs_sync_queue_dropped_total{channel="0"} 0',
    'ipvs_sync_queue_dropped_total{channel="1"} 7',
    'ipvs_sync_table_connections{protocol="TCP",origin="SYNC"} 600',
    'ipvs_sync_last_message_seconds{sender="10.9.0.1"} 0.25',
    'ipvs_sync_socket_drops_total 12',
    'ipvs_sync_directing 0'
  ])
  t.equal((await get(`${server.url}/metrics`)).text, first.text, 'reading does not count')
  t.equal(first.text.match(/^# TYPE \S+_total counter$/gm)?.length, 7)
  await server.close()
})

t.test('what a role does not have is left out, not shown as 0', async (t) => {
  const server = await serve({})
  const { text } = await get(`${server.url}/metrics`)
  t.notMatch(text, /^[^#\n]/m)
  await server.close()
})

t.test('the table as JSON Lines and as the kernel prints it, a large one in pieces', async (t) => {
  const many = Array.from({ length: 1200 }, () => CONNECTION)
  const server = await serve({ connections: () => many, procLines: () => ['Pro FromIP', 'TCP 0A010002'] })
  const json = await get(`${server.url}/connections`)
  t.equal(json.type, 'application/x-ndjson')
  const lines = json.text.trimEnd().split('\n')
  t.equal(lines.length, 1200)
  t.strictSame(JSON.parse(lines[1199]!), CONNECTION)
  t.equal((await get(`${server.url}/connections?format=json`)).text, json.text)
  t.equal((await get(`${server.url}/connections?format=proc`)).text, 'Pro FromIP\nTCP 0A010002\n')
  t.strictSame(await get(`${server.url}/connections?format=xml`), {
    status: 400,
    type: 'text/plain; charset=utf-8',
    text: 'format is json or proc\n'
  })
  await server.close()
})

t.test('an empty table is an empty answer', async (t) => {
  const server = await serve({})
  t.match(await get(`${server.url}/connections`), { status: 200, text: '' })
  await server.close()
})

t.test('health is the process, readiness the sockets', async (t) => {
  let ready = false
  const server = await serve({ ready: () => ready })
  t.match(await get(`${server.url}/healthz`), { status: 200, text: 'ok\n' })
  t.match(await get(`${server.url}/readyz`), { status: 503 })
  ready = true
  t.match(await get(`${server.url}/readyz`), { status: 200, text: 'ready\n' })
  await server.close()
})

t.test('nothing else is answered, and HEAD has no body', async (t) => {
  const server = await serve({ connections: () => [CONNECTION] })
  t.match(await get(`${server.url}/`), { status: 404, text: /\/metrics/ })
  t.match(await get(`${server.url}/connections`, 'POST'), { status: 405 })
  t.match(await get(`${server.url}/connections`, 'HEAD'), { status: 200, text: '' })
  await server.close()
})

t.test('a reader who goes away, and a table that fails, end one answer and not the server', async (t) => {
  const endless = function* (): Generator<TableConnection> {
    for (;;) yield CONNECTION
  }
  let failing = false
  const server = await serve({
    connections: () => {
      if (failing) throw new Error('no table')
      return endless()
    }
  })
  const { port } = new URL(server.url)
  await new Promise<void>((resolve) => {
    const socket = connect(Number(port), '127.0.0.1', () =>
      socket.write('GET /connections HTTP/1.1\r\nhost: x\r\n\r\n')
    )
    socket.once('data', () => socket.destroy())
    socket.once('close', () => resolve())
  })
  failing = true
  await t.rejects(fetch(`${server.url}/connections`))
  t.match(await get(`${server.url}/healthz`), { status: 200 })
  await server.close()
})

t.test('a port in use is said', async (t) => {
  const server = await serve({})
  const port = Number(new URL(server.url).port)
  await t.rejects(
    serveHttp({ port }, { ready: () => true, connections: () => [], procLines: () => [], metrics: () => SNAPSHOT }),
    {
      code: 'ERR_ADDRESS_IN_USE',
      message: new RegExp(`serving HTTP at 127.0.0.1:${port}`)
    }
  )
  await server.close()
})

t.test('it listens where it is told', async (t) => {
  const view = { ready: () => true, connections: () => [], procLines: () => [], metrics: () => SNAPSHOT }
  const server = await serveHttp({ host: '0.0.0.0', port: 0 }, view)
  t.match(server.url, /^http:\/\/0\.0\.0\.0:\d+$/)
  await server.close()
  const six = await serveHttp({ host: '::1', port: 0 }, view).catch(() => undefined)
  if (six === undefined) t.pass('IPv6', { skip: 'this host has no IPv6 loopback' })
  else t.match(six.url, /^http:\/\/\[::1\]:\d+$/)
  await six?.close()
})
