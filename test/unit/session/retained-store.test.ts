/** The retained store is bounded: what is over is refused and counted, what is there stays replaceable. */

import { expect, test } from 'vitest';
import { EMPTY, Message } from '../../../workers/routing/message.ts';
import { RetainedStore } from '../../../workers/session/retained-store.ts';

const message = (topic: string, text: string) => new Message(topic, Buffer.from(text), 1, true, EMPTY, 0, 'c');
const texts = (store: RetainedStore) => store.match('default', '#', Date.now()).map(({ payload }) => payload.toString());

test('over its limit a message on a new topic is refused and counted, until one is removed', () => {
  const store = new RetainedStore(null, 2);
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
