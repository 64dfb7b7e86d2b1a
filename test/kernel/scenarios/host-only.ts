import { encodeMessages } from 'ipvs-sync'
import { once } from 'node:events'
import type { Lab } from '../harness/lab.js'
import { population } from '../harness/population.js'
import type { Scenario } from '../harness/scenario.js'

const GROUPS = [undefined, 'ff02::81']
const PACKAGE = import.meta.resolve('ipvs-sync')

export const scenario: Scenario = {
  title: 'what an agent brings its own kernel reaches that kernel, over IPv4 and IPv6, and no other host on the link',
  async run(lab) {
    const disagreements: string[] = []
    let compared = 0
    for (const group of GROUPS) {
      const options = { syncid: 7, ...(group !== undefined && { group }) }
      for (const host of ['backup', 'ours'] as const) lab.backup(host, options)
      const connections = population(lab.random, 1, 1).slice(0, 30)
      const messages = encodeMessages({ version: 1, syncid: 7, connections })
      await bring(lab, group, messages)
      const [own, other] = [lab.table('backup').length, lab.table('ours').length]
      if (own === 0) disagreements.push(`${group ?? 'IPv4'}: its own kernel heard nothing`)
      if (other > 0) disagreements.push(`${group ?? 'IPv4'}: another host received ${other} connections`)
      compared += own
      await lab.remove('backup')
      await lab.remove('ours')
    }
    return { compared, disagreements }
  }
}

/** Sends as an agent does what it restores: with hop limit 0, so that it does not leave the host. */
async function bring(lab: Lab, group: string | undefined, messages: readonly Uint8Array[]): Promise<void> {
  const script = `
    const { UdpSender } = await import(${JSON.stringify(PACKAGE)})
    const sender = new UdpSender({ mcastInterface: 'sync0', hostOnly: true${group === undefined ? '' : `, mcastGroup: '${group}'`} })
    await sender.start({})
    for (const hex of ${JSON.stringify(messages.map((bytes) => Buffer.from(bytes).toString('hex')))})
      sender.send(0, Uint8Array.from(Buffer.from(hex, 'hex')))
    await sender.flush()
    await sender.close()`
  const child = lab.start('backup', process.execPath, ['--input-type=module', '-e', script], 'bring')
  const [code] = (await once(child, 'exit')) as [number]
  if (code !== 0) throw new Error(`the sender ended with ${code}`)
  await lab.pause(500)
}
