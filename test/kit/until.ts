/** Waiting with a deadline: polls a condition or limits a promise; also makes unique names for topics and clients. */

import { patience } from './load.ts';

/** Time between two looks of quiet(), milliseconds. */
const QUIET_LOOK_MS = 20;

/** Resolves after `ms` milliseconds. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * Waits `ms` in which something must not happen, for which no condition can be polled. A busy machine makes such a test weaker, never
 * red.
 * @param what the event that must not happen
 * @param happened true when it has happened; absent: the caller looks afterwards
 * @throws Error as soon as it has
 */
export async function quiet(ms: number, what: string, happened: () => boolean = () => false): Promise<void> {
  const end = performance.now() + ms;
  do {
    await sleep(Math.min(QUIET_LOOK_MS, ms));
    if (happened()) throw new Error(`${what}: it must not happen, and did within ${ms} ms`);
  } while (performance.now() < end);
}

/**
 * Calls `probe` every `everyMs` until it returns a truthy value, and returns that value.
 * An error in the probe counts as "not yet"; the final error shows the last one.
 * @param timeoutMs default: 5 s of an idle machine
 * @throws Error after `timeoutMs`
 */
export async function until<T>(
  what: string,
  probe: () => T | Promise<T>,
  timeoutMs = patience(5000),
  everyMs = 20,
): Promise<NonNullable<T>> {
  const end = performance.now() + timeoutMs;
  let last: unknown = 'false';
  for (;;) {
    try {
      const value = await probe();
      if (value) return value as NonNullable<T>;
      last = value;
    } catch (error) {
      last = error;
    }
    if (performance.now() > end) {
      throw new Error(`${what}: not within ${timeoutMs} ms, last: ${last instanceof Error ? last.message : JSON.stringify(last)}`);
    }
    await sleep(everyMs);
  }
}

/** Resolves with the promise, or rejects after `timeoutMs` with an error that names `what`. */
export async function within<T>(what: string, timeoutMs: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

let counter = 0;

/** A unique name of letters and digits, at most 23 characters (the longest client identifier that every server must accept). */
export function uid(prefix = 't'): string {
  counter++;
  return `${prefix}${process.pid.toString(36)}x${counter.toString(36)}x${Math.floor(Math.random() * 46655).toString(36)}`;
}
