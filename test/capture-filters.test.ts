// Every capture filter that the docs name or that a command gives to tcpdump, compiled by tcpdump itself.
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { captureArguments } from '../src/agent/own/own-master.js'
import { filterFor } from '../src/cli/decode/sources.js'
import { blocksOf, inlineCodeOf } from './fixtures/support/markdown.js'
import { commandsOf } from './fixtures/support/shell-words.js'

const root = join(import.meta.dirname, '..')
const pages = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md'].concat(
  readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`)
)
const skip = spawnSync('tcpdump', ['--version']).status !== 0 && 'no tcpdump: install the Debian package tcpdump'
/** Options of tcpdump that take a value. */
const WITH_VALUE = /^-\w*[BCGQWZiryswc]$/

/** The filter of a command, one word or several. */
function filterOf(words: readonly string[]): string {
  const filter: string[] = []
  for (let i = 1; i < words.length; i++) {
    const word = words[i]!
    if (WITH_VALUE.test(word)) i++
    else if (!word.startsWith('-') || filter.length > 0) filter.push(word)
  }
  return filter.join(' ')
}

function fault(filter: string, linkType: string): string {
  const { status, stderr, stdout } = spawnSync('tcpdump', ['-y', linkType, '-d', filter], { encoding: 'utf8' })
  return status === 0 && stdout.includes('ret ') ? '' : stderr
}

t.test('filters in the docs compile for the interface that they name', { skip }, (t) => {
  let found = 0
  for (const page of pages) {
    const text = readFileSync(join(root, page), 'utf8')
    const scripts = blocksOf(text)
      .filter(({ language }) => language === 'sh')
      .map(({ body }) => body)
    for (const script of [...scripts, ...inlineCodeOf(text).filter((code) => code.startsWith('tcpdump '))])
      for (const words of commandsOf(script.replaceAll('\\|', '|'))) {
        if (words[0] !== 'tcpdump') continue
        const filter = filterOf(words)
        if (filter === '') continue
        found++
        t.equal(fault(filter, words.includes('any') ? 'LINUX_SLL2' : 'EN10MB'), '', `${page}: ${filter}`)
      }
  }
  t.ok(found >= 6, `${found} filters`)
  t.end()
})

t.test('filters that decode and agent give to tcpdump compile', { skip }, (t) => {
  const ports = [[8848, 8848], [9000, 9003]] as const // prettier-ignore
  t.equal(fault(filterFor(ports), 'EN10MB'), '')
  for (const linkType of ['LINUX_SLL2', 'LINUX_SLL', 'RAW']) t.equal(fault(filterFor(ports, false), linkType), '')
  for (const mcastGroup of ['224.0.0.81', 'ff02::81']) {
    const words = captureArguments({ mcastInterface: 'eth1', mcastGroup, mcastPort: 8848 })
    t.equal(fault(filterOf(['tcpdump', ...words]), 'EN10MB'), '', mcastGroup)
  }
  t.not(fault('udp prot 8848', 'EN10MB'), '', 'a wrong filter is found')
  t.end()
})
