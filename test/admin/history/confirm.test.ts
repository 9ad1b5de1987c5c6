/** `?confirmWithin=`: kept when it is confirmed, undone when it is not, also when the process died in between. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Broker, startBroker } from '../../kit/broker.ts';
import { freePort } from '../../kit/free-port.ts';
import { Api, canConnect } from './api.ts';

describe('confirmation', () => {
  let broker: Broker;
  let api: Api;
  beforeAll(async () => {
    broker = await startBroker({ endpoints: [{ enableAuth: false, id: 'first' }] });
    api = new Api(broker);
  });
  afterAll(async () => {
    expect(await broker.stop()).toBe(0);
  });

  test('undoes a change at its deadline, with a row that says why', async () => {
    const { port } = await api.add({ id: 'undone' });
    const before = Date.now();
    const { revision, confirm } = await api.ok('POST', 'update?confirmWithin=1s', { id: 'undone', maxConnectionSize: 3 });
    expect(confirm?.revision).toBe(revision);
    expect(Date.parse(confirm?.until ?? '') - before).toBeGreaterThanOrEqual(1000);
    await expect.poll(() => api.content(), { timeout: 15_000 }).toMatchObject({ undone: [port, 1000] });
    const [row, change] = await api.history('id=undone&limit=2');
    expect(row).toMatchObject({ revision: revision + 1, action: 'rollback', source: 'rollback', actor: 'system' });
    expect(row?.reason).toBe(`revision ${revision} was not confirmed in time`);
    expect(change?.after).toMatchObject({ maxConnectionSize: 3 });
    expect((await api.call('POST', 'confirm', { revision })).status).toBe(404);
    // It is undone for all to see before its threads are done with that.
    await expect.poll(async () => (await api.call('POST', 'update', { id: 'undone', wiretap: true })).status).toBe(200);
    expect(await broker.log()).toContain(`revision ${revision} was not confirmed in time and is undone`);
  });

  test('keeps a confirmed change, and others off its endpoints and ports until then', async () => {
    const [kept, gone] = [await api.add({ id: 'kept' }), await api.add({ id: 'gone' })];
    const { revision } = await api.ok('POST', 'update?confirmWithin=3600000', { id: 'kept', maxConnectionSize: 4 });
    const removal = await api.ok('POST', 'remove?confirmWithin=24h', { id: 'gone' });
    const busy = await api.call('POST', 'update', { id: 'kept', wiretap: true });
    expect([busy.status, busy.kind]).toEqual([409, 'busy']);
    expect(busy.message).toContain(`revision ${revision}, which waits for its confirmation`);
    expect((await api.call('POST', 'add', { port: gone.port, host: '127.0.0.1' })).kind).toBe('busy');
    const answer = await api.ok('POST', 'confirm', { revision });
    expect(answer).toMatchObject({ revision, endpoints: [{ id: 'kept', port: kept.port }], nodes: [{ state: 'applied' }] });
    expect((await api.call('POST', 'confirm', { revision })).status).toBe(404);
    await api.ok('POST', 'confirm', { revision: removal.revision });
    expect(await api.content()).toMatchObject({ kept: [kept.port, 4] });
    await api.ok('POST', 'update', { id: 'kept', wiretap: true });
    await api.ok('POST', 'add', { port: gone.port, host: '127.0.0.1' });
  });

  test('undoes an added, a removed and a moved endpoint', async () => {
    const [gone, moved] = [await api.add({ id: 'removed' }), await api.add({ id: 'moved' })];
    const [fresh, elsewhere] = [await freePort(), await freePort()];
    await api.ok('POST', 'add?confirmWithin=1s', { port: fresh, host: '127.0.0.1', enableAuth: false, id: 'added' });
    await api.ok('POST', 'remove?confirmWithin=1s', { id: 'removed' });
    await api.ok('POST', 'update?confirmWithin=1s', { id: 'moved', newPort: elsewhere });
    await expect.poll(async () => Object.keys(await api.content()), { timeout: 15_000 }).not.toContain('added');
    const back = { removed: [gone.port, 1000], moved: [moved.port, 1000] };
    await expect.poll(() => api.content(), { timeout: 15_000 }).toMatchObject(back);
    const ports = [fresh, gone.port, elsewhere, moved.port];
    await expect.poll(() => Promise.all(ports.map(canConnect)), { timeout: 15_000 }).toEqual([false, true, false, true]);
  });

  test('a rollback to an earlier revision ends the waiting; a rollback can wait, too', async () => {
    const { port, revision } = await api.add({ id: 'twice' });
    const waits = await api.ok('POST', 'update?confirmWithin=1h', { id: 'twice', maxConnectionSize: 8 });
    await api.ok('POST', 'rollback', { id: 'twice', revision });
    expect((await api.call('POST', 'confirm', { revision: waits.revision })).status).toBe(404);
    await api.ok('POST', 'update', { id: 'twice', maxConnectionSize: 9 });
    const { confirm } = await api.ok('POST', 'rollback?confirmWithin=1s', { id: 'twice', revision });
    expect(confirm).toBeDefined();
    await expect.poll(() => api.content(), { timeout: 15_000 }).toMatchObject({ twice: [port, 9] });
    const idle = await api.ok('POST', 'update?confirmWithin=1s', { id: 'twice', maxConnectionSize: 9 });
    expect(idle.confirm).toBeUndefined();
    expect(idle.warnings).toEqual([expect.stringContaining('nothing waits')]);
  });

  test('refuses what is not a time, and nothing that it does not take', async () => {
    for (const value of ['999', '25h', 'soon', '']) {
      const { status, issues } = await api.call('POST', `update?confirmWithin=${value}`, { id: 'first', wiretap: true });
      expect([value, status, issues.map(({ path }) => path)]).toEqual([value, 400, ['confirmWithin']]);
    }
    expect((await api.call('GET', 'list?confirmWithin=5s')).status).toBe(400);
    expect((await api.call('POST', 'confirm', { revision: 'x', more: 1 })).issues.map(({ path }) => path).toSorted()).toEqual([
      'more',
      'revision',
    ]);
  });
});

test('survives the death of the process: what is overdue is undone at the start, the rest still waits', {
  timeout: 90_000,
}, async () => {
  const broker = await startBroker({ endpoints: [{ enableAuth: false, id: 'first' }] });
  const { dir } = broker;
  const api = new Api(broker);
  const [short, long] = [await api.add({ id: 'short' }), await api.add({ id: 'long' })];
  const kept = await api.ok('POST', 'update?confirmWithin=5m', { id: 'long', maxConnectionSize: 2 });
  const lost = await api.ok('POST', 'remove?confirmWithin=1s', { id: 'short' });
  await broker.kill('SIGKILL');
  await new Promise((resolve) => setTimeout(resolve, Date.parse(lost.confirm?.until ?? '') - Date.now() + 10));
  const again = await startBroker({ dir });
  try {
    const after = new Api(again);
    expect(await after.content()).toMatchObject({ short: [short.port, 1000], long: [long.port, 2] });
    expect(await canConnect(short.port)).toBe(true);
    expect((await after.history('id=short&limit=1'))[0]).toMatchObject({ actor: 'system', action: 'rollback' });
    expect((await after.call('POST', 'update', { id: 'long', wiretap: true })).kind).toBe('busy');
    await after.ok('POST', 'confirm', { revision: kept.revision });
    await after.ok('POST', 'update', { id: 'long', wiretap: true });
  } finally {
    await again.stop();
  }
});
