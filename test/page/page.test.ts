// The page at `/` of the HTTP port: its headers and stream, and the page itself in Chromium.
import { existsSync } from 'node:fs'
import { chromium } from 'playwright-core'
import t from 'tap'
import { serveHttp, type HttpServer } from '../../src/daemon/http/http-server.js'
import { LivePage, sampleOf } from '../../src/daemon/page/live-page.js'
import type { ServerResponse } from 'node:http'

const CHROMIUM = '/usr/bin/chromium'
let received = 0

async function serve(): Promise<HttpServer> {
  return serveHttp(
    { port: 0 },
    {
      ready: () => true,
      status: () => 'ready: table <b>complete</b>',
      connections: () => [],
      procLines: () => [],
      metrics: () => ({
        master: { sent: [3], queueLength: [0], queueDropped: [1], undelivered: [0], sendErrors: {} },
        backup: {
          received: [[0, (received += 10)]],
          dropped: { OTHER_SYNCID: 2 },
          beyondPorts: 0,
          senders: 1,
          applied: 40,
          skipped: { TABLE_FULL: 1 },
          age: { '10.9.0.1': 0.5 },
          socketDrops: 4,
          directing: true
        },
        table: [{ protocol: 'TCP', origin: 'SYNC', connections: 600 }]
      })
    }
  )
}

t.test('the page and its parts come with a policy that lets in nothing foreign', async (t) => {
  const server = await serve()
  for (const [path, type] of [
    ['/', 'text/html'],
    ['/page.js', 'text/javascript'],
    ['/page.css', 'text/css'],
    ['/uplot.js', 'text/javascript'],
    ['/uplot.css', 'text/css'],
    ['/uplot.js', 'text/javascript']
  ] as const) {
    const response = await fetch(server.url + path)
    const text = await response.text()
    t.equal(response.status, 200)
    t.match(response.headers.get('content-type'), type)
    t.match(response.headers.get('content-security-policy'), "default-src 'none'")
    if (path === '/' || path.startsWith('/page')) t.notMatch(text, /https?:/, `${path} names no other host`)
  }
  t.equal((await fetch(server.url, { method: 'HEAD' })).status, 200)
  const head = await fetch(`${server.url}/events`, { method: 'HEAD' })
  t.equal(head.headers.get('content-type'), 'text/event-stream')
  await server.close()
})

t.test('the stream begins with the history; a limited number of pages may be open', async (t) => {
  const server = await serve()
  const open: ReadableStreamDefaultReader<Uint8Array>[] = []
  for (let i = 0; i < 8; i++) open.push((await fetch(`${server.url}/events`)).body!.getReader())
  const first = new TextDecoder().decode((await open[0]!.read()).value)
  t.match(first, /^event: history\ndata: \[\{"time":\d+,"ready":true/)
  t.equal((await fetch(`${server.url}/events`)).status, 503)
  await server.close()
})

t.test('samples are taken at intervals, and a stream that blocks is closed', async (t) => {
  const written: string[] = []
  let destroyed = 0
  const stream = {
    writeHead: () => stream,
    once: () => stream,
    write: (text: string) => written.push(text) === 1,
    destroy: () => (destroyed += 1),
    end: () => undefined
  }
  let sample = (): void => undefined
  let isStopped = false
  let isReadable = true
  const metrics = (): { table: [] } => {
    if (isReadable) return { table: [] }
    throw new Error('a worker has ended')
  }
  const page = new LivePage({ ready: () => isReadable, metrics }, (callback) => {
    sample = callback
    return () => (isStopped = true)
  })
  page.answer('/events', 'GET', stream as unknown as ServerResponse)
  for (let i = 0; i < 730; i++) sample()
  const before = written.length
  isReadable = false
  sample()
  t.equal(written.length, before, 'counters that cannot be read leave a gap')
  page.close()
  t.ok(isStopped)
  t.match(written[1], 'event: sample')
  t.ok(destroyed > 0)
  t.match(sampleOf({ ready: () => true, metrics: () => ({ table: [] }) }, 5), {
    time: 5,
    status: 'ready',
    received: 0,
    sent: 0
  })
})

t.test('in Chromium', { skip: !existsSync(CHROMIUM) && 'chromium is missing: install chromium' }, async (t) => {
  const server = await serve()
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync'
    ]
  })
  try {
    const page = await browser.newPage({ viewport: { width: 360, height: 800 } })
    const faults: string[] = []
    page.on('console', (message) => {
      if (message.type() === 'error') faults.push(message.text())
    })
    page.on('pageerror', (error) => faults.push(error.message))
    await page.goto(server.url)
    await page.waitForSelector('canvas')
    t.equal(await page.textContent('#status'), 'ready: table <b>complete</b>', 'text is not markup')
    t.match(await page.textContent('#figures'), 'Connections600')
    t.match(await page.textContent('#senders'), '10.9.0.1')
    t.equal(await page.locator('section details table').count(), 3, 'a table behind each plot')
    t.equal(
      await page.evaluate('document.documentElement.scrollWidth <= innerWidth'),
      true,
      'a phone need not scroll sideways'
    )
    await page.emulateMedia({ colorScheme: 'dark' })
    t.equal(await page.evaluate('getComputedStyle(document.body).backgroundColor'), 'rgb(20, 23, 26)')
    t.strictSame(faults, [])
  } finally {
    await browser.close()
    await server.close()
  }
})
