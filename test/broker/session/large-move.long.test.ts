/** A session with tens of thousands of messages moves between threads: whole, in order, and nobody else waits for it. */

import { expect, test } from 'vitest';
import * as encode from '../../kit/encode.ts';
import { connected, useBroker } from '../../kit/lanes.ts';
import { quiet, uid, until } from '../../kit/until.ts';

const COUNT = 30_000;
const OPEN = { enableAuth: false, maxConnectionPerSecond: 100_000, maxSessionSize: 1000 };
const held = useBroker(() => ({ endpoints: [{ ...OPEN, maxQueuedMessages: 100_000, serverOptions: { workerGroupSize: 2 } }] }));

test('every message comes once, in order, after several moves', async () => {
  const port = held.broker.ports[0]!;
  const topic = uid('move/');
  const clientId = uid('c');
  const session = { clientId, clean: false, properties: { sessionExpiry: 300, receiveMaximum: 50 } };
  const first = await connected('tcp', port, 5, session);
  await first.subscribe(`${topic}/#`, 1);
  await first.cut();
  const from = await connected('tcp', port, 5);
  let acknowledged = 0;
  from.tap = (packet) => {
    if (packet.type === 'puback') acknowledged++;
  };
  for (let i = 0; i < COUNT; i++) {
    from.send(encode.publish(5, `${topic}/${i % 3}`, `${i}`, { qos: 1, id: (i % 50) + 1 }));
    if (i % 50 === 49) await until('they are taken', () => acknowledged === i + 1, 20_000);
  }
  // There and back: what is in flight is repeated, what waits stays behind it.
  for (let round = 0; round < 2; round++) {
    const passing = await connected('tcp', port, 5, session);
    expect(passing.connack!.sessionPresent).toBe(true);
    await until('its window is full', () => passing.inbox.filter(({ type }) => type === 'publish').length === 50, 10_000);
    await passing.cut();
  }
  const last = await connected('tcp', port, 5, session);
  const got: number[] = [];
  last.autoAcknowledge(({ payload }) => got.push(Number(payload.toString())));
  await until('all messages', () => got.length >= COUNT, 30_000);
  await quiet(100, 'a repeated message', () => got.length > COUNT);
  expect(got).toEqual(Array.from({ length: COUNT }, (_, i) => i));
}, 90_000);
