/** The retained store is bounded: what finds no room is refused and counted, what is there stays and can be replaced by less. */

import { expect, test } from 'vitest';
import { RetainedStore } from '../../../../workers/host/retained/store.ts';
import { EMPTY, Message } from '../../../../workers/shared/messages/message.ts';

const NO_LIMIT = { messages: 1_000_000, bytes: 1_000_000_000 };

function message(topic: string, text: string, origin = 'e', expiresAt = 0): Message {
  const made = new Message(topic, Buffer.from(text), 1, true, EMPTY, expiresAt, 'c');
  made.origin = origin;
  return made;
}

function found(store: RetainedStore, filter = '#', namespace = 'default'): string[] {
  const walk = store.walk(namespace, filter);
  const texts: string[] = [];
  for (let next = walk?.step(); next !== undefined; next = walk?.step()) if (next !== null) texts.push(next.payload.toString());
  return texts;
}

test('over the limit of its endpoint a message on a new topic is refused and counted, until one is removed', () => {
  const store = new RetainedStore(null, NO_LIMIT);
  store.quota.setLimit('e', { messages: 2, bytes: 1_000_000 });
  store.retain('default', message('a', '1'));
  store.retain('default', message('b/c', '2'));
  expect(store.retain('default', message('d/e', '3'))).toEqual({ limit: 'endpoint', measure: 'messages' });
  store.retain('default', message('b', 'a level that is there without a message'));
  expect(found(store)).toEqual(['1', '2']);
  expect(store.count()).toMatchObject({ messages: 2, refused: 2, endpoints: [{ endpoint: 'e', messages: 2, refused: 2 }] });
  store.retain('default', message('a', '4'));
  expect(found(store)).toEqual(['4', '2']);
  // Another endpoint has a limit of its own, and takes over what it replaces.
  expect(store.retain('default', message('a', '5', 'other'))).toBeNull();
  expect(store.retain('default', message('d/e', '6'))).toBeNull();
  store.retain('default', message('b/c', ''));
  store.retain('default', message('d/f', '7'));
  expect(found(store)).toEqual(['5', '6', '7']);
  expect(store.count()).toMatchObject({ messages: 3, refused: 2 });
});

test('over its bytes too; the message that was there stays when its successor is refused, also on disk', () => {
  const disk = new Map<string, string>();
  const store = new RetainedStore(
    {
      putRetained: (_namespace, { topic, payload }) => void disk.set(topic, payload.toString()),
      deleteRetained: (_namespace, topic) => void disk.delete(topic),
      putDeletion() {},
      dropDeletion() {},
    },
    NO_LIMIT,
  );
  store.quota.setLimit('e', { messages: 100, bytes: 1000 });
  store.retain('default', message('a', 'x'.repeat(300)));
  store.retain('default', message('b', 'y'.repeat(250)));
  expect(store.retain('default', message('c', 'z'))).toEqual({ limit: 'endpoint', measure: 'bytes' });
  expect(store.retain('default', message('b', 'y'.repeat(400)))).toEqual({ limit: 'endpoint', measure: 'bytes' });
  expect(found(store)).toEqual(['x'.repeat(300), 'y'.repeat(250)]);
  expect([...disk]).toEqual([
    ['a', 'x'.repeat(300)],
    ['b', 'y'.repeat(250)],
  ]);
  // Lowered below what is there: what grows is refused, what shrinks is not.
  store.quota.setLimit('e', { messages: 1, bytes: 300 });
  expect(store.retain('default', message('b', 'y'.repeat(251)))).toEqual({ limit: 'endpoint', measure: 'bytes' });
  expect(store.retain('default', message('b', 'y'.repeat(249)))).toBeNull();
  expect(disk.get('b')).toBe('y'.repeat(249));
  expect(store.count().refused).toBe(3);
});

test('a namespace takes no more than it leaves free, and never what another has', () => {
  const store = new RetainedStore(null, { messages: 100, bytes: 1_000_000 });
  store.retain('victim', message('state', 'v1', 'v'));
  const fill = (namespace: string): number => {
    let kept = 0;
    while (kept < 1000 && store.retain(namespace, message(`t/${kept}`, 'x', namespace)) === null) kept++;
    return kept;
  };
  expect(fill('first')).toBe(49);
  expect(fill('second')).toBe(25);
  expect(fill('third')).toBe(12);
  // A namespace with little use finds room, whatever the others use.
  expect(store.retain('victim', message('state', 'v2 is longer', 'v'))).toBeNull();
  expect(store.retain('victim', message('more', 'x', 'v'))).toBeNull();
  expect(found(store, '#', 'victim')).toEqual(['v2 is longer', 'x']);
  expect(store.retain('first', message('another', 'x', 'first'))).toEqual({ limit: 'namespace', measure: 'messages' });
  expect(store.retain('first', message('$SYS/broker/uptime', '1', ''))).toBeNull();
  // Removed messages return their room, first to the namespace with the least use.
  for (let i = 0; i < 20; i++) store.retain('first', message(`t/${i}`, '', 'first'));
  expect(store.retain('third', message('another', 'x', 'third'))).toBeNull();
  expect(store.count().messages).toBe(29 + 25 + 13 + 2 + 1);
});

test('a topic of very many levels is kept, found, replaced, swept and removed like any other, next to the depth where the tree ends', async () => {
  const store = new RetainedStore(null);
  const at = (levels: number) => Array.from({ length: levels }, () => 'l').join('/');
  const depths = [127, 128, 129, 130, 32_768];
  for (const levels of depths) store.retain('default', message(at(levels), `${levels}`));
  store.retain('default', message('/'.repeat(65_535), 'slashes'));
  expect(found(store)).toHaveLength(6);
  for (const levels of depths) {
    expect(found(store, at(levels))).toEqual([`${levels}`]);
    expect(found(store, `${at(levels - 1)}/+`)).toEqual([`${levels}`]);
    expect(found(store, `+/${at(levels - 1)}`)).toEqual([`${levels}`]);
    // a level above too: `#` stands for the parent
    expect(found(store, `${at(levels)}/#`).sort()).toEqual(
      depths
        .filter((each) => each >= levels)
        .map(String)
        .sort(),
    );
  }
  store.retain('default', message(at(130), 'new'));
  expect(found(store, at(130))).toEqual(['new']);
  for (const levels of depths) store.retain('default', message(at(levels), ''));
  expect(found(store)).toEqual(['slashes']);
  expect(store.count().messages).toBe(1);
  store.retain('default', message('/'.repeat(65_535), 'x', 'e', 1));
  await store.sweep(2);
  expect(store.count()).toMatchObject({ messages: 0, bytes: 0 });
});
