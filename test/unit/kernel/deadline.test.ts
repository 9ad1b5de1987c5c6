/** Waits with a time limit: what comes in time counts, what comes late does not, and nothing of it is left over. */

import { expect, test } from 'vitest';
import { Deadline, pause, within } from '../../../src/kernel/deadline.ts';

const never = new Promise<never>(() => {});
const after = (ms: number) => new Promise<string>((resolve) => setTimeout(resolve, ms, 'done'));
const late = () => new Error('too late');

test('within: the outcome, or the error of being late', async () => {
  await expect(within(1_000, after(5), late)).resolves.toBe('done');
  await expect(within(1_000, Promise.reject(new Error('its own')), late)).rejects.toThrow('its own');
  await expect(within(20, never, late)).rejects.toThrow('too late');
});

test('within: a failure that comes late is nobody’s', async () => {
  const unheard: unknown[] = [];
  const listen = (reason: unknown): void => void unheard.push(reason);
  process.on('unhandledRejection', listen);
  const work = after(30).then(() => Promise.reject(new Error('afterwards')));
  await expect(within(5, work, late)).rejects.toThrow('too late');
  await after(60);
  process.off('unhandledRejection', listen);
  expect(unheard).toEqual([]);
});

test('a deadline is a moment: each wait below it has what is left', async () => {
  const far = new Deadline(60_000);
  expect(await far.reaches(after(5))).toBe(true);
  expect(far.leftMs).toBeLessThan(60_000);
  expect(() => far.check('It')).not.toThrow();
  const near = new Deadline(20);
  expect(await near.reaches(never)).toBe(false);
  expect(near.leftMs).toBe(1);
  // A timer may be early by less than a millisecond.
  await after(5);
  expect(() => near.check('It')).toThrow('It took too long; nothing was changed');
});

test('a pause ends early when it is called off', async () => {
  const off = new AbortController();
  const paused = pause(60_000, off.signal);
  off.abort();
  await paused;
  await pause(60_000, off.signal);
});
