/** A node whose store is away when it starts: it serves what was last known, and is in step by itself when the store is back. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FluxError } from '../../../src/kernel/errors.ts';
import type { NodeStore } from '../../../src/storage/documents/document-store.ts';
import { openMemoryStore } from '../../../src/storage/memory/memory-store.ts';
import { openRemembering } from '../../../src/storage/remembering-store.ts';
import { META, put } from '../../contract/store-changes.ts';
import { freePort } from '../../kit/free-port.ts';
import { client, context, startTestNode, type TestNode, until } from './kit.ts';

let dataPath: string;
let database: NodeStore;
let isAway: boolean;
let node: TestNode | null;

beforeEach(() => {
  dataPath = mkdtempSync(join(tmpdir(), 'fluxmq-away-'));
  database = openMemoryStore();
  isAway = false;
  node = null;
});
afterEach(async () => {
  await stop();
  rmSync(dataPath, { recursive: true, force: true });
});

let store: NodeStore | null = null;

async function start(): Promise<TestNode> {
  const open = async () => {
    if (isAway) throw new FluxError('unavailable', 'the database does not answer', { data: { reason: 'away' } });
    return Object.assign(Object.create(database) as NodeStore, {
      load: () => database.load(),
      commit: (...args: Parameters<NodeStore['commit']>) => database.commit(...args),
      close: async () => {},
    });
  };
  store = await openRemembering({ open, dataPath, source: 'test', onFailure: () => {} });
  node = await startTestNode({ store, isShared: true, endpoints: [{ port: 1, enabled: false, id: 'from-the-file' }] });
  return node;
}

async function stop(): Promise<void> {
  await node?.stop(5_000);
  node = null;
  await store?.close();
}

test('starts with the last known configuration and follows the store when that is back', async () => {
  const [port, added] = [await freePort(), await freePort()];
  const first = await start();
  await first.control.changes.add({ port, host: '127.0.0.1', id: 'a', maxConnectionSize: 7 }, context());
  await stop();
  isAway = true;
  const { control, lines } = await start();
  const one = await client(port);
  expect(await one.about()).toMatchObject({ maxConnectionSize: 7 });
  expect(control.reads.health()).toMatchObject({
    status: 'degraded',
    store: {
      ok: false,
      reason: expect.stringContaining('the database does not answer (the configuration of 20'),
      refused: ['changes', 'history'],
    },
  });
  expect(control.reads.list().map(({ endpoint }) => endpoint.id)).toEqual(['from-the-file', 'a']);
  await expect(control.changes.remove({ id: 'a' }, context())).rejects.toMatchObject({ kind: 'unavailable' });
  await expect(control.reads.history({ limit: 1 })).rejects.toMatchObject({ kind: 'unavailable' });
  expect(lines.some(({ message }) => message.includes('last known configuration'))).toBe(true);
  await database.commit([put(port, { id: 'a', host: '127.0.0.1', maxConnectionSize: 3 }), put(added, { host: '127.0.0.1' })], {}, META);
  isAway = false;
  await until('it is in step', async () => (await one.about()).maxConnectionSize === 3 && control.reads.activePorts().includes(added));
  expect(control.reads.health()).toMatchObject({ status: 'ok', store: { ok: true, refused: [] } });
  expect(lines.some(({ message }) => message.includes('the store is back'))).toBe(true);
  await control.changes.remove({ id: 'a' }, context());
});
