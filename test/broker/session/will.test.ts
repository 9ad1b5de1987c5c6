/** Will messages: when they are published, when not, and how. */

import { describe, expect, test } from 'vitest';
import * as encode from '../../kit/encode.ts';
import type { Lane } from '../../kit/lanes.ts';
import { LANES, LANES_5, useSharedLanes } from '../../kit/lanes.ts';
import type { RawClient } from '../../kit/raw-client.ts';
import { sleep, uid } from '../../kit/until.ts';

const kit = useSharedLanes();

async function witnessOf(lane: Lane, topic: string): Promise<RawClient> {
  const witness = await kit.client(lane);
  await witness.subscribe(topic, 2);
  return witness;
}

describe.each(LANES)('will, $name', (lane) => {
  test('is published when the connection is cut, with its QoS [5:MQTT-3.1.2-7, 5:MQTT-3.1.2-8, 5:MQTT-3.1.2-12, 3:MQTT-3.1.2-8, 3:MQTT-3.1.2-14]', async () => {
    for (const qos of [0, 1, 2] as const) {
      const topic = uid('w/');
      const witness = await witnessOf(lane, topic);
      const client = await kit.client(lane, { will: { topic, payload: `gone ${qos}`, qos } });
      client.destroy();
      expect(await witness.take()).toMatchObject({ qos, retain: false, payload: Buffer.from(`gone ${qos}`) });
      await witness.silence(30);
    }
  });

  test('is published when the socket is half closed by the client', async () => {
    const topic = uid('w/');
    const witness = await witnessOf(lane, topic);
    const client = await kit.client(lane, { will: { topic, payload: 'gone' } });
    client.transport.socket.end();
    await witness.take();
  });

  test('is not published after DISCONNECT [5:MQTT-3.14.4-3, 5:MQTT-3.1.2-10, 3:MQTT-3.14.4-3, 3:MQTT-3.1.2-10]', async () => {
    const topic = uid('w/');
    const witness = await witnessOf(lane, topic);
    const client = await kit.client(lane, { will: { topic, payload: 'gone' } });
    await client.disconnect();
    await witness.silence();
  });

  test('no will, nothing published [3:MQTT-3.1.2-12]', async () => {
    const clientId = uid('c');
    const topic = uid('w/');
    const witness = await witnessOf(lane, topic);
    const first = await kit.client(lane, { clientId, will: { topic, payload: 'gone' } });
    await first.disconnect();
    // A will belongs to its connection, not to the identifier.
    const second = await kit.client(lane, { clientId });
    await second.cut();
    await witness.silence();
  });

  test('a retained will is retained, another is not [5:MQTT-3.1.2-14, 5:MQTT-3.1.2-15, 3:MQTT-3.1.2-16, 3:MQTT-3.1.2-17]', async () => {
    for (const retain of [true, false]) {
      const topic = uid('w/');
      const witness = await witnessOf(lane, topic);
      const client = await kit.client(lane, { will: { topic, payload: 'gone', qos: 1, retain } });
      client.destroy();
      await witness.take();
      const late = await kit.client(lane);
      await late.subscribe(topic, 1);
      if (retain) expect(await late.take()).toMatchObject({ retain: true, payload: Buffer.from('gone') });
      else await late.silence(60);
    }
  });

  test('is published after a protocol error of its client', async () => {
    const topic = uid('w/');
    const witness = await witnessOf(lane, topic);
    const client = await kit.client(lane, { will: { topic, payload: 'gone' } });
    client.send(encode.frame(0x36, Buffer.from([0, 1, 0x61, 0, 1])));
    await witness.take();
  });

  test('is published when its connection is taken over', async () => {
    const topic = uid('w/');
    const clientId = uid('c');
    const witness = await witnessOf(lane, topic);
    await kit.client(lane, { clientId, will: { topic, payload: 'taken over' } });
    await kit.client({ ...lane, endpoint: 'tcp3' }, { clientId });
    expect((await witness.take()).payload.toString()).toBe('taken over');
  });

  test('an empty one and a large one', async () => {
    for (const payload of [Buffer.alloc(0), Buffer.alloc(60_000, 'x')]) {
      const topic = uid('w/');
      const witness = await witnessOf(lane, topic);
      const client = await kit.client(lane, { will: { topic, payload } });
      client.destroy();
      expect((await witness.take()).payload.equals(payload)).toBe(true);
    }
  });

  test('goes to those who are away', async () => {
    const topic = uid('w/');
    const options = { clientId: uid('c'), clean: false, properties: { sessionExpiry: 60 } };
    const away = await kit.client(lane, options);
    await away.subscribe(topic, 1);
    await away.disconnect();
    const witness = await witnessOf(lane, topic);
    const client = await kit.client(lane, { will: { topic, payload: 'gone', qos: 1 } });
    client.destroy();
    await witness.take();
    const back = await kit.client(lane, options);
    expect((await back.take()).payload.toString()).toBe('gone');
  });
});

describe.concurrent.each(LANES)('will by time, $name', (lane) => {
  test('is published on keep alive timeout', async () => {
    const topic = uid('w/');
    const witness = await witnessOf(lane, topic);
    const client = await kit.client(lane, { keepAlive: 1, will: { topic, payload: 'silent' } });
    expect((await witness.take(6000)).payload.toString()).toBe('silent');
    await client.closed();
  });
});

describe.concurrent.each(LANES_5)('will of MQTT 5, $name', (lane) => {
  const session = { sessionExpiry: 60 };

  test('DISCONNECT 0x04 publishes it, and so does another reason code', async () => {
    for (const code of [0x04, 0x80, 0x82]) {
      const topic = uid('w/');
      const witness = await witnessOf(lane, topic);
      const client = await kit.client(lane, { will: { topic, payload: 'asked for' } });
      await client.disconnect(code);
      expect((await witness.take()).payload.toString()).toBe('asked for');
    }
  });

  test('the delay is waited for', async () => {
    const topic = uid('w/');
    const witness = await witnessOf(lane, topic);
    const client = await kit.client(lane, { properties: session, will: { topic, payload: 'late', qos: 1, properties: { willDelay: 1 } } });
    const start = performance.now();
    await client.cut();
    await witness.take();
    expect(performance.now() - start).toBeGreaterThan(900);
    expect(performance.now() - start).toBeLessThan(3500);
    await witness.silence(100);
  });

  test('a new connection within the delay cancels it [5:MQTT-3.1.3-9]', async () => {
    const topic = uid('w/');
    const clientId = uid('c');
    const witness = await witnessOf(lane, topic);
    const will = { topic, payload: 'cancelled', properties: { willDelay: 1 } };
    const first = await kit.client(lane, { clientId, clean: false, properties: session, will });
    await first.cut();
    const second = await kit.client({ ...lane, endpoint: 'tcp3' }, { clientId, clean: false, properties: session });
    expect(second.connack!.sessionPresent).toBe(true);
    await witness.silence(1800);
  });

  test('a clean start within the delay ends the session, and so publishes it at once', async () => {
    const topic = uid('w/');
    const clientId = uid('c');
    const witness = await witnessOf(lane, topic);
    const will = { topic, payload: 'session ended', properties: { willDelay: 30 } };
    const first = await kit.client(lane, { clientId, clean: false, properties: session, will });
    await first.cut();
    await kit.client(lane, { clientId, clean: true });
    await witness.take(3000);
  });

  test('the end of the session does not wait for a longer delay', async () => {
    const topic = uid('w/');
    const witness = await witnessOf(lane, topic);
    const will = { topic, payload: 'session ended', properties: { willDelay: 30 } };
    const first = await kit.client(lane, { clean: false, properties: { sessionExpiry: 1 }, will });
    const start = performance.now();
    await first.cut();
    await witness.take(5000);
    expect(performance.now() - start).toBeGreaterThan(900);
    const noSession = await kit.client(lane, { will });
    noSession.destroy();
    await witness.take(3000);
  });

  test('takeover with a delay: not published while the session continues', async () => {
    const topic = uid('w/');
    const clientId = uid('c');
    const witness = await witnessOf(lane, topic);
    const will = { topic, payload: 'never', properties: { willDelay: 1 } };
    await kit.client(lane, { clientId, clean: false, properties: session, will });
    await kit.client(lane, { clientId, clean: false, properties: session });
    await witness.silence(1800);
  });

  test('the will of the newer connection counts', async () => {
    const topic = uid('w/');
    const clientId = uid('c');
    const witness = await witnessOf(lane, topic);
    const first = await kit.client(lane, {
      clientId,
      clean: false,
      properties: session,
      will: { topic, payload: 'old', properties: { willDelay: 1 } },
    });
    await first.cut();
    const second = await kit.client(lane, { clientId, clean: false, properties: session, will: { topic, payload: 'new' } });
    second.destroy();
    expect((await witness.take()).payload.toString()).toBe('new');
    await witness.silence(1500);
  });

  test('expiry counts from its publication', async () => {
    const topic = uid('w/');
    const witness = await witnessOf(lane, topic);
    const client = await kit.client(lane, { will: { topic, payload: 'x', properties: { messageExpiry: 50 } } });
    await sleep(1200);
    client.destroy();
    expect((await witness.take()).properties.messageExpiry).toBe(50);
  });
});
