/** Messages of a shared group that meet their durable session during its move to another thread: on disk before PUBACK, and in order (issue 10). */

import { expect, test } from 'vitest';
import { startBroker } from '../../kit/broker.ts';
import { connected } from '../../kit/lanes.ts';
import { uid } from '../../kit/until.ts';

const open = { enableAuth: false, sessionPersistence: true, maxConnectionPerSecond: 100_000 };
const ENDPOINTS = [open, { ...open, serverOptions: { workerGroupSize: 2 } }];
/** Without the fix about one round in five lost a message. */
const ROUNDS = 40;
const MESSAGES = 5;

test('kill -9 afterwards loses none, and those of one publisher stay in order', async () => {
  let broker = await startBroker({ endpoints: ENDPOINTS });
  try {
    const sent: { session: { clientId: string }; texts: string[][] }[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const [topic, group, clientId] = [uid('s/'), uid('g'), uid('c')];
      const session = { clientId, clean: false, properties: { sessionExpiry: 3600 } };
      const member = await connected('tcp', broker.ports[round % 2]!, 5, session);
      await member.subscribe(`$share/${group}/${topic}`, 1);
      // Its session leaves for the session worker, and the messages come on its way.
      await member.disconnect();
      const texts: string[][] = [];
      for (const port of broker.ports) {
        const from = await connected('tcp', port, 5);
        const own = Array.from({ length: MESSAGES }, (_, index) => `${port} ${index}`);
        for (const text of own) await from.publish(topic, text, { qos: 1 });
        texts.push(own);
        await from.disconnect();
      }
      sent.push({ session, texts });
    }
    await broker.kill('SIGKILL');
    broker = await startBroker({ dir: broker.dir });
    for (const { session, texts } of sent) {
      const member = await connected('tcp', broker.ports[0]!, 5, { ...session, clean: false, properties: { sessionExpiry: 0 } });
      const got: string[] = [];
      while (got.length < texts.flat().length) got.push((await member.take()).payload.toString());
      expect(texts.map((own) => got.filter((text) => own.includes(text)))).toEqual(texts);
      await member.disconnect();
    }
  } finally {
    await broker.stop();
  }
}, 90_000);
