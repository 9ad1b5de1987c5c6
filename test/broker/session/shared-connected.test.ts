/** Shared messages for members that are connected and have durable sessions: on disk before PUBACK or PUBREC (issue 10). */

import { expect, test } from 'vitest';
import { type Broker, startBroker } from '../../kit/broker.ts';
import * as encode from '../../kit/encode.ts';
import { connected } from '../../kit/lanes.ts';
import { uid, until } from '../../kit/until.ts';

const open = { enableAuth: false, sessionPersistence: true, maxConnectionPerSecond: 100_000 };
/** Sent at once. Without the fix the worker that takes them acknowledges most of them before any is on disk. */
const MESSAGES = 100;
const ROUNDS = 3;

interface Sender {
  port: number;
  version: 4 | 5;
  qos: 1 | 2;
}

/** Publishes at once; resolves when every message is acknowledged. */
async function publishAll({ port, version, qos }: Sender, topic: string): Promise<string[]> {
  const from = await connected('tcp', port, version);
  const texts = Array.from({ length: MESSAGES }, (_, i) => `${port} ${version} ${qos} ${i}`);
  from.send(...texts.map((text, i) => encode.publish(version, topic, text, { qos, id: i + 1 })));
  // In the order of the publishes [MQTT-4.6.0-2, MQTT-4.6.0-3].
  for (let id = 1; id <= MESSAGES; id++) expect((await from.expect(qos === 1 ? 'puback' : 'pubrec')).id).toBe(id);
  return texts;
}

/** Two members of a group, each on its own worker; they acknowledge nothing, so that all but one message each waits. */
async function join(broker: Broker, topic: string): Promise<string[]> {
  const ids: string[] = [];
  for (const port of broker.ports) {
    const clientId = uid('member');
    const properties = { sessionExpiry: 3600, receiveMaximum: 1 };
    const member = await connected('tcp', port, 5, { clientId, clean: false, properties });
    await member.subscribe(`$share/g/${topic}`, 2);
    ids.push(clientId);
  }
  return ids;
}

/** Everything that waits for the members of the group. */
async function waiting(broker: Broker, members: readonly string[], count: number): Promise<string[]> {
  const texts: string[] = [];
  const clients = await Promise.all(
    members.map(async (clientId) => {
      const member = await connected('tcp', broker.ports[0]!, 5, { clientId, clean: false, properties: { sessionExpiry: 3600 } });
      member.autoAcknowledge(({ payload }) => texts.push(payload.toString()));
      return member;
    }),
  );
  await until('every message has come', () => texts.length >= count);
  for (const client of clients) await client.disconnect(0, { sessionExpiry: 0 });
  return texts;
}

test('kill -9 after the last acknowledgement loses none', async () => {
  let broker = await startBroker({ endpoints: [open, open] });
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const topic = uid('t/');
      const members = await join(broker, topic);
      const senders = broker.ports.flatMap((port): Sender[] => [
        { port, version: 5, qos: 1 },
        { port, version: 4, qos: 1 },
        { port, version: 5, qos: 2 },
      ]);
      const sent = await Promise.all(senders.map((sender) => publishAll(sender, topic)));
      await broker.kill('SIGKILL');
      broker = await startBroker({ dir: broker.dir });
      const texts = sent.flat();
      expect((await waiting(broker, members, texts.length)).toSorted()).toEqual(texts.toSorted());
    }
  } finally {
    await broker.stop();
  }
}, 90_000);
