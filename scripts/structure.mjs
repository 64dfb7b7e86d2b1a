// Measures the structure of src/:
//   node scripts/structure.mjs [--list] [FOLDER]    lines, functions, private functions called once, files with one importer
// A private function is one that is not exported, or a #method. `--list` names what was counted. FOLDER is the tree to measure, `src` by default.
import { readFileSync, readdirSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import ts from 'typescript'

const list = process.argv.includes('--list')
const src = process.argv.slice(2).find((word) => !word.startsWith('-')) ?? 'src'
const files = readdirSync(src, { recursive: true }).filter((name) => name.endsWith('.ts'))
const trees = new Map(
  files.map((name) => [
    name,
    ts.createSourceFile(name, readFileSync(join(src, name), 'utf8'), ts.ScriptTarget.ES2023, true)
  ])
)

let lines = 0
const lengths = []
const privates = []
const importers = new Map(files.map((name) => [name, new Set()]))
for (const [name, tree] of trees) {
  lines += tree.text.split('\n').length - 1
  const uses = new Map()
  const declared = []
  const visit = (node) => {
    if (ts.isIdentifier(node) || ts.isPrivateIdentifier(node)) uses.set(node.text, (uses.get(node.text) ?? 0) + 1)
    if (isFunction(node) && node.body !== undefined) {
      lengths.push(lineOf(tree, node.end) - lineOf(tree, node.getStart()) + 1)
      if (isPrivate(node)) declared.push(node.name.text)
    }
    if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier !== undefined)
      note(name, node.moduleSpecifier.text)
    if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      note(name, node.arguments[0].text)
    ts.forEachChild(node, visit)
  }
  visit(tree)
  for (const helper of declared) privates.push({ name, helper, uses: uses.get(helper) - 1 })
}
const once = privates.filter(({ uses }) => uses === 1)
const single = [...importers].filter(([, by]) => by.size === 1).map(([name]) => name)
lengths.sort((a, b) => a - b)
if (list) {
  for (const { name, helper } of once) console.log(`called once: ${name} ${helper}`)
  for (const name of single) console.log(`one importer: ${name} <- ${[...importers.get(name)][0]}`)
}
console.log(
  `${files.length} files, ${lines} lines, ${lengths.length} functions (median ${lengths[lengths.length >> 1]} lines, longest ${lengths.at(-1)})`
)
console.log(
  `private functions called once: ${once.length} of ${privates.length} (${percent(once.length, privates.length)})`
)
console.log(`files with one importer: ${single.length} of ${files.length} (${percent(single.length, files.length)})`)

function isFunction(node) {
  return ts.isFunctionDeclaration(node) || ts.isMethodDeclaration(node)
}

function isPrivate(node) {
  if (ts.isMethodDeclaration(node)) return ts.isPrivateIdentifier(node.name)
  return node.name !== undefined && !node.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)
}

function note(from, specifier) {
  if (specifier === undefined || !specifier.startsWith('.')) return
  importers.get(normalize(join(dirname(from), specifier)).replace(/\.js$/, '.ts'))?.add(from)
}

function lineOf(tree, position) {
  return tree.getLineAndCharacterOfPosition(position).line
}

function percent(part, whole) {
  return `${((100 * part) / whole).toFixed(0)} %`
}
