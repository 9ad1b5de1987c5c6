/** A device that restarts and forgets its packet identifiers, while its session remembers them: neither window is taken by the past. */

import { describe, expect, test } from 'vitest';
import * as encode from '../../kit/encode.ts';
import { LANES, LANES_5, type Lane, useLanes } from '../../kit/lanes.ts';
import type { RawClient } from '../../kit/raw-client.ts';
import { uid } from '../../kit/until.ts';

const WINDOW = 5;

for (const sessionPersistence of [false, true]) {
  describe(sessionPersistence ? 'durable' : 'in memory', () => {
    const kit = useLanes({ maxReceiveWindowSize: WINDOW, maxSendWindowSize: WINDOW, sessionPersistence });

    /** Each call is the device after another restart. */
    function device(lane: Lane): () => Promise<RawClient> {
      const clientId = uid('c');
      return () => kit.client(lane, { clientId, clean: false, ...(lane.version === 5 ? { properties: { sessionExpiry: 300 } } : {}) });
    }

    /** Fills the receive window by exchanges that end after PUBREC. */
    async function leaveHalfDone(client: RawClient, topic: string, first: number): Promise<void> {
      for (let id = first; id < first + WINDOW; id++) client.send(encode.publish(client.version, topic, 'half', { qos: 2, id }));
      for (let id = first; id < first + WINDOW; id++) expect(await client.expect('pubrec')).toMatchObject({ id });
      await client.cut();
    }

    describe.each(LANES)('$name', (lane) => {
      test('what it began to publish before takes nothing of the receive window [5:MQTT-3.3.4-7, 5:MQTT-4.3.3-10]', async () => {
        const topic = uid('f/');
        const witness = await kit.client(lane);
        await witness.subscribe(topic, 2);
        const start = device(lane);
        for (let life = 0; life < 4; life++) await leaveHalfDone(await start(), topic, 1 + life * WINDOW);
        const client = await start();
        expect(await client.publish(topic, 'new', { qos: 2, id: 999 })).toBeLessThan(0x80);
        // It may end what it left half done at any time, as a repeated PUBLISH or by PUBREL alone: once, and never routed again.
        client.send(encode.publish(lane.version, topic, 'half', { qos: 2, id: 1, dup: true }));
        expect((await client.expect('pubrec')).id).toBe(1);
        for (let id = 1; id <= 4 * WINDOW; id++) {
          client.send(encode.pubrel(id));
          expect((await client.expect('pubcomp')).id).toBe(id);
        }
        for (let count = 0; count < 4 * WINDOW; count++) expect((await witness.take()).payload.toString()).toBe('half');
        expect((await witness.take()).payload.toString()).toBe('new');
        await witness.silence();
      });

      test('PUBRELs that it does not know take nothing of the send window', async () => {
        const topic = uid('f/');
        const start = device(lane);
        await (await start()).subscribe(topic, 2);
        const from = await kit.client(lane);
        for (let life = 0; life < 3; life++) {
          const client = await start();
          for (let n = 0; n < WINDOW; n++) await from.publish(topic, `${life}`, { qos: 2 });
          const ids = [];
          while (ids.length < WINDOW) {
            const packet = await client.next();
            if (packet.type !== 'publish') continue;
            expect(packet.payload.toString()).toBe(`${life}`);
            ids.push(packet.id);
          }
          for (const id of ids) client.send(encode.pubrec(id));
          for (let left = WINDOW; left > 0; ) if ((await client.next()).type === 'pubrel') left--;
          await client.cut();
        }
        // All identifiers are still there: PUBCOMP is taken at last, and gives no more places than there are.
        const client = await start();
        const released = [];
        while (released.length < 3 * WINDOW) released.push((await client.expect('pubrel')).id);
        for (const id of released) client.send(encode.pubcomp(id));
        await client.ping();
        for (let n = 0; n < WINDOW + 2; n++) await from.publish(topic, 'last', { qos: 2 });
        for (let n = 0; n < WINDOW; n++) expect((await client.expect('publish')).payload.toString()).toBe('last');
        await client.silence();
      });
    });

    describe.each(LANES_5)('$name', (lane) => {
      test('the window of a connection counts what it brings: as many as allowed, one more is too much [5:MQTT-3.3.4-7]', async () => {
        const topic = uid('f/');
        const start = device(lane);
        await leaveHalfDone(await start(), topic, 1);
        const client = await start();
        // Repeats take places on the new connection, each once.
        for (let round = 0; round < 2; round++) {
          for (let id = 1; id <= 2; id++) client.send(encode.publish(5, topic, 'half', { qos: 2, id, dup: true }));
          for (let id = 1; id <= 2; id++) await client.expect('pubrec');
        }
        for (let id = 11; id <= 10 + WINDOW - 2; id++) client.send(encode.publish(5, topic, 'new', { qos: 2, id }));
        for (let id = 11; id <= 10 + WINDOW - 2; id++) await client.expect('pubrec');
        // PUBCOMP for an exchange of the earlier connection gives a place as well.
        client.send(encode.pubrel(5));
        await client.expect('pubcomp');
        client.send(encode.publish(5, topic, 'new', { qos: 2, id: 50 }));
        expect((await client.expect('pubrec')).id).toBe(50);
        client.send(encode.publish(5, topic, 'new', { qos: 2, id: 51 }));
        await client.refused(0x93);
      });
    });
  });
}
