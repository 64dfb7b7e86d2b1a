/**
 * Sealed messages: authentication, replay protection and repair for sync messages, beside kernels that know none of it.
 *
 * @module
 */
export { generateKey, Key, KeyRing, parseKeys, readKeyFile } from './keys.js'
export type { SealReport, SendReport, SequenceReport } from '../transport/transport.js'
export { SealedReceiver, type SealedReceiverOptions } from './sealed-receiver.js'
export {
  SEAL_OVERHEAD,
  SealedSender,
  type RepairCounts,
  type SealedSenderOptions,
  type TrustClock
} from './sealed-sender.js'
export type { ReplayWindow, SequenceCounts } from './replay-window.js'
export { Sealer, type SealerOptions } from './sealer.js'
export { findTrailer, removeTrailer, TRAILER_LENGTH, type Trailer } from './trailer.js'
export { Verifier, VERDICTS, type Verdict, type Verification, type VerifierOptions } from './verifier.js'
