/** sessionPersistence: sessions, queues and the state of QoS 2 survive `kill -9` and a stop of the node. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Broker } from '../../kit/broker.ts';
import { startBroker } from '../../kit/broker.ts';
import * as encode from '../../kit/encode.ts';
import { connected } from '../../kit/lanes.ts';
import { destroyAll } from '../../kit/raw-client.ts';
import { sleep, uid, until } from '../../kit/until.ts';

const open = { enableAuth: false, maxConnectionPerSecond: 100_000 };
const DURABLE = { ...open, sessionPersistence: true };
const FORGETFUL = { ...open, sessionPersistence: false };
const ENDPOINTS = [DURABLE, { ...DURABLE, useWebsocket: true, serverOptions: { workerGroupSize: 2 } }, FORGETFUL];
/** Seconds of what expires while the node is down. */
const SHORT = 1;

/** Prepares a case before the node ends. @returns looks at it after the restart */
type Case = (broker: Broker) => Promise<(again: Broker) => Promise<void>>;

/** Cases by name. The last one ends while it publishes. */
const CASES: Record<string, Case> = {
  'session, subscriptions, queue, window and QoS 2 state are back': async (broker) => {
    const topic = uid('p/');
    const session = (clientId: string): encode.ConnectOptions => ({ clientId, clean: false, properties: { sessionExpiry: 3600 } });
    const [awayId, busyId, senderId] = [uid('away'), uid('busy'), uid('sender')];
    const away = await connected('tcp', broker.ports[0]!, 5, session(awayId));
    await away.subscribe([{ filter: `${topic}/#`, qos: 2 }], 0, { subscriptionIds: [77] });
    await away.disconnect();
    const busy = await connected('ws', broker.ports[1]!, 5, session(busyId));
    await busy.subscribe(`${topic}/#`, 2);
    const sender = await connected('tcp', broker.ports[0]!, 5, session(senderId));
    for (let index = 0; index < 20; index++) {
      await sender.publish(`${topic}/${index % 2}`, `${index}`, {
        qos: index % 2 === 0 ? 1 : 2,
        properties: { user: [['n', `${index}`]] },
      });
    }
    // The busy one: two acknowledged, one between PUBREC and PUBCOMP, the rest in flight.
    const window = await busy.publishes(20);
    await busy.acknowledge(window[0]!);
    await busy.acknowledge(window[1]!);
    busy.send(encode.pubrec(window[3]!.id));
    await busy.expect('pubrel');
    await busy.ping();
    // The sender is between PUBLISH and PUBREL.
    sender.send(encode.publish(5, `${topic}/half`, 'half', { qos: 2, id: 500 }));
    await sender.expect('pubrec');
    await sender.publish(`${topic}/kept`, 'retained', { qos: 1, retain: true });

    return async (again) => {
      // The sender continues where it was.
      const senderBack = await connected('tcp', again.ports[0]!, 5, session(senderId));
      expect(senderBack.connack!.sessionPresent).toBe(true);
      senderBack.send(encode.publish(5, `${topic}/half`, 'half', { qos: 2, id: 500, dup: true }));
      expect(await senderBack.expect('pubrec')).toMatchObject({ id: 500 });
      senderBack.send(encode.pubrel(500));
      expect(await senderBack.expect('pubcomp')).toMatchObject({ id: 500, code: 0 });

      const awayBack = await connected('ws', again.ports[1]!, 5, session(awayId));
      expect(awayBack.connack!.sessionPresent).toBe(true);
      const texts: string[] = [];
      for (let index = 0; index < 22; index++) {
        const message = await awayBack.take();
        expect(message.properties.subscriptionIds).toEqual([77]);
        if (index < 20) expect(message.properties.user).toEqual([['n', `${index}`]]);
        texts.push(message.payload.toString());
      }
      expect(texts).toEqual([...Array.from({ length: 20 }, (_, index) => `${index}`), 'half', 'retained']);
      await awayBack.silence();

      const busyBack = await connected('tcp', again.ports[0]!, 5, session(busyId));
      expect(busyBack.connack!.sessionPresent).toBe(true);
      const seen: string[] = [];
      let releases = 0;
      // 2 and 4..19 again, PUBREL for 3, and the two that came while it was not there to acknowledge.
      while (seen.length < 19 || releases < 1) {
        const packet = await busyBack.next();
        if (packet.type === 'pubrel') {
          expect(packet.id).toBe(window[3]!.id);
          busyBack.send(encode.pubcomp(packet.id));
          releases++;
        } else if (packet.type === 'publish') {
          seen.push(packet.payload.toString());
          const before = window.find((message) => message.payload.equals(packet.payload));
          if (before)
            expect({ text: seen.at(-1), id: packet.id, dup: packet.dup }).toEqual({
              text: before.payload.toString(),
              id: before.id,
              dup: true,
            });
          if (packet.qos === 1) busyBack.send(encode.puback(packet.id));
          else busyBack.send(encode.pubrec(packet.id, 0x80));
        }
      }
      expect(seen.toSorted()).toEqual(
        [...Array.from({ length: 17 }, (_, index) => `${index + 3}`).filter((text) => text !== '3'), '2', 'half', 'retained'].toSorted(),
      );
      await busyBack.silence();

      // Retained messages are kept too.
      const fresh = await connected('tcp', again.ports[0]!, 4);
      await fresh.subscribe(`${topic}/kept`, 1);
      expect(await fresh.take()).toMatchObject({ retain: true, payload: Buffer.from('retained') });
    };
  },

  'without sessionPersistence sessions end with the node': async (broker) => {
    const options = { clientId: uid('c'), clean: false, properties: { sessionExpiry: 3600 } };
    await connected('tcp', broker.ports[2]!, 5, options);
    return async (again) => {
      expect((await connected('tcp', again.ports[2]!, 5, options)).connack!.sessionPresent).toBe(false);
    };
  },

  'thousands of filters of one session are kept without holding anybody up, and those taken back stay away': async (broker) => {
    const base = uid('many/');
    const session: encode.ConnectOptions = { clientId: uid('many'), clean: false, properties: { sessionExpiry: 3600 } };
    const filters = Array.from({ length: 5000 }, (_, index) => `${base}/${index}/a/filter/of/ordinary/length`);
    const first = await connected('tcp', broker.ports[0]!, 5, session);
    // Each is awaited: written anew with every one of them, such a session would take minutes.
    for (let at = 0; at < filters.length; at += 500) await first.subscribe(filters.slice(at, at + 500), 1);
    await first.subscribe(filters[7]!, 2);
    await first.unsubscribe(...filters.slice(1000, 1100));
    await first.cut();
    return async (again) => {
      const from = await connected('tcp', again.ports[0]!, 5);
      for (const index of [7, 1050, 4999]) await from.publish(filters[index]!, `${index}`, { qos: 2 });
      const back = await connected('tcp', again.ports[0]!, 5, session);
      expect(back.connack!.sessionPresent).toBe(true);
      const got = [await back.take(), await back.take()];
      expect(got.map(({ payload, qos }) => [payload.toString(), qos])).toEqual([
        ['7', 2],
        ['4999', 1],
      ]);
      await back.silence();
    };
  },

  'what expired while the node was down is not back: sessions, queued and retained messages': async (broker) => {
    const options = { clientId: uid('c'), clean: false, properties: { sessionExpiry: SHORT } };
    const lasting = { clientId: uid('c'), clean: false, properties: { sessionExpiry: 3600 } };
    const topic = uid('p/');
    const to = await connected('tcp', broker.ports[0]!, 5, lasting);
    await to.subscribe(topic, 1);
    await to.disconnect();
    const from = await connected('tcp', broker.ports[0]!, 5);
    await from.publish(topic, 'short', { qos: 1, retain: true, properties: { messageExpiry: SHORT } });
    await from.publish(topic, 'long', { qos: 1, properties: { messageExpiry: 3600 } });
    const client = await connected('tcp', broker.ports[0]!, 5, options);
    await client.disconnect();
    return async (again) => {
      const back = await connected('tcp', again.ports[0]!, 5, lasting);
      const [message] = await back.publishes(1);
      expect(message!.payload.toString()).toBe('long');
      expect(message!.properties.messageExpiry).toBeLessThanOrEqual(3599);
      await back.silence();
      await back.subscribe(`+/${topic.slice(2)}`);
      await back.silence();
      expect((await connected('tcp', again.ports[0]!, 5, options)).connack!.sessionPresent).toBe(false);
    };
  },

  'an acknowledged QoS 1 message is on disk: an end in the middle of a stream loses none': async (broker) => {
    const topic = uid('p/');
    const options = { clientId: uid('c'), clean: false, properties: { sessionExpiry: 3600 } };
    const to = await connected('tcp', broker.ports[0]!, 5, options);
    await to.subscribe(topic, 1);
    await to.disconnect();
    const from = await connected('tcp', broker.ports[0]!, 5);
    let acknowledged = 0;
    from.tap = (packet) => {
      if (packet.type === 'puback') acknowledged++;
    };
    for (let index = 0; index < 90; index++) from.send(encode.publish(5, topic, `${index}`, { qos: 1, id: index + 1 }));
    await until('30 messages acknowledged', () => acknowledged >= 30, undefined, 1);
    const sure = acknowledged;
    return async (again) => {
      const back = await connected('tcp', again.ports[0]!, 5, options);
      const messages = await back.publishes(sure);
      expect(messages.map((message) => message.payload.toString())).toEqual(Array.from({ length: sure }, (_, index) => `${index}`));
    };
  },
};

describe.each(['SIGKILL', 'SIGTERM'] as const)('after %s', (how) => {
  const verify = new Map<string, (again: Broker) => Promise<void>>();
  let broker: Broker;
  beforeAll(async () => {
    broker = await startBroker({ endpoints: ENDPOINTS });
    for (const [name, prepare] of Object.entries(CASES)) verify.set(name, await prepare(broker));
    if (how === 'SIGKILL') await broker.kill('SIGKILL');
    else expect(await broker.stop()).toBe(0);
    await sleep(SHORT * 1000 + 500);
    broker = await startBroker({ dir: broker.dir });
  }, 60_000);
  afterAll(async () => {
    destroyAll();
    expect(await broker.stop()).toBe(0);
  });

  test.each(Object.keys(CASES))('%s', async (name) => {
    await verify.get(name)!(broker);
  });
});
