/** Events within one thread: every subscriber gets each event, until it undoes its subscription. */

import { expect, test } from 'vitest';
import { Emitter } from '../../../src/kernel/emitter.ts';

function collecting(emitter: Emitter<[name: string, count: number]>) {
  const seen: string[] = [];
  const undo = emitter.subscribe((name, count) => seen.push(`${name} ${count}`));
  return { seen, undo };
}

test('every subscriber gets each event in the order of subscription', () => {
  const emitter = new Emitter<[name: string]>();
  const seen: string[] = [];
  emitter.emit('nobody');
  emitter.subscribe((name) => seen.push(`first ${name}`));
  emitter.subscribe((name) => seen.push(`second ${name}`));
  emitter.emit('a');
  expect(seen).toEqual(['first a', 'second a']);
});

test('an undone subscription gets nothing more, the others continue', () => {
  const emitter = new Emitter<[name: string, count: number]>();
  const [one, two] = [collecting(emitter), collecting(emitter)];
  emitter.emit('a', 1);
  one.undo();
  one.undo();
  emitter.emit('b', 2);
  expect(one.seen).toEqual(['a 1']);
  expect(two.seen).toEqual(['a 1', 'b 2']);
});

test('a function that subscribes twice is called twice, and each undo ends one subscription', () => {
  const emitter = new Emitter();
  let calls = 0;
  const count = () => {
    calls++;
  };
  const undo = emitter.subscribe(count);
  emitter.subscribe(count);
  emitter.emit();
  undo();
  emitter.emit();
  expect(calls).toBe(3);
});

test('a subscriber may undo itself during an event', () => {
  const emitter = new Emitter<[name: string, count: number]>();
  const undo = emitter.subscribe(() => undo());
  const { seen } = collecting(emitter);
  emitter.emit('a', 1);
  emitter.emit('b', 2);
  expect(seen).toEqual(['a 1', 'b 2']);
});
