// net.ipv4.vs: what a kernel takes and refuses (docs/protocol.md section 10), read, verified, printed.
import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import {
  applySysctl,
  findDefinition,
  parseSysctls,
  printProc,
  printSysctls,
  readSysctls,
  shortName,
  SYSCTL_DEFINITIONS,
  sysctlDefaults,
  verifySysctls,
  type Sysctls
} from '../../src/sysctl/index.js'

const INT = ['-2147483648', '2147483647']
const NO_INT = ['-2147483649', '2147483648']

/** Boundary values by variable: what a kernel takes, and what it answers with EINVAL. */
const BOUNDARIES: Readonly<Record<string, readonly [taken: readonly string[], refused: readonly string[]]>> = {
  sync_version: [
    ['0', '1'],
    ['-1', '2', '', 'x']
  ],
  sync_threshold: [
    ['0 0', '3 50', '0 1', '7 0', '2147483647 0', '2147483646 2147483647', ' 1\t2 ', '49'],
    ['1 1', '50', '-1 5', '1 -5', '5 4', '2147483648 0', '', '3,50', '1 2 3']
  ],
  sync_refresh_period: [
    ['0', '10', '21474836'],
    ['-1', '21474837', '1.5']
  ],
  sync_retries: [
    ['0', '3'],
    ['-1', '4']
  ],
  sync_ports: [
    ['1', '2', '64', '128', '1073741824'],
    ['0', '-1', '-2', '3', '6', '2147483648']
  ],
  sync_qlen_max: [
    ['0', '1', '18446744073709551615'],
    ['18446744073709551616', '1k', '-1']
  ],
  sync_sock_size: [INT, NO_INT],
  am_droprate: [INT, NO_INT],
  drop_entry: [
    ['0', '3'],
    ['-1', '4']
  ],
  drop_packet: [
    ['0', '3'],
    ['-1', '4']
  ],
  secure_tcp: [
    ['0', '3'],
    ['-1', '4']
  ],
  conntrack: [INT, NO_INT],
  lblc_expiration: [['-21474836', '21474836'], ['21474837']],
  debug_level: [
    ['0x10', '010', '-0x1'],
    ['09', '0x', '+1', '1 2', '--1']
  ],
  est_cpulist: [
    ['', '0', '0-3,6', '0-7:2/4'],
    ['x', '3-1', '0-', '1,', '-1', '0-7:2/0']
  ],
  est_nice: [
    ['-20', '19'],
    ['-21', '20', '']
  ],
  conn_lfactor: [
    ['-8', '8'],
    ['-9', '9']
  ],
  svc_lfactor: [
    ['-8', '8'],
    ['-9', '9']
  ],
  conn_max: [
    ['0', '1073741824'],
    ['-1', '1073741825']
  ]
}

t.test('boundary values are taken and refused as a kernel does', async (t) => {
  for (const [name, [taken, refused]] of Object.entries(BOUNDARIES)) {
    for (const text of taken) t.doesNotThrow(() => applySysctl(sysctlDefaults, name, text), `${name} = "${text}"`)
    for (const text of refused) {
      t.throws(
        () => applySysctl(sysctlDefaults, name, text),
        { code: 'ERR_CONFIG', field: name },
        `${name} = "${text}"`
      )
    }
  }
})

t.test('a refusal says what is accepted', async (t) => {
  t.throws(() => applySysctl(sysctlDefaults, 'sync_retries', '7'), {
    message: 'sync_retries: expected 0, 1, 2 or 3, got "7"'
  })
  t.throws(() => applySysctl(sysctlDefaults, 'sync_treshold', '3 50'), {
    message: /unknown to this version.*did you mean sync_threshold\?$/,
    field: 'sync_treshold'
  })
  t.throws(() => applySysctl(sysctlDefaults, 'net.ipv4.vs.colour', '1'), { message: /"ipvs-sync sysctl" lists/ })
})

t.test('numbers are read as the kernel reads them', async (t) => {
  const read = (text: string): number => applySysctl(sysctlDefaults, 'debug_level', text).debugLevel
  t.strictSame(['0x10', '010', '-0x1', ' 7\n', '0', '-3'].map(read), [16, 8, -1, 7, 0, -3])
  t.strictSame(applySysctl(sysctlDefaults, 'sync_threshold', '7').syncThreshold, [7, 50], 'the period stays')
  t.equal(applySysctl(sysctlDefaults, 'sync_qlen_max', '18446744073709551615').syncQlenMax, Number.MAX_SAFE_INTEGER)
})

t.test('settings are frozen, and a change makes new ones', async (t) => {
  const changed = applySysctl(sysctlDefaults, 'sync_ports', '4')
  t.equal(changed.syncPorts, 4)
  t.equal(sysctlDefaults.syncPorts, 1)
  for (const settings of [sysctlDefaults, changed]) {
    t.ok(Object.isFrozen(settings) && Object.isFrozen(settings.syncThreshold))
  }
})

t.test('settings made by hand are verified and completed', async (t) => {
  t.strictSame(verifySysctls({}), sysctlDefaults)
  t.strictSame(verifySysctls({ syncThreshold: [0, 5] }).syncThreshold, [0, 5])
  const wrong: [Partial<Sysctls>, string][] = [
    [{ syncRetries: 1.5 }, 'sync_retries'],
    [{ syncThreshold: [5, 5] }, 'sync_threshold'],
    [{ syncThreshold: 3 as unknown as [number, number] }, 'sync_threshold'],
    [{ syncPorts: NaN }, 'sync_ports'],
    [{ syncQlenMax: -1 }, 'sync_qlen_max'],
    [{ syncVersion: [1, 1] as unknown as number }, 'sync_version'],
    [{ syncThreshold: '3 50' as unknown as [number, number] }, 'sync_threshold'],
    [{ estCpulist: 3 as unknown as string }, 'est_cpulist'],
    [{ estCpulist: '3-1' }, 'est_cpulist']
  ]
  for (const [settings, field] of wrong) t.throws(() => verifySysctls(settings), { code: 'ERR_CONFIG', field }, field)
})

t.test('every variable has a definition, and every definition a variable', async (t) => {
  t.strictSame(SYSCTL_DEFINITIONS.map(({ key }) => key).sort(), Object.keys(sysctlDefaults).sort())
  t.equal(findDefinition('sync_qlen_max')?.key, 'syncQlenMax')
  t.strictSame(
    SYSCTL_DEFINITIONS.filter(({ meaning, accepted }) => meaning === '' || accepted === ''),
    []
  )
})

t.test('what running kernels printed is read whole; their defaults are ours', async (t) => {
  const captures = new URL('../fixtures/captures/', import.meta.url)
  const folders = readdirSync(captures, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  t.ok(folders.length > 10)
  for (const { name } of folders) {
    const text = readFileSync(new URL(`${name}/director.sysctl`, captures), 'utf8')
    const { findings, assignments } = readSysctls(text)
    t.strictSame([findings, assignments], [[], text.trim().split('\n').length], name)
  }
  const settings = parseSysctls(readFileSync(new URL('udp4/director.sysctl', captures), 'utf8'))
  t.strictSame(settings.syncVersion, 1)
  const untouched = readFileSync(new URL('tcp4-nat/director.sysctl', captures), 'utf8').replace(/^sync_.*\n/gm, '')
  t.strictSame(parseSysctls(untouched), sysctlDefaults)
})

t.test('sysctl.conf in all its forms', async (t) => {
  const text = [
    '# a comment = 1',
    '; another',
    '',
    'net.ipv4.vs.sync_threshold = 0 20',
    'net/ipv4/vs/sync_ports=4\r',
    '/proc/sys/net/ipv4/vs/sync_retries =2',
    'sync_version=0',
    'net.core.rmem_max = 4194304',
    '-net.ipv4.vs.no_such = 1',
    '- net.ipv4.vs.sync_refresh_period = 30'
  ].join('\n')
  const { settings, findings, assignments } = readSysctls(text)
  t.strictSame(findings, [])
  t.equal(assignments, 5)
  t.strictSame(settings, {
    ...sysctlDefaults,
    syncThreshold: [0, 20],
    syncPorts: 4,
    syncRetries: 2,
    syncVersion: 0,
    syncRefreshPeriod: 30
  })
})

t.test('wrong lines are found with their numbers; the rest holds', async (t) => {
  const { settings, findings } = readSysctls(
    'sync_ports = 3\n\nsync_version\n= 5\nsync_retries = 1\nsync threshold = 3\n'
  )
  t.strictSame(
    findings.map(({ code, line, error }) => [code, line, error.field]),
    [
      ['SYSCTL_REFUSED', 1, 'sync_ports'],
      ['SYSCTL_SYNTAX', 3, 'sync_version'],
      ['SYSCTL_SYNTAX', 4, undefined],
      ['SYSCTL_SYNTAX', 6, undefined]
    ]
  )
  t.equal(settings.syncRetries, 1)
  t.throws(() => parseSysctls('\nsync_ports = 3'), { code: 'ERR_CONFIG', field: 'sync_ports', message: /^line 2: / })
  t.throws(() => parseSysctls('= 3'), { code: 'ERR_CONFIG', field: undefined })
})

t.test('an invalid name or value is reported, not skipped', async (t) => {
  const told = (settings: object): string | undefined => {
    try {
      verifySysctls(settings)
      return undefined
    } catch (error) {
      return (error as Error).message
    }
  }
  t.equal(told({ sync_ports: 4 }), 'unknown sysctl sync_ports; did you mean syncPorts?')
  t.equal(told({ syncPort: 4 }), 'unknown sysctl syncPort; did you mean syncPorts?')
  t.equal(told({ portsOfSync: 4 }), 'unknown sysctl portsOfSync')
  t.match(told({ syncPorts: '4' }), /^sync_ports: expected a power of two .*, got the string "4"$/)
  t.match(
    told({ syncThreshold: '3 50' }),
    /^sync_threshold: expected an array of two integers.*, got the string "3 50"$/
  )
  t.match(told({ syncThreshold: ['3', 50] }), /got \["3",50\]$/)
  t.equal(told({ syncPorts: undefined }), undefined)
  t.throws(() => verifySysctls(null as never), { code: 'ERR_USAGE', field: 'sysctls' })
  t.throws(() => parseSysctls(undefined as never), { code: 'ERR_USAGE', field: 'text' })
})

t.test('printing is read back, and /proc has a tab between two numbers', async (t) => {
  const settings = verifySysctls({ syncThreshold: [0, 9], syncRefreshPeriod: 60, lblcExpiration: -5 })
  t.strictSame(parseSysctls(printSysctls(settings)), settings)
  t.match(printSysctls(settings), /^net\.ipv4\.vs\.sync_threshold = 0 9$/m)
  t.equal(printProc(settings, 'syncThreshold'), '0\t9\n')
  t.equal(printProc(settings, 'syncRefreshPeriod'), '60\n')
})

t.test('a name loses its prefix', async (t) => {
  t.strictSame(['net.ipv4.vs.a', 'net/ipv4/vs/a', '/proc/sys/net/ipv4/vs/a', 'a', 'net.ipv4/vs.a'].map(shortName), [
    'a',
    'a',
    'a',
    'a',
    'net.ipv4/vs.a'
  ])
})

t.test('limits of seconds depend on the clock of the kernel', async (t) => {
  const most = { 100: 21474836, 250: 8589934, 1000: 2147483 }
  for (const [hz, seconds] of Object.entries(most).map(([key, value]) => [Number(key), value] as const)) {
    for (const name of ['sync_refresh_period', 'lblc_expiration', 'lblcr_expiration']) {
      t.doesNotThrow(() => applySysctl(sysctlDefaults, name, String(seconds), { hz }))
      t.throws(() => applySysctl(sysctlDefaults, name, String(seconds + 1), { hz }), {
        code: 'ERR_CONFIG',
        field: name
      })
    }
    t.doesNotThrow(() => verifySysctls({ lblcExpiration: -seconds }, { hz }))
    t.throws(() => verifySysctls({ lblcExpiration: -seconds - 1 }, { hz }), {
      code: 'ERR_CONFIG',
      field: 'lblc_expiration'
    })
    const text = `sync_refresh_period = ${seconds + 1}`
    t.strictSame(
      readSysctls(text, sysctlDefaults, { hz }).findings.map(({ code }) => code),
      ['SYSCTL_REFUSED'],
      `HZ ${hz}`
    )
  }
})

t.test('variables of newer kernels are known, with the release that has them', async (t) => {
  const newer = SYSCTL_DEFINITIONS.filter(({ since }) => since !== undefined).map(({ name, since }) => [name, since])
  t.strictSame(newer, [
    ['est_cpulist', '6.2'],
    ['est_nice', '6.2'],
    ['conn_lfactor', '7.1'],
    ['svc_lfactor', '7.1'],
    ['conn_max', '7.2']
  ])
  const text = 'est_cpulist = \nest_nice = -5\nconn_lfactor=-2\nsvc_lfactor=-3\nconn_max=1000\n'
  const { settings, findings } = readSysctls(text)
  t.strictSame(findings, [])
  t.match(settings, { estCpulist: '', estNice: -5, connLfactor: -2, svcLfactor: -3, connMax: 1000 })
})

t.test('an unknown variable is a separate kind of finding, and the other lines apply', async (t) => {
  const { settings, findings, assignments } = readSysctls('net.ipv4.vs.est_nicer = 1\nsync_ports = 4\n-no_such = 1\n')
  t.strictSame(
    findings.map(({ code, line, error }) => [code, line, error.code, error.field]),
    [['SYSCTL_UNKNOWN', 1, 'ERR_CONFIG', 'est_nicer']]
  )
  t.match(findings[0]!.error.message, /unknown to this version.*did you mean est_nice\?$/)
  t.strictSame([settings.syncPorts, assignments], [4, 1])
})
