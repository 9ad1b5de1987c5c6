/**
 * A member of a shared group leaves, and its messages go to another member over the leaving one's worker. They keep apart from that worker's
 * own messages, whose numbers may be the same as those that another worker gave (issue 10, 3).
 */

import { expect, test } from 'vitest';
import { type Broker, startBroker } from '../../kit/broker.ts';
import type { ConnectOptions } from '../../kit/encode.ts';
import { connected } from '../../kit/lanes.ts';
import { uid } from '../../kit/until.ts';

const open = { enableAuth: false, sessionPersistence: true, maxConnectionPerSecond: 100_000 };
const COUNT = 20;
/** All alike: nothing but their numbers tells them apart. */
const TEXT = 'x';
/** The first member's queue stays on disk, however long it is connected. */
const properties = { sessionExpiry: 3600, receiveMaximum: 1 };

/** Gives messages on to a durable member. @returns how its session connects */
async function giveOn(broker: Broker, presence: 'away' | 'connected'): Promise<ConnectOptions> {
  const [here, there] = broker.ports as [number, number];
  const topic = uid('t/');
  const filter = `$share/g/${topic}`;
  const session = { clientId: uid('c'), clean: false, properties };
  const heir = await connected('tcp', here, 5, session);
  await heir.subscribe(filter, 1);
  if (presence === 'away') await heir.disconnect();
  const [one, other] = [await connected('tcp', here, 5), await connected('tcp', there, 5)];
  for (let index = 0; index < COUNT; index++) await other.publish(topic, TEXT, { qos: 1 });
  // It is on the worker of the publisher that has written, and acknowledges nothing.
  const leaving = await connected('tcp', there, 5);
  await leaving.subscribe(filter, 1);
  for (let index = 0; index < COUNT; index++) await one.publish(topic, TEXT, { qos: 1 });
  await leaving.publishes(presence === 'away' ? COUNT : COUNT / 2);
  await leaving.disconnect();
  // Behind everything that the worker has given on.
  await other.publish(topic, TEXT, { qos: 1 });
  return session;
}

test('a durable member has all of them after kill -9, whether it was away or connected', async () => {
  let broker = await startBroker({ endpoints: [open, open] });
  try {
    const sessions = [await giveOn(broker, 'connected'), await giveOn(broker, 'away')];
    expect((await broker.api('GET', '/public/metrics')).body).toContain('fluxmq_message_identity_conflicts_total 0');
    await broker.kill('SIGKILL');
    broker = await startBroker({ dir: broker.dir });
    for (const session of sessions) {
      const back = await connected('tcp', broker.ports[0]!, 5, { ...session, properties: { sessionExpiry: 3600 } });
      expect(await back.publishes(2 * COUNT + 1)).toHaveLength(2 * COUNT + 1);
      await back.silence();
    }
  } finally {
    await broker.stop();
  }
}, 60_000);
