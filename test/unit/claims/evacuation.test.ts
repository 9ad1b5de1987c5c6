/** Sessions leave a node that stops: to the nodes that take them, in turns, as far as the time allows. */

import { expect, test } from 'vitest';
import { Evacuation } from '../../../workers/host/evacuation.ts';
import { type IdentifierEntry, newEntry } from '../../../workers/host/identifiers/entry.ts';
import { sessionKey } from '../../../workers/shared/session/keys.ts';

const SELF = 1;
const OTHER_WORKER = 2;
const COUNT = 100;

/** @param answer of a node that is asked to take a session; null: none comes */
function nodeWith(up: string[], answer: (node: string, clientId: string) => boolean | null) {
  const entries = new Map<string, IdentifierEntry>();
  const add = (clientId: string, owner: number, expirySeconds: number) => {
    const key = sessionKey('n', clientId);
    entries.set(key, Object.assign(newEntry(key, 0, 'n', clientId), { owner, expirySeconds }));
  };
  for (let n = 0; n < COUNT; n++) add(`s${n}`, SELF, 60);
  add('connected', OTHER_WORKER, 60);
  add('ended', SELF, 0);
  const asked: [node: string, clientId: string][] = [];
  const registry = {
    all: () => entries.values(),
    find: (namespace: string, clientId: string) => entries.get(sessionKey(namespace, clientId)),
  };
  const evacuation = new Evacuation({
    self: SELF,
    registry: () => registry,
    up: () => new Set(up),
    send(node, news) {
      if (news.t !== 'adopt') throw new Error(news.t);
      asked.push([node, news.clientId]);
      const isTaken = answer(node, news.clientId);
      if (isTaken === null) return;
      setImmediate(() => {
        if (isTaken) entries.delete(sessionKey('n', news.clientId));
        evacuation.adopted(node, news, isTaken);
      });
    },
  });
  return { evacuation, asked };
}

test('each offline session goes to one of the nodes that stay up and are linked', async () => {
  const { evacuation, asked } = nodeWith(['b', 'c', 'leaving'], () => true);
  expect(evacuation.isLeaving).toBe(false);
  expect(await evacuation.run(['b', 'c', 'cut off'], 5_000)).toEqual({ moved: COUNT, left: 0 });
  expect(evacuation.isLeaving).toBe(true);
  expect(asked).toHaveLength(COUNT);
  for (const node of ['b', 'c']) expect(asked.filter(([to]) => to === node)).toHaveLength(COUNT / 2);
  expect(new Set(asked.map(([, clientId]) => clientId)).has('connected')).toBe(false);
});

test('a session that one node refuses goes to another one; one that all refuse stays, and each is asked once', async () => {
  const { evacuation, asked } = nodeWith(['b', 'c'], (node, clientId) => clientId !== 's5' && node === 'c');
  expect(await evacuation.run(['b', 'c'], 5_000)).toEqual({ moved: COUNT - 1, left: 1 });
  expect(asked.filter(([, clientId]) => clientId === 's5')).toHaveLength(2);
});

test('a node that does not answer costs the given time at most, and one that is lost none', async () => {
  const silent = nodeWith(['b'], () => null);
  const begin = performance.now();
  expect(await silent.evacuation.run(['b'], 100)).toEqual({ moved: 0, left: COUNT });
  expect(performance.now() - begin).toBeLessThan(3_000);
  const lost = nodeWith(['b'], () => {
    setImmediate(() => lost.evacuation.nodeLost('b'));
    return null;
  });
  expect(await lost.evacuation.run(['b'], 60_000)).toEqual({ moved: 0, left: COUNT });
  expect(await nodeWith([], () => true).evacuation.run(['b'], 60_000)).toEqual({ moved: 0, left: COUNT });
});
