import type { ChildProcess } from 'node:child_process'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Holding } from './echo.js'
import type { Lab, Namespace } from './lab.js'

/** A namespace that can be a director here. */
export type Director = Exclude<Namespace, 'root' | 'probe'>

/** How live connections are held. */
export interface Hold {
  readonly port: number
  readonly connections: number
  /** Milliseconds between two lines of each; 0: one line, then none until {@link LivePath.resume}. */
  readonly beat: number
}

const DIRECTORS: readonly Director[] = ['director', 'backup', 'ours']
const ECHO = fileURLToPath(new URL('echo.js', import.meta.url))

/**
 * A client (10.1.9.9) and a real server (10.2.9.9), each with a link to every director that was attached; routes say which
 * director is in use. The virtual address is 10.1.0.100.
 */
export class LivePath {
  readonly #lab: Lab
  readonly #services: readonly string[]
  readonly #holders: { readonly child: ChildProcess; readonly file: string }[] = []

  /**
   * @param ports - TCP ports of the services.
   * @param persistent - Those of them that are persistent.
   */
  constructor(lab: Lab, ports: readonly number[], persistent: readonly number[] = []) {
    this.#lab = lab
    this.#services = ports.flatMap((port) => [
      `-A -t 10.1.0.100:${port} -s rr${persistent.includes(port) ? ' -p 300' : ''}`,
      `-a -t 10.1.0.100:${port} -r 10.2.9.9:${port} -m`
    ])
    for (const name of ['client', 'server']) lab.sh('root', `ip netns add ${name}; ip -n ${name} link set lo up`)
    lab.sh('client', 'ip addr add 10.1.9.9/32 dev lo')
    lab.sh('server', 'ip addr add 10.2.9.9/32 dev lo')
    lab.start('server', process.execPath, [ECHO, 'serve', ...ports.map(String)], 'serve')
  }

  /** Makes a director, its links and its services; anew after the laboratory removed it. */
  attach(director: Director): void {
    const lab = this.#lab
    const index = DIRECTORS.indexOf(director)
    lab.namespace(director)
    for (const [net, end] of [
      [1, 'client'],
      [2, 'server']
    ] as const) {
      const link = `10.${net}.${index + 1}`
      lab.sh('root', `ip link add ${end} netns ${director} type veth peer name d${index} netns ${end}`)
      lab.sh(director, `ip addr add ${link}.1/24 dev ${end}; ip link set ${end} up`)
      lab.sh(end, `ip addr add ${link}.2/24 dev d${index}; ip link set d${index} up`)
      lab.sh(director, `ip route add 10.${net}.9.9/32 via ${link}.2`)
    }
    lab.sh(director, 'ip addr add 10.1.0.100/32 dev lo')
    lab.sysctl(director, { 'net.ipv4.ip_forward': 1, 'net.ipv4.conf.all.rp_filter': 0 })
    lab.services(director, this.#services)
  }

  /** Both the client's way to the address and the server's way back lead through one director from now on. */
  switchTo(director: Director): void {
    const link = 1 + DIRECTORS.indexOf(director)
    this.#lab.sh('client', `ip route replace 10.1.0.100/32 via 10.1.${link}.1 src 10.1.9.9`)
    this.#lab.sh('server', `ip route replace 10.1.9.9/32 via 10.2.${link}.1 src 10.2.9.9`)
  }

  /** Ends the connections that are held. */
  release(): void {
    for (const { child, file } of this.#holders.splice(0)) {
      child.kill('SIGKILL')
      for (const path of [file, `${file}.resume`]) rmSync(path, { force: true })
    }
  }

  /** Lets the quiet connections of a port send again. */
  resume(port: number): void {
    writeFileSync(join(this.#lab.folder, `holding-${port}.resume`), '')
  }

  /** Opens connections; resolves when a line of each has come back. Returns what looks at them. */
  async hold({ port, connections, beat }: Hold): Promise<() => Holding> {
    const file = join(this.#lab.folder, `holding-${port}`)
    const words = ['10.1.0.100', port, connections, '10.1.9.9', file, beat].map(String)
    const child = this.#lab.start('client', process.execPath, [ECHO, 'hold', ...words], `hold-${port}`)
    this.#holders.push({ child, file })
    const look = (): Holding => JSON.parse(readFileSync(file, 'utf8')) as Holding
    await this.#lab.until(
      `connections to port ${port} live`,
      () => existsSync(file) && look().echoes.every((count) => count > 0),
      40
    )
    return look
  }
}
