/**
 * Offsets of headers and records, for modules that recognise or label messages without a reader.
 *
 * @module
 */
export { HEADER_V0, HEADER_V1 } from './header.js'
export { PARAMETER_HEADER } from './parameters.js'
export { RECORD_V0 } from './record-v0.js'
export { RECORD_V1, SIZE_MASK, TYPE_IPV6, VERSION_SHIFT } from './record-v1.js'
