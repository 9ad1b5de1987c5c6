/** Retained messages are the same on every node: after PUBACK, after deletions, and on a node that was away, before it answers. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../kit/free-port.ts';
import { RawClient } from '../kit/raw-client.ts';
import { type FragileCluster, startFragileCluster } from './fragile-cluster.ts';
import type { TestCluster } from './kit.ts';
import { hostOf, sumOf } from './messages-kit.ts';

describe.each(['LOCAL', 'MEMORY'])('nodes with the store %s', (storeType) => {
  let fragile: FragileCluster;
  let cluster: TestCluster;
  let port: number;
  let otherPort: number;
  beforeAll(async () => {
    port = await freePort();
    otherPort = await freePort();
    const endpoints = [
      { id: 'm', port, enableAuth: false },
      { id: 'o', port: otherPort, enableAuth: false, namespace: 'other' },
    ];
    fragile = await startFragileCluster({ store: { storeType }, endpoints });
    cluster = fragile.cluster;
  }, 90_000);
  afterAll(() => fragile?.stop(), 60_000);

  async function client(node: number, at = port): Promise<RawClient> {
    const opened = await RawClient.open('tcp', at, 5, hostOf(node));
    await opened.handshake({ clientId: '' });
    return opened;
  }

  async function publish(node: number, messages: Record<string, string>, qos: 0 | 1 | 2 = 1): Promise<void> {
    const publisher = await client(node);
    for (const [topic, text] of Object.entries(messages)) await publisher.publish(topic, text, { qos, retain: true });
    // Everything before it has been handled.
    await publisher.publish('fence', '', { qos: 1 });
    publisher.destroy();
  }

  /** Expects that a new subscriber gets these messages, and no other one. */
  async function expectRetained(node: number, filter: string, expected: Record<string, string>, at = port): Promise<void> {
    const reader = await client(node, at);
    await reader.subscribe(filter, 1);
    await reader.subscribe('end', 1);
    const found: Record<string, string> = {};
    for (let left = Object.keys(expected).length; left > 0; left--) {
      const { topic, retain, payload } = await reader.take().catch((error: unknown) => {
        const lacking = Object.keys(expected).filter((each) => !(each in found));
        throw new Error(`${node} ${filter} lacks ${lacking.length}: ${lacking.slice(0, 5)}`, { cause: error });
      });
      expect(retain).toBe(true);
      found[topic] = payload.toString();
    }
    expect(found).toEqual(expected);
    await reader.publish('end', '', { qos: 1 });
    expect(await reader.take()).toMatchObject({ topic: 'end', retain: false });
    reader.destroy();
  }

  test('what is set, changed and deleted on one node is so on the others before PUBACK or PUBREC', async () => {
    for (const qos of [1, 2] as const) {
      const topic = `q${qos}/x`;
      await publish(0, { [topic]: 'one' }, qos);
      await expectRetained(2, `q${qos}/#`, { [topic]: 'one' });
      await publish(1, { [topic]: 'two' }, qos);
      for (const node of [0, 2]) await expectRetained(node, topic, { [topic]: 'two' });
      await expectRetained(2, '#', {}, otherPort);
      await publish(2, { [topic]: '' }, qos);
      for (const node of [0, 1, 2]) await expectRetained(node, `q${qos}/#`, {});
    }
  });

  test('a node that was killed has what changed while it was dead, and no more, when it answers again; what it had published lived on', async () => {
    await publish(2, { 'k/own': 'c', 'k/changed': 'old', 'k/gone': 'old' });
    await cluster.nodes[2]!.kill('SIGKILL');
    await expectRetained(0, 'k/+', { 'k/own': 'c', 'k/changed': 'old', 'k/gone': 'old' });
    const many = Object.fromEntries(Array.from({ length: 1_500 }, (_, n) => [`k/many/${n}`, `${n}`]));
    await publish(0, { 'k/changed': 'new', 'k/new': 'x', ...many }, 0);
    await publish(1, { 'k/gone': '' }, 0);
    await cluster.again(2);
    const expected = { 'k/own': 'c', 'k/changed': 'new', 'k/new': 'x', ...many };
    await expectRetained(2, 'k/#', expected);
    await expectRetained(1, 'k/#', expected);
    expect(await sumOf(cluster.nodes[2]!, 'fluxmq_cluster_retained_pulled_total')).toBeGreaterThanOrEqual(1_500);
  }, 60_000);

  test('a new session worker has what the old one had when it answers', async () => {
    await publish(0, { 's/x': '1' });
    await fragile.crash(1, 'session');
    await expectRetained(1, 's/#', { 's/x': '1' });
  });
});
