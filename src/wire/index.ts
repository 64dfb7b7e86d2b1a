/**
 * The wire: bytes to values and back, for versions 0 and 1. Pure.
 *
 * @module
 */
export type * from './connection.js'
export { PROBLEMS, type Problem, type ProblemCode, type Severity } from './problems.js'
export { createRows, PRESENT, ROW, ROW_WORDS, type EngineBytes, type Rows } from './rows.js'
