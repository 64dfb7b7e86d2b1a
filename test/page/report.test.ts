// The page of `decode --format html` in Chromium: plots, problems, gaps, the search, a phone, light and dark.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { chromium, type Page } from 'playwright-core'
import t from 'tap'
import { run } from '../../src/cli/run.js'
import { testIo } from '../fixtures/support/test-io.js'

const CHROMIUM = '/usr/bin/chromium'
const QUIET =
  '--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync'
/** A name that would be markup, were it set as such. */
const NAME = '<img src=x onerror=alert(1)>.pcap'

const folder = mkdtempSync(join(tmpdir(), 'report-'))
t.teardown(() => rmSync(folder, { recursive: true }))

/** Kernel captures one after the other, the last one cut off. */
async function writeReport(): Promise<string> {
  const capture = (name: string): Buffer =>
    readFileSync(new URL(`../fixtures/captures/${name}/sync.pcap`, import.meta.url))
  const captures = ['tcp4-nat', 'sip', 'persist', 'sctp'].map(capture)
  writeFileSync(join(folder, NAME), Buffer.concat(captures).subarray(0, -40))
  const io = testIo()
  t.equal(await run(['decode', '--format', 'html', join(folder, NAME)], io), 1)
  writeFileSync(join(folder, 'report.html'), io.output())
  return pathToFileURL(join(folder, 'report.html')).href
}

t.test('the report', { skip: !existsSync(CHROMIUM) && 'chromium is missing: install chromium' }, async (t) => {
  const url = await writeReport()
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: QUIET.split(' ') })
  t.teardown(() => browser.close())
  const page: Page = await browser.newPage({ viewport: { width: 360, height: 800 }, colorScheme: 'light' })
  const faults: string[] = []
  const requests: string[] = []
  page.on('console', (message) => message.type() === 'error' && faults.push(message.text()))
  page.on('pageerror', (error) => faults.push(error.message))
  page.on('request', (request) => requests.push(request.url()))
  await page.goto(url)
  await page.waitForSelector('canvas')
  const background = (): Promise<unknown> => page.evaluate('getComputedStyle(document.body).backgroundColor')
  const isFitting = (): Promise<unknown> => page.evaluate('document.documentElement.scrollWidth <= innerWidth')

  t.equal(await page.locator('canvas').count(), 5)
  t.equal(await page.locator('img').count(), 0, 'text is not markup')
  t.match(await page.textContent('main'), NAME)
  t.equal(await isFitting(), true, 'a phone need not scroll sideways')
  t.equal(await background(), 'rgb(255, 255, 255)')
  await page.emulateMedia({ colorScheme: 'dark' })
  t.equal(await background(), 'rgb(18, 22, 28)')
  await page.setViewportSize({ width: 1100, height: 900 })
  t.equal(await isFitting(), true)
  const widths = await page.evaluate("[...document.querySelectorAll('.uplot')].map((plot) => plot.clientWidth)")
  t.ok(
    (widths as number[]).every((width) => width > 360),
    'plots grow with the window'
  )

  await page.locator('details').first().locator('summary').click()
  t.match(await page.locator('details').first().locator('tbody').textContent(), '2026-11-22T22:33:02')
  t.match(await page.textContent('main'), 'CAPTURE_TRUNCATEDdrop1the file ends inside a packet or block')
  t.match(await page.textContent('main'), '2026-11-22T22:33:48.970Z2026-11-22T22:33:56.668Z7.698', 'a gap')

  t.equal(await page.textContent('#count'), '77 of 77 connections')
  await page.fill('#search', '10.0.1.12 time_wait')
  const rows = await page.locator('#connections tr').allTextContents()
  t.ok(rows.length > 0 && rows.every((row) => row.includes('10.0.1.12') && row.includes('TIME_WAIT')))
  await page.fill('#search', 'no such address')
  t.equal(await page.textContent('#count'), '0 of 77 connections')

  t.strictSame(faults, [])
  t.strictSame(requests, [url], 'it loads nothing')
})
