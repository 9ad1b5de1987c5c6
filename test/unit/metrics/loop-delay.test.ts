/** The probe for event-loop delays: it sees a block, tells it for a while to whoever asks, and leaves an idle thread alone. */

import { expect, test } from 'vitest';
import { LoopDelay, PROBE_MS } from '../../../src/metrics/loop-delay.ts';
import { until } from '../../kit/until.ts';

function block(ms: number): void {
  const endsAt = performance.now() + ms;
  while (performance.now() < endsAt);
}

test('sees a block that begins with the input, and one that begins later', async () => {
  const delay = new LoopDelay();
  delay.touch();
  block(120);
  await until('the probe', () => delay.read().blocks === 1);
  const { max, p99 } = delay.read();
  expect(max).toBeGreaterThanOrEqual(120 - 2 * PROBE_MS);
  expect(p99).toBeGreaterThan(50);
  delay.touch();
  setTimeout(() => block(200), 2);
  await until('the second probe', () => delay.read().max >= 200 - 2 * PROBE_MS);
  expect(delay.read().blocks).toBeGreaterThanOrEqual(2);
});

test('is not reset by reading, and forgets after two windows', async () => {
  const delay = new LoopDelay(600);
  delay.touch();
  block(100);
  await until('the probe', () => delay.read().max > 50);
  expect(delay.read().max).toBe(delay.read().max);
  await until('it to be forgotten', () => delay.read().max === 0);
  expect(delay.read().blocks).toBe(1);
});

test('has no timer while nothing comes', async () => {
  const delay = new LoopDelay();
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const before = timers();
  expect(delay.read()).toEqual({ p99: 0, max: 0, blocks: 0 });
  delay.touch();
  // The timer is there without keeping the thread alive.
  expect(timers()).toBe(before);
});
