/**
 * Where a worker thread of a backup begins. Loaded by `new Worker` only: imported elsewhere, it does nothing.
 *
 * @module
 */

import { parentPort, workerData } from 'node:worker_threads'
import { BackupWorker } from './backup-worker.js'
import type { WorkerTask } from './worker-messages.js'

if (parentPort !== null) await new BackupWorker(workerData as WorkerTask, parentPort).open()
