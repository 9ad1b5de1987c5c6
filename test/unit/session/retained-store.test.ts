/** The retained store is bounded: what is over is refused and counted, what is there stays replaceable. */

import { expect, test } from 'vitest';
import { steadyNow } from '../../../src/kernel/clock.ts';
import { EMPTY, Message } from '../../../workers/routing/message.ts';
import { RetainedStore } from '../../../workers/session/retained-store.ts';

const message = (topic: string, text: string) => new Message(topic, Buffer.from(text), 1, true, EMPTY, 0, 'c');
const texts = (store: RetainedStore) => store.match('default', '#', steadyNow()).map(({ payload }) => payload.toString());

test('over its limit a message on a new topic is refused and counted, until one is removed', () => {
  const store = new RetainedStore(null, { messages: 2, bytes: 1_000_000 });
  store.retain('default', message('a', '1'));
  store.retain('default', message('b/c', '2'));
  store.retain('default', message('d/e', '3'));
  store.retain('default', message('b', 'a level that is there without a message'));
  expect(texts(store)).toEqual(['1', '2']);
  expect(store.count()).toEqual({ messages: 2, refused: 2 });
  store.retain('default', message('a', '4'));
  expect(texts(store)).toEqual(['4', '2']);
  store.retain('default', message('b/c', ''));
  store.retain('default', message('d/e', '5'));
  expect(texts(store)).toEqual(['4', '5']);
  expect(store.count()).toEqual({ messages: 2, refused: 2 });
});

test('over its bytes too; a message that finds no room is not given out as the one before it', () => {
  const disk = new Map<string, string>();
  const store = new RetainedStore(
    {
      putRetained: (_namespace, { topic, payload }) => void disk.set(topic, payload.toString()),
      deleteRetained: (_namespace, topic) => void disk.delete(topic),
    },
    { messages: 100, bytes: 1000 },
  );
  store.retain('default', message('a', 'x'.repeat(300)));
  store.retain('default', message('b', 'y'.repeat(250)));
  store.retain('default', message('c', 'z'));
  expect(store.count()).toEqual({ messages: 2, refused: 1 });
  store.retain('default', message('b', 'y'.repeat(400)));
  expect(texts(store)).toEqual(['x'.repeat(300)]);
  expect([...disk.keys()]).toEqual(['a']);
  expect(store.count()).toEqual({ messages: 1, refused: 2 });
  store.retain('default', message('c', 'z'));
  store.retain('default', message('a', ''));
  expect(texts(store)).toEqual(['z']);
  // What went has given its room back.
  store.retain('default', message('d', 'd'.repeat(500)));
  expect(store.count()).toEqual({ messages: 2, refused: 2 });
});

test('a topic of very many levels is kept, found, replaced, swept and removed like any other, next to the depth where the tree ends', () => {
  const store = new RetainedStore(null);
  const at = (levels: number) => Array.from({ length: levels }, () => 'l').join('/');
  const depths = [127, 128, 129, 130, 32_768];
  for (const levels of depths) store.retain('default', message(at(levels), `${levels}`));
  store.retain('default', message('/'.repeat(65_535), 'slashes'));
  expect(texts(store)).toHaveLength(6);
  const found = (filter: string) => store.match('default', filter, steadyNow()).map(({ payload }) => payload.toString());
  for (const levels of depths) {
    expect(found(at(levels))).toEqual([`${levels}`]);
    expect(found(`${at(levels - 1)}/+`)).toEqual([`${levels}`]);
    expect(found(`+/${at(levels - 1)}`)).toEqual([`${levels}`]);
    // a level above too: `#` stands for the parent
    expect(found(`${at(levels)}/#`).sort()).toEqual(
      depths
        .filter((each) => each >= levels)
        .map(String)
        .sort(),
    );
  }
  store.retain('default', message(at(130), 'new'));
  expect(found(at(130))).toEqual(['new']);
  for (const levels of depths) store.retain('default', message(at(levels), ''));
  expect(texts(store)).toEqual(['slashes']);
  expect(store.count().messages).toBe(1);
  store.retain('default', new Message('/'.repeat(65_535), Buffer.from('x'), 1, true, EMPTY, 1, 'c'));
  store.sweep(2);
  expect(store.count().messages).toBe(0);
});
