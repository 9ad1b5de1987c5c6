/** The pool of threads that compare passwords: without it, each hash would block an endpoint worker. */

import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import { FluxError, messageOf } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { VerifyJob } from '../../thread/commands.ts';

/** Jobs that may wait for a thread: about a minute of work for one thread at 50 ms a hash. */
const QUEUE_MAX = 1024;
/** A thread ends after this idle time, because many nodes never check a password. */
const IDLE_MS = 30_000;

export interface AccessPool {
  /** True when the password matches. @throws FluxError `unavailable` when the queue is full, `timeout` after `timeoutMs` */
  verify(job: VerifyJob): Promise<boolean>;
  close(): Promise<void>;
}

/**
 * Opens the pool; threads start with the first job.
 * @param options.url the built file whose default export does one job
 * @param options.threads most threads, 1..
 * @param options.timeoutMs longest time from the call of verify() to its result
 */
export function openAccessPool(options: { url: URL; threads: number; timeoutMs: number; logger: Logger }): AccessPool {
  const pool = new Piscina<VerifyJob, boolean>({
    filename: fileURLToPath(options.url),
    minThreads: 0,
    maxThreads: options.threads,
    maxQueue: QUEUE_MAX,
    idleTimeout: IDLE_MS,
  });
  // A failed job rejects for its caller. This event reports a thread that ended while idle; piscina replaces the thread by itself.
  pool.on('error', (error: unknown) => options.logger.error('Auth: a thread of the password pool failed', { reason: messageOf(error) }));
  return {
    async verify(job) {
      if (pool.queueSize >= QUEUE_MAX) throw new FluxError('unavailable', 'too many logins wait for their password check');
      const signal = AbortSignal.timeout(options.timeoutMs);
      try {
        return await pool.run(job, { signal });
      } catch (error) {
        if (signal.aborted) throw new FluxError('timeout', `a password check took longer than ${options.timeoutMs} ms`, { cause: error });
        throw error;
      }
    },
    async close() {
      await pool.destroy();
    },
  };
}
