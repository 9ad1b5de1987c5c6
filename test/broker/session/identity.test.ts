/** Messages are told apart over restarts whatever the clock says (issue 10): nothing acknowledged is lost, nothing comes twice. */

import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startBroker } from '../../kit/broker.ts';
import { connected } from '../../kit/lanes.ts';
import { longer } from '../../kit/long.ts';
import { preload } from '../../kit/preload.ts';
import { uid } from '../../kit/until.ts';

const CLOCK = join(import.meta.dirname, '../../kit/frozen-clock.ts');
const open = { enableAuth: false, sessionPersistence: true, maxConnectionPerSecond: 100_000 };
const AT_1970: [string, Record<string, string>] = ['1970', { KIT_CLOCK: '10000' }];
const AT_ONCE: [string, Record<string, string>] = ['the same moment', { KIT_CLOCK: '1780000000000' }];

test.each(longer([AT_1970], [AT_1970, AT_ONCE]))(
  'three starts at %s: every acknowledged message comes, once',
  async (_name, clock) => {
    const env = { ...clock, NODE_OPTIONS: `${process.env['NODE_OPTIONS'] ?? ''} ${preload(CLOCK)}` };
    const endpoints = [open, open];
    let broker = await startBroker({ endpoints, env });
    try {
      const topic = uid('i/');
      const session = { clientId: uid('c'), clean: false, properties: { sessionExpiry: 0xffffffff } };
      const group = uid('g');
      const to = await connected('tcp', broker.ports[0]!, 5, session);
      await to.subscribe([
        { filter: topic, qos: 1 },
        { filter: `$share/${group}/${topic}`, qos: 1 },
      ]);
      await to.disconnect();
      const expected: string[] = [];
      for (let start = 0; start < 3; start++) {
        for (const port of broker.ports) {
          const from = await connected('tcp', port, 5);
          for (let index = 0; index < 5; index++) {
            const text = `${start} ${port} ${index}`;
            await from.publish(topic, text, { qos: 1 });
            // By itself, and as a member of the group.
            expected.push(text, text);
          }
          await from.disconnect();
        }
        if (start % 2 === 0) await broker.kill('SIGKILL');
        else await broker.stop();
        broker = await startBroker({ dir: broker.dir, env });
      }
      const back = await connected('tcp', broker.ports[0]!, 5, session);
      expect(back.connack!.sessionPresent).toBe(true);
      const got: string[] = [];
      while (got.length < expected.length) {
        const message = await back.take();
        got.push(message.payload.toString());
      }
      expect(got.toSorted()).toEqual(expected.toSorted());
      await back.silence();
      expect((await broker.api('GET', '/public/metrics')).body).toContain('fluxmq_message_identity_conflicts_total 0');
    } finally {
      await broker.stop();
    }
  },
  90_000,
);
