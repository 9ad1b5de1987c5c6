/** A thread's turn at its clients' input: how long it is, and when each client reads next. */

import { expect, test } from 'vitest';
import { ReadTurn, type TurnTaker } from '../../../src/kernel/turns/read-turn.ts';

const immediate = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Has so many pieces of work left, of `units` and `ms` each. */
class Worker implements TurnTaker {
  left: number;
  readonly #name: string;
  readonly #work: (name: string) => boolean;
  readonly #turn: ReadTurn;

  constructor(name: string, left: number, turn: ReadTurn, work: (name: string) => boolean) {
    this.#name = name;
    this.left = left;
    this.#turn = turn;
    this.#work = work;
  }

  onTurn(): void {
    while (this.left > 0) {
      this.left--;
      if (this.#work(this.#name) && this.left > 0) {
        this.#turn.wait(this, 1);
        return;
      }
    }
  }
}

test('is over after 15 ms, rests, continues with those that waited, in their order, and begins anew', async () => {
  let now = 1000;
  const turn = new ReadTurn(() => now);
  const done: string[] = [];
  const work = (name: string): boolean => {
    done.push(name);
    now += 5;
    return turn.worked(256);
  };
  const a = new Worker('a', 8, turn, work);
  const b = new Worker('b', 8, turn, work);
  const c = new Worker('c', 1, turn, work);
  a.onTurn();
  // The clock begins with the first piece, and is read after each.
  expect(done.join('')).toBe('aaaa');
  expect(turn.isOver).toBe(true);
  turn.wait(b, 1);
  turn.wait(c, 1);
  await immediate();
  // The time of this loop iteration is used up.
  expect(done.join('')).toBe('aaaa');
  expect(turn.isOver).toBe(true);
  await immediate();
  expect(done.join('')).toBe('aaaaaaa');
  for (let i = 0; i < 20; i++) await immediate();
  expect(done.join('')).toBe('aaaaaaabbbcabbbbb');
  expect(turn.isOver).toBe(false);
});

test('the clock is not read for little work', () => {
  let reads = 0;
  const turn = new ReadTurn(() => {
    reads++;
    return 1000 * reads;
  });
  for (let i = 0; i < 255; i++) turn.worked(1);
  expect(reads).toBe(0);
  expect(turn.isOver).toBe(false);
});

test('with too much input waiting the turn continues', () => {
  let now = 1;
  const turn = new ReadTurn(() => now);
  turn.worked(256);
  now += 15;
  expect(turn.worked(256)).toBe(true);
  const taker = { onTurn: () => undefined };
  turn.wait(taker, 63 * 1024 * 1024);
  expect(turn.isOver).toBe(true);
  turn.wait(taker, 1024 * 1024);
  expect(turn.isOver).toBe(false);
});
