/** Whatever is kept, replaced, refused, removed and swept: the accounts of retained messages say what is there, and no limit is passed. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RetainedStore } from '../../../../workers/host/retained/store.ts';
import { EMPTY, Message } from '../../../../workers/shared/messages/message.ts';

const NODE = { messages: 24, bytes: 8_000 };
const LIMIT = { messages: 5, bytes: 2_000 };
const MESSAGE_BYTES = 200;

const op = fc.record({
  namespace: fc.constantFrom('n1', 'n2', 'n3'),
  origin: fc.constantFrom('e1', 'e2', 'e3', ''),
  topic: fc.constantFrom('a', 'a/b', 'a/b/c', 'd', '$x/y', '/', 'e/f', 'g', 'h'),
  size: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 1500 })),
  expiresAt: fc.constantFrom(0, 10, 20),
  sweepAt: fc.option(fc.constantFrom(5, 15, 25), { freq: 8 }),
});

interface Kept {
  namespace: string;
  origin: string;
  bytes: number;
  expiresAt: number;
}

const sumOf = (kept: Iterable<Kept>, isMeant: (each: Kept) => boolean) => {
  const meant = [...kept].filter(isMeant);
  return { messages: meant.length, bytes: meant.reduce((sum, { bytes }) => sum + bytes, 0) };
};

test('the accounts are exact', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(op, { maxLength: 120 }), async (ops) => {
      const store = new RetainedStore(null, NODE);
      for (const endpoint of ['e1', 'e2']) store.quota.setLimit(endpoint, LIMIT);
      const model = new Map<string, Kept>();
      let refused = 0;
      for (const { namespace, origin, topic, size, expiresAt, sweepAt } of ops) {
        const key = `${namespace} ${topic}`;
        const before = sumOf(model.values(), () => true);
        const message = new Message(topic, Buffer.alloc(size), 0, true, EMPTY, expiresAt, '');
        message.origin = origin;
        const refusal = store.retain(namespace, message);
        if (refusal !== null) refused++;
        else if (size === 0) model.delete(key);
        else model.set(key, { namespace, origin, bytes: topic.length + size + MESSAGE_BYTES, expiresAt });
        if (sweepAt !== null) {
          await store.sweep(sweepAt);
          for (const [each, kept] of model) if (kept.expiresAt !== 0 && kept.expiresAt <= sweepAt) model.delete(each);
        }
        const count = store.count();
        const total = sumOf(model.values(), () => true);
        expect(count).toMatchObject({ ...total, refused });
        for (const each of count.namespaces) expect(each).toMatchObject(sumOf(model.values(), (kept) => kept.namespace === each.namespace));
        expect(count.namespaces.reduce((sum, { messages }) => sum + messages, 0)).toBe(total.messages);
        for (const { endpoint, messages, bytes } of count.endpoints) {
          expect({ messages, bytes }).toEqual(sumOf(model.values(), (kept) => kept.origin === endpoint));
          if (endpoint === 'e3') continue;
          expect(messages).toBeLessThanOrEqual(LIMIT.messages);
          expect(bytes).toBeLessThanOrEqual(LIMIT.bytes);
        }
        if (total.messages > before.messages) expect(total.messages).toBeLessThanOrEqual(NODE.messages);
        if (total.bytes > before.bytes) expect(total.bytes).toBeLessThanOrEqual(NODE.bytes);
      }
    }),
    { numRuns: 150 },
  );
});
