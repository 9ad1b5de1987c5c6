/** The session worker dies while a subscriber reads what is retained: the next one is asked, and nothing is missed. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Broker, startBroker } from '../../kit/broker.ts';
import * as encode from '../../kit/encode.ts';
import { connected } from '../../kit/lanes.ts';
import { destroyAll } from '../../kit/raw-client.ts';
import { quiet, uid, until } from '../../kit/until.ts';
import { crash, failing, threads, WIDE } from './failing.ts';

const COUNT = 2_000;
let broker: Broker;
beforeAll(async () => {
  broker = await startBroker(failing({ endpoints: [{ ...WIDE, sessionPersistence: true, serverOptions: { workerGroupSize: 2 } }] }));
}, 40_000);
afterAll(async () => {
  destroyAll();
  await broker.stop();
}, 40_000);

test.each([4, 5] as const)(
  'MQTT %i',
  async (version) => {
    const base = uid('reading/');
    const port = broker.ports[0]!;
    const from = await connected('tcp', port, version);
    for (let i = 0; i < COUNT; i++) from.send(encode.publish(version, `${base}/${i}`, `${i}`, { retain: true }));
    await from.publish(`${base}/last`, 'x', { retain: true, qos: 1 });
    const reader = await connected('tcp', port, version);
    await reader.subscribe(`${base}/+`, 0);
    const slow = await connected('tcp', port, version);
    for (let i = 0; i < 150; i++) await from.publish(`${base}/1/${i}`, `${i}`, { retain: true, qos: 1 });
    await slow.subscribe(`${base}/1/+`, 1);
    const inWindow = () => slow.inbox.filter(({ type }) => type === 'publish').length;
    await until('the window is full', () => inWindow() >= 100);
    await quiet(200, 'a message beyond the window', () => inWindow() > 100);
    const session = (await threads(broker)).find(({ role }) => role === 'session')!;
    await crash(broker, session.name, 'exit', async () => (await threads(broker)).some(({ role }) => role === 'session'));
    const got = new Set<string>();
    slow.autoAcknowledge(({ topic, payload }) => {
      expect(topic.endsWith(`/${payload}`)).toBe(true);
      got.add(topic);
    });
    await until('all retained messages', () => got.size === 150, 10_000);
    // The new session worker answers new questions as well.
    const later = await connected('tcp', port, version);
    const found = new Set<string>();
    later.autoAcknowledge(({ topic }) => found.add(topic));
    later.send(encode.subscribe(version, 1, [{ filter: `${base}/+`, qos: 0 }]));
    await until('all of them', () => found.size === COUNT + 1, 10_000);
  },
  60_000,
);
