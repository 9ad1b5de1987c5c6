/** When a silent node counts as ended: NATS says so for half a second, and its servers have been the same for a while. */

import { expect, test } from 'vitest';
import type { Presence } from '../../../src/bus/node-wire.ts';
import { Absence } from '../../../workers/relay/presence/absence.ts';

/** One other node; the functions say what NATS and the link know at each moment. */
async function run(options: {
  until: number;
  silent?: (now: number) => { ms: number; isOwing: boolean } | null;
  answer?: (now: number) => Presence;
  settled?: (now: number) => number;
  /** ms between two looks */
  step?: number;
}): Promise<{ endedAt: number | null; asked: number }> {
  let now = 10_000;
  const from = now;
  let endedAt: number | null = null;
  let asked = 0;
  const absence = new Absence({
    now: () => now,
    *silences() {
      const silence = (options.silent ?? ((at) => ({ ms: at, isOwing: true })))(now - from);
      if (silence !== null && endedAt === null) yield ['b', silence];
    },
    async presence() {
      asked++;
      return (options.answer ?? (() => 'absent' as const))(now - from);
    },
    settledMs: () => (options.settled ?? (() => 60_000))(now - from),
    onEnded() {
      endedAt = now - from;
    },
  });
  for (; now - from <= options.until; now += options.step ?? 50) {
    absence.tick();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return { endedAt, asked };
}

test('a node that owes something has ended 0.7 s after its last word, any other one 1.1 s after it', async () => {
  const owing = await run({ until: 2_000 });
  expect(owing.endedAt).toBeGreaterThanOrEqual(700);
  expect(owing.endedAt).toBeLessThanOrEqual(800);
  const idle = await run({ until: 2_000, silent: (ms) => ({ ms, isOwing: false }) });
  expect(idle.endedAt).toBeGreaterThanOrEqual(1_100);
  expect(idle.endedAt).toBeLessThanOrEqual(1_200);
});

test.each([
  ['a node that is frozen or cut off: its subscriptions are there', { answer: (): Presence => 'present' }],
  ['NATS does not answer', { answer: (): Presence => 'unknown' }],
  ['a node that looks for another NATS server', { answer: (now: number): Presence => (now % 500 < 400 ? 'absent' : 'present') }],
  ['a node that speaks', { silent: (now: number) => ({ ms: now % 600, isOwing: true }) }],
  ['the NATS servers have just changed', { settled: (now: number) => now }],
  ['a NATS server goes while it is silent', { settled: (now: number) => (now < 600 ? 60_000 : now - 600) }],
  ['no session', { silent: () => null }],
  ['this process paused, and has few answers', { step: 1_000 }],
])('a node has not ended: %s', async (_what, options) => {
  expect(await run({ until: 3_500, ...options })).toMatchObject({ endedAt: null });
});

test('a node that speaks in time costs no question', async () => {
  expect(await run({ until: 5_000, silent: (now) => ({ ms: now % 500, isOwing: false }) })).toEqual({ endedAt: null, asked: 0 });
});
