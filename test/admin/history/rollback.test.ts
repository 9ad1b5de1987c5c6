/** Rollback over HTTP: one endpoint or all as of a revision, as one new revision, or nothing at all. */

import { createServer } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Broker, startBroker } from '../../kit/broker.ts';
import { freePort } from '../../kit/free-port.ts';
import { Api, canConnect, type SetAnswer, tryConnect } from './api.ts';

describe('rollback', () => {
  let broker: Broker;
  let api: Api;
  beforeAll(async () => {
    broker = await startBroker({ endpoints: [{ enableAuth: false, id: 'first' }] });
    api = new Api(broker);
  });
  afterAll(async () => {
    expect(await broker.stop()).toBe(0);
  });
  /** Every test begins with the one endpoint of the configuration. */
  let start: number;
  beforeEach(async () => {
    await api.ok('POST', 'rollback', { revision: 1 });
    start = await api.revision();
  });

  test('brings one endpoint back to what it was, as a new revision with its own row', async () => {
    const { port, revision } = await api.add({ id: 'a', maxConnectionSize: 5 });
    const other = await api.add({ id: 'b' });
    await api.ok('POST', 'update', { port, maxConnectionSize: 6 });
    await api.ok('POST', 'update', { id: 'b', maxConnectionSize: 7 });
    const answer = await api.ok('POST', 'rollback', { revision, port, reason: 'too many' });
    expect(answer).toMatchObject({
      revision: start + 5,
      changes: [{ id: 'a', port, action: 'updated', effect: 'live' }],
      endpoint: { id: 'a', maxConnectionSize: 5 },
      nodes: [{ state: 'applied' }],
      warnings: [],
    });
    expect(await api.content()).toMatchObject({ a: [port, 5], b: [other.port, 7] });
    const [row, ...others] = await api.history('id=a&limit=1');
    expect(others).toEqual([]);
    expect(row).toMatchObject({ action: 'rollback', source: 'rollback', actor: 'local', reason: 'too many', revision: start + 5 });
    expect(row?.diff).toEqual([{ path: 'maxConnectionSize', from: 6, to: 5 }]);
  });

  test('brings removed endpoints back, takes later ones away, and moves ports back, all as one revision', async () => {
    const [gone, moved, later] = [await api.add({ id: 'gone' }), await api.add({ id: 'moved' }), await freePort()];
    const goal = await api.revision();
    await api.ok('POST', 'remove', { id: 'gone' });
    await api.ok('POST', 'update', { id: 'moved', newPort: gone.port });
    await api.ok('POST', 'add', { port: later, host: '127.0.0.1', enableAuth: false, id: 'later' });
    const client = await tryConnect(later);
    let isClosed = false;
    client!.on('close', () => {
      isClosed = true;
    });
    const body = { action: 'rollback', revision: goal };
    const plan = await api.ok<{ clientsAffected: number; changes: unknown[]; endpoints: unknown[] }>('POST', 'plan', body);
    expect(plan).toMatchObject({ clientsAffected: 1 });
    expect(plan.endpoints).toHaveLength(3);
    expect(plan.endpoints).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ id: 'later', action: 'removed', clientsAffected: 1 }),
        expect.objectContaining({ id: 'moved', action: 'updated', effect: 'rebind', clientsAffected: 0 }),
        expect.objectContaining({ id: 'gone', action: 'added', clientsAffected: 0 }),
      ]),
    );
    expect(plan.changes).toContainEqual({ endpoint: 'moved', path: 'port', from: gone.port, to: moved.port, effect: 'rebind' });
    const dry = await api.ok('POST', 'rollback', { revision: goal, dryRun: true });
    expect(dry).toMatchObject({ revision: null, nodes: [] });
    expect(await api.revision()).toBe(goal + 3);

    const answer = await api.ok('POST', 'rollback', { revision: goal });
    expect(answer.revision).toBe(goal + 4);
    expect(answer.changes.toSorted((a, b) => a.id.localeCompare(b.id))).toMatchObject([
      { id: 'gone', action: 'added' },
      { id: 'later', action: 'removed' },
      { id: 'moved', action: 'updated' },
    ]);
    expect(await api.content()).toMatchObject({ gone: [gone.port, 1000], moved: [moved.port, 1000] });
    expect(await api.history(`limit=1&before=${goal + 5}`)).toHaveLength(3);
    expect(await Promise.all([gone.port, moved.port, later].map(canConnect))).toEqual([true, true, false]);
    await expect.poll(() => isClosed).toBe(true);
    expect((await api.ok('POST', 'rollback', { revision: goal })).changes).toEqual([]);
    expect(await api.revision()).toBe(goal + 4);
  });

  test('swaps the ports of two endpoints back while both serve', async () => {
    const [one, two, spare] = [await api.add({ id: 'one' }), await api.add({ id: 'two' }), await freePort()];
    const goal = await api.revision();
    await api.ok('POST', 'update', { id: 'one', newPort: spare });
    await api.ok('POST', 'update', { id: 'two', newPort: one.port });
    await api.ok('POST', 'update', { id: 'one', newPort: two.port });
    expect(await api.content()).toMatchObject({ one: [two.port, 1000], two: [one.port, 1000] });
    expect((await api.ok('POST', 'rollback', { revision: goal })).nodes).toMatchObject([{ state: 'applied' }]);
    expect(await api.content()).toMatchObject({ one: [one.port, 1000], two: [two.port, 1000] });
    type Status = { id: string; port: number; state: string }[];
    const status = await api.ok<Status>('GET', 'status');
    expect(status.filter(({ id }) => id !== 'first').map(({ id, port, state }) => [id, port, state])).toEqual([
      ...[
        ['one', one.port, 'running'],
        ['two', two.port, 'running'],
      ].toSorted((a, b) => Number(a[1]) - Number(b[1])),
    ]);
    expect(await Promise.all([one.port, two.port].map(canConnect))).toEqual([true, true]);
  });

  test('changes nothing at all when one of several endpoints cannot listen', async () => {
    const [one, two] = [await api.add({ id: 'one' }), await api.add({ id: 'two' })];
    const goal = await api.revision();
    for (const id of ['one', 'two']) await api.ok('POST', 'remove', { id });
    const before = await api.revision();
    const foreign = createServer();
    await new Promise<void>((resolve) => foreign.listen({ port: two.port, host: '127.0.0.1' }, resolve));
    try {
      const { status, kind, message, issues } = await api.call<SetAnswer>('POST', 'rollback', { revision: goal });
      expect([status, kind]).toEqual([409, 'port-in-use']);
      expect(message).toContain(`Port ${two.port} is already in use`);
      expect(issues).toEqual([{ path: 'two.port', message: expect.stringContaining('already in use') }]);
      expect(await api.revision()).toBe(before);
      expect(Object.keys(await api.content())).toEqual(['first']);
      expect(await canConnect(one.port)).toBe(false);
    } finally {
      await new Promise((resolve) => foreign.close(resolve));
    }
    await api.ok('POST', 'rollback', { revision: goal });
    expect(await canConnect(one.port)).toBe(true);
  });

  test('a port means who has it now and who had it then', async () => {
    const { port } = await api.add({ id: 'old' });
    const goal = await api.revision();
    await api.ok('POST', 'remove', { id: 'old' });
    await api.ok('POST', 'add', { port, host: '127.0.0.1', enableAuth: false, id: 'new' });
    const { changes } = await api.ok('POST', 'rollback', { revision: goal, port });
    expect(changes.map(({ id, action }) => `${id} ${action}`).toSorted()).toEqual(['new removed', 'old added']);
    expect(await canConnect(port)).toBe(true);
    const removed = await api.ok('POST', 'rollback', { revision: start, id: 'old' });
    expect(removed).toMatchObject({ endpoint: null, changes: [{ id: 'old', action: 'removed' }] });
  });

  test('knows its conditions: If-Match, the default endpoint, unknown revisions and endpoints', async () => {
    const { port, revision } = await api.add({ id: 'a' });
    await api.ok('POST', 'update', { port, wiretap: true });
    const stale = await api.call('POST', 'rollback', { revision, port }, { 'if-match': `"${revision}"` });
    expect([stale.status, (stale.data as { revision: number }).revision]).toEqual([412, revision + 1]);
    expect((await api.call('POST', 'rollback', { revision }, { 'if-match': '"1"' })).status).toBe(412);
    for (const body of [{ revision: 99_999 }, { revision, id: 'nobody' }, { revision, port: 1 }]) {
      expect((await api.call('POST', 'rollback', body)).status, JSON.stringify(body)).toBe(404);
    }
    const bad = await api.call('POST', 'rollback', { revision: -1, drainMs: 'x', unknown: 1 });
    expect([bad.status, bad.issues.map(({ path }) => path).toSorted()]).toEqual([400, ['drainMs', 'revision', 'unknown']]);
    expect((await api.call('POST', 'rollback', {})).issues).toEqual([{ path: 'revision', message: 'is required' }]);
    await api.ok('POST', 'update', { port, isDefault: true });
    expect((await api.call('POST', 'rollback', { revision: start, id: 'a' })).kind).toBe('default-endpoint');
    expect(await api.ok('POST', 'plan', { action: 'rollback', revision: start, id: 'a' })).toMatchObject({
      warnings: [expect.stringContaining('force: true')],
    });
    await api.ok('POST', 'rollback', { revision: start, id: 'a', force: true });
  });
});
