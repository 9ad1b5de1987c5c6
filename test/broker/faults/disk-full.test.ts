/** A data folder on a full disk (issue 10): what needs it is refused with a reason, everything else still works, and the refusals end when there is room. Needs root. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Broker, startBroker } from '../../kit/broker.ts';
import * as encode from '../../kit/encode.ts';
import { connected } from '../../kit/lanes.ts';
import { destroyAll, RawClient } from '../../kit/raw-client.ts';
import { isRoot, mountSmallDisk, type SmallDisk } from '../../kit/tmpfs.ts';
import { uid, until } from '../../kit/until.ts';

const QUOTA_EXCEEDED = 0x97;
const open = { enableAuth: false, maxConnectionPerSecond: 100_000, maxSessionSize: 1000 };
const ENDPOINTS = [{ ...open, sessionPersistence: true, maxQueuedMessages: 1_000_000, serverOptions: { workerGroupSize: 2 } }, { ...open }];

let broker: Broker;
let disk: SmallDisk | null = null;
let folder = '';

async function start(): Promise<void> {
  folder = mkdtempSync(join(tmpdir(), 'fluxmq-full-'));
  disk = mountSmallDisk(join(folder, 'data'), '8m');
  // The log is on another disk.
  broker = await startBroker({
    endpoints: ENDPOINTS,
    config: { store: { storeType: 'LOCAL', local: { dataPath: join(folder, 'data') } } },
  });
}

async function stop(): Promise<void> {
  destroyAll();
  await broker?.stop();
  disk?.unmount();
  rmSync(folder, { recursive: true, force: true });
}

const durable = (clientId: string): encode.ConnectOptions => ({ clientId, clean: false, properties: { sessionExpiry: 3600 } });
const health = async () =>
  (await broker.api('GET', '/api/system/health')).body as {
    data: { status: string; messages: { ok: boolean; reason: string | null }; workerRestarts: number };
  };
const reasons = async () => ((await broker.api('GET', '/health')).body as { data: { reasons: string[] } }).data.reasons;
const isStored = () => until('messages can be stored', async () => (await health()).data.messages.ok, 4_000);

/** A durable session that subscribes and goes. @returns its client identifier */
async function away(filter: string): Promise<string> {
  const clientId = uid('away');
  const client = await connected('tcp', broker.ports[0]!, 5, durable(clientId));
  await client.subscribe(filter, 1);
  await client.disconnect();
  return clientId;
}

/** A QoS 1 PUBLISH. @returns the reason code of its PUBACK */
async function publish(client: RawClient, topic: string, id: number, payload: Buffer | string, retain = false): Promise<number> {
  client.send(encode.publish(5, topic, payload, { qos: 1, id, retain }));
  return (await client.expect('puback')).code;
}

/** Acknowledges everything until each message of fill(), and the topic if one is named, has come. */
async function takeAll(client: RawClient, taken: number, topic = ''): Promise<void> {
  const got = new Set<string>();
  client.autoAcknowledge((message) => {
    got.add(message.payload.toString('utf8', 0, 8).split(' ')[0]!);
    got.add(message.topic);
  });
  const missing = () => Array.from({ length: taken }, (_, n) => `${n}`).filter((n) => !got.has(n));
  await until('all has come', () => missing().length === 0 && (topic === '' || got.has(topic)), 15_000);
}

/** Publishes for a session that is away until one is refused. @returns how many were taken */
async function fill(client: RawClient, topic: string): Promise<number> {
  for (let n = 0; n < 5_000; n++) {
    if ((await publish(client, topic, (n % 60_000) + 1, Buffer.alloc(4_000, `${n} `))) === QUOTA_EXCEEDED) return n;
  }
  throw new Error('the disk was never full');
}

/** Looks at a full disk. @returns looks at one with room again */
type WhenFull = (taken: number) => Promise<() => Promise<void>>;

/** Cases by name: each prepares while there is room. */
const CASES: Record<string, (topic: string) => Promise<WhenFull>> = {
  'what it cannot keep is refused, the rest is served, and nothing that was acknowledged is lost': async (topic) => {
    const [port, plain] = broker.ports as [number, number];
    const clientId = await away(`${topic}/#`);
    const publisher = await connected('tcp', port, 5);
    await publish(publisher, `${topic}-kept`, 1, 'old', true);
    return async (taken) => {
      // The log reports it once, and no thread is replaced.
      expect((await health()).data).toMatchObject({
        status: 'degraded',
        messages: { ok: false, reason: 'messages cannot be stored: disk full' },
        workerRestarts: 0,
      });
      expect(await reasons()).toEqual(['messages cannot be stored: disk full']);
      const metrics = String((await broker.api('GET', '/public/metrics')).body);
      expect(metrics).toMatch(/^fluxmq_message_store_up 0$/m);
      expect((await broker.log()).split('Messages cannot be stored: disk full').length).toBe(2);

      // Refused: QoS 2, retained messages, new durable sessions and subscriptions.
      publisher.send(encode.publish(5, `${topic}/a`, 'x', { qos: 2, id: 9 }));
      expect((await publisher.expect('pubrec')).code).toBe(QUOTA_EXCEEDED);
      publisher.send(encode.publish(5, `${topic}/a`, 'x', { qos: 2, id: 9 }));
      expect((await publisher.expect('pubrec')).code).toBe(QUOTA_EXCEEDED);
      expect(await publish(publisher, `${topic}-kept`, 2, 'new', true)).toBe(QUOTA_EXCEEDED);
      for (const [version, clean, code] of [
        [5, false, QUOTA_EXCEEDED],
        [5, true, QUOTA_EXCEEDED],
        [4, false, 3],
      ] as const) {
        const refused = await RawClient.open('tcp', port, version);
        const options = version === 4 ? { clientId: uid('new'), clean } : { ...durable(uid('new')), clean };
        expect((await refused.handshake(options)).code).toBe(code);
      }
      const back = await connected('tcp', port, 5, durable(clientId));
      expect(back.connack!.sessionPresent).toBe(true);
      expect(
        (
          await back.subscribeRaw([
            { filter: `${topic}-other`, qos: 1 },
            { filter: `${topic}/#`, qos: 1 },
          ])
        ).codes,
      ).toEqual([QUOTA_EXCEEDED, 1]);
      await back.disconnect();

      // Served: every QoS among sessions that need no disk, on both endpoints, also new ones; the old retained message.
      for (const at of [port, plain]) {
        const subscriber = await connected('tcp', at, 5);
        await subscriber.subscribe(`${topic}-plain`, 2);
        const other = await connected('tcp', at, 5);
        for (const qos of [0, 1, 2] as const) await other.publish(`${topic}-plain`, `${qos}`, { qos });
        expect((await subscriber.publishes(3)).map(({ payload }) => payload.toString())).toEqual(['0', '1', '2']);
      }
      const reader = await connected('tcp', plain, 5);
      await reader.subscribe(`${topic}-kept`, 0);
      expect((await reader.expect('publish')).payload.toString()).toBe('old');

      return async () => {
        expect(await publish(publisher, `${topic}/b`, 5, 'last')).toBe(0);
        expect(await publish(publisher, `${topic}-kept`, 6, 'new', true)).toBe(0);
        expect((await broker.log()).split('Messages can be stored again').length).toBe(2);
        const taker = await connected('tcp', port, 5, durable(clientId));
        await takeAll(taker, taken, `${topic}/b`);
        expect((await health()).data).toMatchObject({ status: 'ok', workerRestarts: 0 });
      };
    };
  },

  'MQTT 3.1.1 publishes wait without an acknowledgement, and are stored when there is room': async (topic) => {
    const port = broker.ports[0]!;
    await away(`${topic}/#`);
    return async () => {
      const old = await connected('tcp', port, 4);
      old.send(encode.publish(4, `${topic}/held`, 'one', { qos: 1, id: 1 }));
      old.send(encode.publish(4, `${topic}/held`, 'two', { qos: 1, id: 2 }));
      await old.ping();
      await old.silence(700);
      await old.publish('elsewhere', 'x', { qos: 1 });
      const many = await connected('tcp', port, 4);
      for (let id = 1; id <= 101; id++) many.send(encode.publish(4, `${topic}/held`, 'many', { qos: 1, id }));
      expect(await many.closed()).toEqual([]);
      return async () => {
        expect((await old.expect('puback')).id).toBe(1);
        expect((await old.expect('puback')).id).toBe(2);
      };
    };
  },
};
for (const from of [0, 1]) {
  CASES[`shared messages for a connected durable member, publisher on endpoint ${from}: refused, and stored when there is room`] = async (
    topic,
  ) => {
    const port = broker.ports[0]!;
    const members = await Promise.all(['a', 'b'].map((name) => connected('tcp', port, 5, durable(uid(name)))));
    for (const member of members) await member.subscribe(`$share/g/${topic}/shared`, 2);
    const plain = await connected('tcp', port, 5);
    await plain.subscribe(`$share/g/${topic}/plain`, 1);
    const publisher = await connected('tcp', broker.ports[from]!, 5);
    expect(await publish(publisher, `${topic}/shared`, 1, 'before')).toBe(0);
    return async () => {
      expect(await publish(publisher, `${topic}/shared`, 2, 'refused')).toBe(QUOTA_EXCEEDED);
      publisher.send(encode.publish(5, `${topic}/shared`, 'refused', { qos: 2, id: 3 }));
      expect((await publisher.expect('pubrec')).code).toBe(QUOTA_EXCEEDED);
      expect(await publish(publisher, `${topic}/plain`, 4, 'served')).toBe(0);
      const old = await connected('tcp', broker.ports[from]!, 4);
      old.send(encode.publish(4, `${topic}/shared`, 'held', { qos: 1, id: 1 }));
      await old.ping();
      return async () => {
        expect((await old.expect('puback')).id).toBe(1);
        expect(await publish(publisher, `${topic}/shared`, 5, 'after')).toBe(0);
        const got: string[] = [];
        for (const member of members) member.autoAcknowledge(({ payload }) => got.push(payload.toString()));
        await until('what was acknowledged has come', () => got.length === 3);
        expect(got.toSorted()).toEqual(['after', 'before', 'held']);
      };
    };
  };
}
const NAMES = Object.keys(CASES);

/** Mounting needs root. */
const whereRoot = isRoot ? describe : (name: string, _tests: () => void) => test(`${name}: needs root`, () => {});

whereRoot('a disk that is full, and has room again', () => {
  const whenFull = new Map<string, WhenFull>();
  const whenRoom = new Map<string, () => Promise<void>>();
  const topics = new Map(NAMES.map((name) => [name, uid('full/')]));
  let taken: number;
  beforeAll(async () => {
    await start();
    for (const name of NAMES) whenFull.set(name, await CASES[name]!(topics.get(name)!));
    taken = await fill(await connected('tcp', broker.ports[0]!, 5), `${topics.get(NAMES[0]!)}/a`);
    expect(taken).toBeGreaterThan(100);
  }, 60_000);
  afterAll(stop, 40_000);

  test.each(NAMES)('full: %s', async (name) => {
    whenRoom.set(name, await whenFull.get(name)!(taken));
  });

  test('messages can be stored within 2 s of room', async () => {
    disk!.resize('64m');
    await isStored();
  });

  test.each(NAMES)('room: %s', async (name) => {
    await whenRoom.get(name)!();
  });
});

whereRoot('a disk that is full when the broker is killed', () => {
  afterAll(stop, 40_000);

  test('loses nothing that was acknowledged; the broker starts on it, says so, and serves what needs none', async () => {
    await start();
    const [port, plain] = broker.ports as [number, number];
    const topic = uid('kill/');
    const clientId = await away(`${topic}/#`);
    const taken = await fill(await connected('tcp', port, 5), `${topic}/a`);
    await broker.kill('SIGKILL');
    broker = await startBroker({ dir: broker.dir, readyMs: 40_000 });
    expect(await reasons()).toEqual(['messages cannot be stored: disk full']);
    const client = await connected('tcp', plain, 5);
    await client.publish('x', 'y', { qos: 1 });
    const back = await connected('tcp', port, 5, durable(clientId));
    expect(back.connack!.sessionPresent).toBe(true);
    await takeAll(back, taken);
    // Delivered messages have made room within the file.
    await isStored();
  }, 90_000);
});
