/** Whatever is appended goes out, once and in order, however often the transport is blocked; nothing is sent while it is. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Output } from '../../../workers/endpoint/client/output/output.ts';
import type { Connection } from '../../../workers/endpoint/connection/connection.ts';
import { inTime } from '../../kit/in-time.ts';

/** Blocks on demand, and keeps what it holds where it was. */
class Transport implements Connection {
  readonly address = '127.0.0.1';
  readonly acceptedAt = 0;
  readonly #sent: Buffer[] = [];
  #held: Buffer | null = null;
  blocks = 0;
  isEnded = false;

  send(bytes: Buffer): boolean {
    expect(this.#held).toBeNull();
    expect(bytes.length).toBeGreaterThan(0);
    if (this.blocks > 0) {
      this.blocks--;
      this.#held = bytes;
      return false;
    }
    this.#sent.push(Buffer.from(bytes));
    return true;
  }

  /** False: nothing was held. */
  release(): boolean {
    if (this.#held === null) return false;
    this.#sent.push(Buffer.from(this.#held));
    this.#held = null;
    return true;
  }

  pause(): void {}

  resume(): void {}

  finish(): void {
    this.end();
  }
  end(): void {
    this.isEnded = true;
  }

  destroy(): void {}

  get sent(): Buffer {
    return Buffer.concat(this.#sent);
  }
}

const SHARED = Buffer.from(Array.from({ length: 200_000 }, (_, i) => (i * 7 + (i >> 8)) & 255));

type Step = { kind: 'share'; from: number; size: number } | { kind: 'own'; size: number } | { kind: 'turn' | 'block' | 'drain' };

const size = fc.oneof(fc.integer({ min: 1, max: 300 }), fc.constantFrom(16_383, 16_384, 20_000, 40_000));
const steps = fc.array(
  fc.oneof<fc.Arbitrary<Step>[]>(
    fc.record({ kind: fc.constant('share' as const), from: fc.constantFrom(0, 1, 300, 100_000), size }),
    fc.record({ kind: fc.constant('own' as const), size }),
    fc.record({ kind: fc.constantFrom('turn' as const, 'block' as const, 'drain' as const) }),
  ),
  { maxLength: 40 },
);

test('in order, once, and never into a blocked transport', async () => {
  const check = inTime(15_000, async (list: Step[]) => {
    const transport = new Transport();
    const out = new Output(transport);
    const wanted: Buffer[] = [];
    let next = 0;
    let pending = 0;
    for (const step of list) {
      if (step.kind === 'share') {
        // Every second one is next to the one before.
        const from = wanted.length % 2 === 0 ? step.from : next;
        next = Math.min(from + step.size, 150_000);
        if (next <= from) continue;
        out.append(SHARED, from, next);
        wanted.push(SHARED.subarray(from, next));
      } else if (step.kind === 'own') {
        const at = out.reserve(step.size);
        out.own!.fill(wanted.length & 255, at, at + step.size);
        wanted.push(Buffer.alloc(step.size, wanted.length & 255));
      } else if (step.kind === 'block') transport.blocks++;
      else if (step.kind === 'turn') await new Promise((resolve) => setImmediate(resolve));
      else if (transport.release()) out.onDrain();
      pending = wanted.reduce((sum, bytes) => sum + bytes.length, 0) - transport.sent.length;
      expect(out.pendingBytes).toBe(pending);
    }
    transport.blocks = 0;
    out.end();
    for (let i = 0; i < 3; i++) {
      await new Promise((resolve) => setImmediate(resolve));
      if (transport.release()) out.onDrain();
    }
    if (!transport.isEnded) throw new Error('not ended');
    expect(transport.sent.equals(Buffer.concat(wanted))).toBe(true);
    expect(out.pendingBytes).toBe(0);
  });
  await fc.assert(fc.asyncProperty(steps, check), { numRuns: 500 });
});
