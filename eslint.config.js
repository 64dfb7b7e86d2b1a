import js from '@eslint/js'
import tseslint from 'typescript-eslint'

// Rank, low to high. A file imports its own folder or a lower rank, never higher (test/architecture.test.ts reads the
// import lines and holds the same). `wire`, `sysctl`, `table`, `engine` and `capture` are pure.
const MAY_IMPORT = {
  wire: [],
  sysctl: ['wire'],
  table: ['wire'],
  engine: ['wire', 'sysctl', 'table'],
  capture: ['wire'],
  'agent/protocol': ['wire', 'sysctl', 'table', 'engine'],
  files: ['wire', 'capture'],
  director: ['wire', 'sysctl', 'table', 'engine', 'capture'],
  transport: ['wire', 'sysctl'],
  procfs: ['wire', 'sysctl', 'table'],
  trust: ['wire', 'transport'],
  daemon: ['trust', 'wire', 'sysctl', 'table', 'engine', 'capture', 'transport', 'procfs'],
  agent: ['agent/protocol', 'trust', 'wire', 'sysctl', 'table', 'engine', 'capture', 'transport', 'procfs', 'daemon'],
  relay: ['trust', 'wire', 'table', 'engine', 'transport', 'daemon'],
  cli: [
    'files',
    'relay',
    'director',
    'agent',
    'agent/protocol',
    'trust',
    'wire',
    'sysctl',
    'table',
    'engine',
    'capture',
    'transport',
    'procfs',
    'daemon'
  ]
}
const PURE = ['wire', 'sysctl', 'table', 'engine', 'capture', 'agent/protocol', 'director']
const NOT_PURE = 'A pure folder does no I/O and reads no clock: bytes, time and chance are passed in.'

const layering = Object.entries(MAY_IMPORT).map(([folder, lower]) => ({
  files: [`src/${folder}/**/*.ts`],
  rules: {
    'no-restricted-imports': [
      'error',
      {
        patterns: [
          ...(PURE.includes(folder) ? [{ group: ['node:*'], message: NOT_PURE }] : []),
          ...Object.keys(MAY_IMPORT)
            .filter((other) => other !== folder && !lower.includes(other) && !folder.startsWith(`${other}/`))
            .map((other) => ({
              group: [`../${other}/**`, `../../${other}/**`, `../../../${other}/**`],
              message: `${folder} may not import ${other}: imports go down the ranks only.`
            })),
          { group: ['../index.js', '../../index.js'], message: 'Import the module, not the public face.' }
        ]
      }
    ]
  }
}))

export default tseslint.config(
  { ignores: ['lib', '.build', '.tap', 'docs/api', 'node_modules', 'scratch'] },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      // noUncheckedIndexedAccess makes every read of a typed array `number | undefined`; `!` marks a read whose index is known to be good.
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      'max-lines-per-function': ['error', { max: 60, skipComments: true, skipBlankLines: true }],
      'max-lines': ['error', { max: 500, skipBlankLines: true }],
      'no-console': 'error'
    }
  },
  ...layering,
  {
    files: PURE.map((folder) => `src/${folder}/**/*.ts`),
    rules: {
      'no-restricted-globals': [
        'error',
        ...[
          'Buffer',
          'process',
          'console',
          'performance',
          'setTimeout',
          'setInterval',
          'setImmediate',
          'queueMicrotask',
          'crypto'
        ].map((name) => ({ name, message: NOT_PURE }))
      ],
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now', message: NOT_PURE },
        { object: 'Math', property: 'random', message: NOT_PURE }
      ]
    }
  },
  {
    files: ['test/**/*.ts', 'bench/**/*.ts', 'examples/**/*.ts'],
    rules: {
      // tap's t.test returns a promise that the runner itself follows.
      '@typescript-eslint/no-floating-promises': 'off',
      '@typescript-eslint/require-await': 'off',
      // A test body is a flat list of claims.
      'max-lines-per-function': 'off',
      'max-lines': 'off',
      '@typescript-eslint/explicit-module-boundary-types': 'off'
    }
  },
  {
    files: ['bench/**/*.ts', 'examples/**/*.ts', 'test/kernel/**/*.ts', 'test/fuzz/**/*.ts'],
    rules: { 'no-console': 'off' }
  },
  {
    files: ['scripts/**/*.mjs', 'examples/**/*.mjs', '*.js'],
    languageOptions: {
      globals: {
        AbortController: 'readonly',
        console: 'readonly',
        fetch: 'readonly',
        process: 'readonly',
        URL: 'readonly'
      }
    }
  }
)
