/**
 * The threads that check logins: a pool that compares passwords, because each hash would block an endpoint worker, and one thread that asks
 * authenticators outside of the process.
 */

import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import { FluxError, messageOf } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { AskJob, AskNotice, AskResult } from '../../thread/access/ask.ts';
import type { VerifyJob } from '../../thread/commands.ts';

/** Jobs that may wait for a thread: about a minute of work for one thread at 50 ms a hash. */
const QUEUE_MAX = 1024;
/** A thread ends after this idle time, because many nodes never check a password. */
const IDLE_MS = 30_000;
/** Questions to authenticators at one time, and further ones that wait in main. */
const QUESTIONS_MAX = 8_192;
/** An authenticator answers within its own deadline, at most 9 s. The thread hangs when it does not. */
const ASK_TIMEOUT_MS = 10_000;

export interface AccessPool {
  /** True when the password matches. @throws FluxError `unavailable` when the queue is full, `timeout` after `timeoutMs` */
  verify(job: VerifyJob): Promise<boolean>;
  /** Puts a login to an authenticator. @throws FluxError `unavailable` when too many wait or the thread has ended, `timeout` after 10 s */
  ask(job: AskJob): Promise<AskResult>;
  close(): Promise<void>;
}

/**
 * Opens the pools; threads start with the first job.
 * @param options.url the built file whose default export compares a password
 * @param options.askUrl the built file whose default export puts a login to an authenticator
 * @param options.threads most threads, 1..
 * @param options.timeoutMs longest time from the call of verify() to its result
 */
export function openAccessPool(options: { url: URL; askUrl: URL; threads: number; timeoutMs: number; logger: Logger }): AccessPool {
  const pool = new Piscina<VerifyJob, boolean>({
    filename: fileURLToPath(options.url),
    minThreads: 0,
    maxThreads: options.threads,
    maxQueue: QUEUE_MAX,
    idleTimeout: IDLE_MS,
  });
  // A failed job rejects for its caller. This event reports a thread that ended while idle; piscina replaces the thread by itself.
  pool.on('error', (error: unknown) => options.logger.error('Auth: a thread of the password pool failed', { reason: messageOf(error) }));
  const asking = openAskingThread(options.askUrl, options.logger);
  return {
    ask: (job) => asking.ask(job),
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
      await Promise.all([pool.destroy(), asking.close()]);
    },
  };
}

/**
 * One thread for all endpoints: an authenticator has one set of connections, one limit and one circuit breaker a node. It waits for servers
 * and computes little. It lives from the first question on, because its connections and its circuit breakers must outlast a quiet hour.
 */
function openAskingThread(url: URL, logger: Logger): { ask(job: AskJob): Promise<AskResult>; close(): Promise<void> } {
  const pool = new Piscina<AskJob, AskResult>({
    filename: fileURLToPath(url),
    minThreads: 0,
    maxThreads: 1,
    concurrentTasksPerWorker: QUESTIONS_MAX,
    maxQueue: QUESTIONS_MAX,
    idleTimeout: Number.POSITIVE_INFINITY,
    // Else the thread sleeps between two tasks, and answers of servers wait for the next one.
    atomics: 'disabled',
  });
  pool.on('message', ({ level, message, fields }: AskNotice) => logger[level](message, fields));
  pool.on('error', (error: unknown) => logger.error('Auth: the asking thread failed', { reason: messageOf(error) }));
  return {
    async ask(job) {
      if (pool.queueSize >= QUESTIONS_MAX) throw new FluxError('unavailable', 'too many logins wait for an authenticator');
      // An aborted task would end the thread with all other questions, so the deadline only ends the wait.
      const result = await within(pool.run(job), ASK_TIMEOUT_MS);
      if (result.result === 'failed') {
        const { config } = job;
        const server = serverOf(config);
        logger.warn(`Auth: the authenticator ${config.authType} gives no answer`, {
          ...(server === '' ? {} : { server }),
          reason: result.reason,
        });
      }
      return result;
    },
    async close() {
      await pool.destroy();
    },
  };
}

/** The server that was asked, by an address without path and query, which may hold a secret; '' for none. */
function serverOf(config: AskJob['config']): string {
  if ('redis' in config) return config.redis.servers.join(', ');
  const url = 'datasource' in config ? config.datasource.url : 'url' in config ? config.url : '';
  return /^[^/?]*\/\/[^/?]*/.exec(url)?.[0] ?? '';
}

async function within<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new FluxError('timeout', `the asking thread did not answer within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
