/** The users of deploy/nats.conf: a cluster works with them, and none of them speaks as another node or reads what is for another one. */

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { connect, Events, type NatsConnection } from 'nats';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startPostgres } from '../kit/databases/postgres.ts';
import type { DatabaseServer } from '../kit/databases/server.ts';
import { freePort } from '../kit/free-port.ts';
import { RawClient } from '../kit/raw-client.ts';
import { change, storeOf, TestCluster } from './kit.ts';
import { hostOf, sumOf, untilLinked } from './messages-kit.ts';

const CONF = readFileSync(resolve(import.meta.dirname, '../../deploy/nats.conf'), 'utf8');
const NAMES = ['node-1', 'node-2'];
let database: DatabaseServer;
let cluster: TestCluster;
let port: number;

beforeAll(async () => {
  // The nodes of TestCluster have other names.
  const config = CONF.slice(CONF.indexOf('authorization {'))
    .replaceAll('fluxmq-', 'node-')
    .replaceAll(/\$(NATS_\w+)/g, 'secret_$1');
  database = await startPostgres();
  cluster = await TestCluster.start({ store: storeOf(database, await database.createDatabase()), nodes: 0, config });
  for (const [at, name] of NAMES.entries())
    await cluster.add(name, { credentials: { user: name, password: `secret_NATS_PASSWORD_${at + 1}` } });
  await cluster.untilUp(NAMES.length);
  port = await freePort();
  expect(await change(cluster.nodes[0]!, 'add', { id: 'm', port, enableAuth: false })).toMatchObject({ status: 200 });
  await cluster.untilInStep();
  await untilLinked(cluster.nodes);
}, 90_000);
afterAll(async () => {
  await cluster?.stop();
  await database?.stop();
}, 60_000);

/** A program that has the login of node 2. */
async function thief(): Promise<{ nats: NatsConnection; violations: string[] }> {
  const nats = await connect({ servers: cluster.nats.urls, user: 'node-2', pass: 'secret_NATS_PASSWORD_2', inboxPrefix: '_INBOX.node-2' });
  const violations: string[] = [];
  void (async () => {
    for await (const { type, data } of nats.status()) if (type === Events.Error) violations.push(String(data));
  })();
  return { nats, violations };
}

test('messages, changes and operations cross, and no node meets a refusal', async () => {
  const [subscriber, publisher] = [await RawClient.open('tcp', port, 5, hostOf(0)), await RawClient.open('tcp', port, 5, hostOf(1))];
  for (const client of [subscriber, publisher]) await client.handshake({});
  await subscriber.subscribe('t', 2);
  for (const qos of [0, 1, 2] as const) await publisher.publish('t', `${qos}`, { qos });
  for (const qos of [0, 1, 2]) expect((await subscriber.take()).payload.toString()).toBe(`${qos}`);
  const asked = await change(cluster.nodes[1]!, 'update?policy=all', { id: 'm', maxConnectionSize: 50 });
  expect(asked).toMatchObject({ status: 200 });
  const operator = await connect({ servers: cluster.nats.urls, user: 'operator', pass: 'secret_NATS_OPERATOR_PASSWORD' });
  const answer = await operator.request('fluxmq.endpoints.list', '', { timeout: 10_000 });
  expect(answer.json()).toMatchObject({ code: 200 });
  await operator.close();
  for (const node of cluster.nodes) expect(await node.log()).not.toMatch(/permission/i);
  for (const client of [subscriber, publisher]) client.destroy();
});

test('with the login of a node: not in the name of another one, not what is for another one', async () => {
  const { nats, violations } = await thief();
  const before = await sumOf(cluster.nodes[0]!, 'fluxmq_cluster_strange_frames_total');
  const forbidden = ['fluxmq.x.node-1.node-3', 'fluxmq.x.node-3.node-1', '_INBOX.node-1.x', 'fluxmq.endpoints.list'];
  for (const subject of forbidden) nats.publish(subject, Buffer.alloc(36));
  // In its own name it may speak; as it is another process, nobody listens.
  nats.publish('fluxmq.x.node-1.node-2', Buffer.alloc(36));
  await expect.poll(() => sumOf(cluster.nodes[0]!, 'fluxmq_cluster_strange_frames_total'), { timeout: 10_000 }).toBe(before + 1);
  expect(violations).toEqual(forbidden.map(() => 'PERMISSIONS_VIOLATION'));
  for (const subject of ['fluxmq.x.node-1.*', 'fluxmq.x.>', 'fluxmq.>', '>', '_INBOX.>', '_INBOX.node-1.>']) {
    const heard = await new Promise((resolve) => nats.subscribe(subject, { callback: (error) => resolve(error?.code ?? 'a message') }));
    expect(heard, subject).toBe('PERMISSIONS_VIOLATION');
  }
  await nats.close();
});
