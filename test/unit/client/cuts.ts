/** The ways in which a stream reaches a client: cut anywhere, in one buffer for all reads, which holds something else after each. */

import fc from 'fast-check';
import { vi } from 'vitest';
import { readTurn } from '../../../src/kernel/turns/read-turn.ts';
import type { Client } from '../../../workers/endpoint/client/client.ts';
import { settled } from './world.ts';

const shared = Buffer.alloc(1024 * 1024);

/** Where the stream is cut, and after which cuts the event loop gets its turn. */
export interface Cuts {
  lengths: number[];
  turns: boolean[];
  /** the thread's turn is over with the first thing that is done with each piece */
  isHurried?: boolean;
}

export const cuts: fc.Arbitrary<Cuts> = fc.record({
  lengths: fc.array(fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 400 }), fc.constant(65_536)), {
    minLength: 1,
    maxLength: 20,
  }),
  turns: fc.array(fc.boolean(), { minLength: 1, maxLength: 7 }),
});
export const WHOLE: Cuts = { lengths: [Number.MAX_SAFE_INTEGER], turns: [false] };
export const BYTES: Cuts = { lengths: [1], turns: [false] };
export const BYTES_APART: Cuts = { lengths: [1], turns: [...Array<boolean>(40).fill(false), true] };

/** The thread has no time for more than one piece of work of each read. */
export const HURRIED: Cuts = { lengths: [400, 30], turns: [false, false, true], isHurried: true };

/** The turn of the thread is over with the next unit of work: the clock jumps whenever it is read; it is read after the next unit of work. */
export function hurry(): void {
  if (!vi.isMockFunction(performance.now)) {
    let now = performance.now();
    vi.spyOn(performance, 'now').mockImplementation(() => {
      now += 50;
      return now;
    });
  }
  readTurn.worked(256);
  readTurn.worked(255);
}

/** Hands bytes over in pieces, as a listener does. */
export async function feed(client: Client, bytes: Buffer, { lengths, turns, isHurried = false }: Cuts): Promise<void> {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const from = i % 7;
    const end = from + bytes.copy(shared, from, at, at + Math.min(lengths[i % lengths.length]!, shared.length - from));
    if (isHurried) hurry();
    client.onData(shared, from, end);
    shared.fill(0xee, 0, end);
    at += end - from;
    if (turns[i % turns.length]) await settled();
  }
  if (!isHurried) return;
  // Every turn takes two loop iterations.
  for (let i = 0; i < 3; i++) await settled();
  vi.restoreAllMocks();
}
