/** The store suite through the sealing store, and what is on the disk below it: no secret in clear, a wrong key named, old keys read. */

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Endpoint } from '../../src/endpoint/endpoint.ts';
import type { EndpointStore } from '../../src/storage/endpoint-store.ts';
import { openLocalStore } from '../../src/storage/local/local-store.ts';
import { openMemoryStore } from '../../src/storage/memory/memory-store.ts';
import { sealStore } from '../../src/storage/sealed/sealed-store.ts';
import { Sealer } from '../../src/storage/sealed/sealer.ts';
import { META, pastOf, put } from './store-changes.ts';
import { describeStore } from './store-suite.ts';

const KEY = 'ab'.repeat(32);
const OTHER = Buffer.alloc(32, 7).toString('base64');
const sealer = (secretKey: string | null, secretKeysOld: string[] = []) => new Sealer({ secretKey, secretKeysOld });

describeStore(
  'MEMORY, sealed',
  async () => sealStore(openMemoryStore(), sealer(KEY)),
  async () => {},
);

const secret = (password: string) => put(1883, { authConfig: { users: [{ username: 'u', password }] } });
const passwordIn = (endpoint: Endpoint | null | undefined) => {
  const [entry] = endpoint?.authConfig ?? [];
  return entry?.authType === 'fixed' ? entry.users[0]?.password : undefined;
};
const passwordOf = (store: EndpointStore) => store.load().then(({ endpoints }) => passwordIn(endpoints[0]?.endpoint));

let dataPath = '';
beforeEach(() => {
  dataPath = mkdtempSync(join(tmpdir(), 'fluxmq-sealed-'));
});
afterEach(() => rmSync(dataPath, { recursive: true, force: true }));

async function withStore<T>(by: Sealer, work: (store: EndpointStore) => Promise<T>): Promise<T> {
  const store = sealStore(await openLocalStore({ dataPath }), by);
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

const onDisk = () =>
  readdirSync(dataPath)
    .map((name) => readFileSync(join(dataPath, name), 'latin1'))
    .join('');

test('leaves no secret in clear on the disk, neither in the content nor in the history', async () => {
  await withStore(sealer(KEY), async (store) => {
    await store.commit([secret('first-word')], {}, META);
    await store.commit([secret('second-word')], {}, META);
    expect(await passwordOf(store)).toBe('second-word');
    expect(passwordIn((await store.at(1)).endpoints[0]?.endpoint)).toBe('first-word');
    const [row] = await store.history({ limit: 1 });
    expect([row?.before, row?.after].map(passwordIn)).toEqual(['first-word', 'second-word']);
    for (const word of ['first-word', 'second-word']) expect(onDisk()).not.toContain(word);
  });
  expect(onDisk()).toContain(`sealed:v1:${sealer(KEY).keyId}:`);
});

test('reads what was stored before there was a key, and seals it with the next change', async () => {
  await withStore(sealer(null), async (store) => store.commit([secret('clear-word')], {}, META));
  expect(onDisk()).toContain('clear-word');
  await withStore(sealer(KEY), async (store) => {
    expect(await passwordOf(store)).toBe('clear-word');
    await store.commit([secret('sealed-word')], {}, META);
  });
  expect(onDisk()).not.toContain('sealed-word');
});

test('adopts a history with secrets', async () => {
  const rows = await withStore(sealer(null), async (store) => {
    await store.commit([secret('one-word')], {}, META);
    await store.commit([secret('two-word')], {}, META);
    return (await store.history({ limit: 10 })).toReversed();
  });
  rmSync(dataPath, { recursive: true });
  await withStore(sealer(KEY), async (store) => {
    expect(await store.adopt(pastOf(rows))).toBe(2);
    expect(await passwordOf(store)).toBe('two-word');
    expect((await store.history({ limit: 10 })).toReversed()).toEqual(rows);
  });
  expect(onDisk()).not.toContain('-word');
});

test('names the key that is missing, and reads with an old one', async () => {
  await withStore(sealer(KEY), async (store) => store.commit([secret('word')], {}, META));
  const id = sealer(KEY).keyId;
  for (const wrong of [sealer(OTHER), sealer(null)]) {
    await withStore(wrong, async (store) => {
      const message = expect.stringMatching(`authConfig\\[0\\]\\.users\\[0\\]\\.password of endpoint mqtt-1883 is sealed with key ${id}`);
      await expect(store.load()).rejects.toMatchObject({ kind: 'unprocessable', message });
      await expect(store.at(1)).rejects.toMatchObject({ kind: 'unprocessable' });
      expect(await store.history({ limit: 1 })).toHaveLength(1);
    });
  }
  await withStore(sealer(OTHER, [KEY]), async (store) => {
    expect(await passwordOf(store)).toBe('word');
    await store.commit([secret('word')], {}, META);
  });
  await withStore(sealer(OTHER), async (store) => expect(await passwordOf(store)).toBe('word'));
});
