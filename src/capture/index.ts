/**
 * Captures: pcap and pcapng bytes to UDP payloads with time and addresses. Pure.
 *
 * @module
 */
export { CaptureReader } from './capture-reader.js'
export { CaptureTime } from './capture-time.js'
export type {
  CaptureCounts,
  CapturedDatagram,
  CaptureFinding,
  CaptureItem,
  Compression,
  Decompress,
  PortRange,
  ReadCaptureOptions,
  TunnelLayer
} from './items.js'
export { CAPTURE_PROBLEMS, type CaptureProblemCode } from './problems.js'
export { readCapture, type Capture, type CaptureSource } from './read-capture.js'
