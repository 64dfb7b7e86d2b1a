/**
 * The engines: state machines without I/O. Pure.
 *
 * @module
 */
export {}
