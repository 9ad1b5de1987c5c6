/** POST /api/publish where the message cannot be kept: 422 when there is no room for what is retained, 503 when it cannot be stored. Never 200, never a wait without end. */

import { resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Broker, startBroker } from '../kit/broker.ts';
import { canLimit, limitFileSize } from '../kit/file-size.ts';
import { connected } from '../kit/lanes.ts';
import { preload } from '../kit/preload.ts';
import { destroyAll } from '../kit/raw-client.ts';
import { uid, until } from '../kit/until.ts';

const MIB = 1024 * 1024;
const OPEN = { enableAuth: false, maxConnectionPerSecond: 100_000 };
let broker: Broker;

afterAll(destroyAll);

async function publish(
  body: Record<string, unknown>,
): Promise<{ status: number; code: unknown; message: string; kind: string | undefined }> {
  const answer = await broker.api('POST', '/api/publish', body);
  const { code, message, error } = answer.body as { code: number; message: string; error?: { kind: string } };
  return { status: answer.status, code, message, kind: error?.kind };
}

/** The retained messages that a new subscriber gets. */
async function found(port: number, topic: string): Promise<string> {
  const reader = await connected('tcp', port, 5);
  await reader.subscribe(topic, 0);
  const { payload } = await reader.take(5_000);
  reader.destroy();
  return payload.toString().slice(0, 10);
}

describe('no room for retained messages', () => {
  test('422: nothing is published, what was retained stays, other namespaces have theirs', async () => {
    const hook = resolve(import.meta.dirname, '../kit/small-machine.ts');
    broker = await startBroker({
      endpoints: [OPEN, { ...OPEN, namespace: 'other' }],
      // A quarter of the machine is 64 MiB for what is retained, and one namespace may have half of them.
      env: { NODE_OPTIONS: preload(hook), MACHINE_BYTES: `${256 * MIB}` },
    });
    try {
      const [port, other] = broker.ports as [number, number];
      const filler = await connected('tcp', port, 5);
      expect(await publish({ topic: 'kept', payload: 'old', retain: true })).toMatchObject({ status: 200, code: 0 });
      for (let n = 0; n < 7; n++) {
        expect(await filler.publish(`fill/${n}`, Buffer.alloc(4 * MIB - 100), { qos: 1, retain: true })).toBeLessThan(0x80);
      }
      const watcher = await connected('tcp', port, 5);
      await watcher.subscribe('kept', 1);
      await watcher.publishes(1);
      let refused: Awaited<ReturnType<typeof publish>> | null = null;
      for (let n = 0; n < 20 && refused === null; n++) {
        const answer = await publish({ topic: `more/${n}`, payload: 'x'.repeat(900_000), retain: true, qos: 1 });
        if (answer.status !== 200) refused = answer;
      }
      const because = 'The message cannot be retained: namespace default has no room (bytes)';
      expect(refused).toEqual({ status: 422, code: 422, message: because, kind: 'unprocessable' });
      for (const qos of [0, 1, 2]) {
        expect(await publish({ topic: 'kept', payload: 'new'.repeat(300_000), retain: true, qos })).toMatchObject({ status: 422 });
      }
      expect(await found(port, 'kept')).toBe('old');
      await watcher.silence();
      expect(await publish({ topic: 'kept', payload: 'new'.repeat(300_000), qos: 1 }), 'without the flag').toMatchObject({ status: 200 });
      await watcher.publishes(1);
      expect(await publish({ topic: 'kept', payload: 'x'.repeat(900_000), retain: true, namespace: 'other' })).toMatchObject({
        status: 200,
      });
      expect(await found(other, 'kept')).toBe('xxxxxxxxxx');
      // Removing makes room.
      expect(await publish({ topic: 'fill/0', payload: '', retain: true })).toMatchObject({ status: 200 });
      expect(await publish({ topic: 'kept', payload: 'new'.repeat(300_000), retain: true })).toMatchObject({ status: 200 });
      expect(await found(port, 'kept')).toBe('newnewnewn');
    } finally {
      await broker.stop();
    }
  }, 60_000);
});

/** The tool comes with Linux. */
const whereLimits = canLimit ? describe : (name: string, _tests: () => void) => test(`${name}: NOT TESTED, needs prlimit`, () => {});

whereLimits('messages cannot be stored', () => {
  beforeAll(async () => {
    broker = await startBroker({ endpoints: [{ ...OPEN, sessionPersistence: true }] });
  });
  afterAll(async () => {
    destroyAll();
    expect(await broker.stop()).toBe(0);
  });

  test.each([
    ['retained', { retain: true }],
    ['retained, QoS 1', { retain: true, qos: 1 }],
    ['for a durable session', { qos: 1 }],
    ['for a durable session, QoS 2', { qos: 2 }],
  ])(
    '%s: 503 at once, also for the very message that finds the disk full; 200 again by itself',
    async (_name, how) => {
      try {
        const [port] = broker.ports as [number];
        const topic = uid('t/');
        const away = await connected('tcp', port, 5, { clientId: uid('away'), clean: false, properties: { sessionExpiry: 3600 } });
        await away.subscribe(topic, 2);
        expect(await publish({ topic, payload: 'old', ...how })).toMatchObject({ status: 200 });
        await away.disconnect();
        // The write-ahead log of messages.db is longer.
        limitFileSize(broker.pid, 20_000);
        for (let n = 0; n < 3; n++) {
          const started = performance.now();
          const answer = await publish({ topic, payload: 'new', ...how });
          expect(answer).toMatchObject({ status: 503, kind: 'unavailable', message: 'The message cannot be stored: disk full' });
          expect(performance.now() - started).toBeLessThan(5_000);
        }
        expect(await publish({ topic, payload: 'needs no disk' })).toMatchObject({ status: 200 });
        if ('retain' in how) expect(await found(port, topic)).toBe('old');
        limitFileSize(broker.pid, null);
        await until('it is stored', async () => (await publish({ topic, payload: 'new', ...how })).status === 200, 4_000);
      } finally {
        limitFileSize(broker.pid, null);
      }
    },
    60_000,
  );
});
