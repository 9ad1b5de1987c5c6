/** The disk of messages.db fails while the broker runs (issue 10): what needs it is refused with the cause, all else still works, and the refusals end within 2 s of the disk's return. */

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { type Broker, startBroker } from '../../kit/broker.ts';
import type { QoS } from '../../kit/encode.ts';
import * as encode from '../../kit/encode.ts';
import { canFail, faultyDisk } from '../../kit/faulty-disk.ts';
import { canLimit, limitFileSize } from '../../kit/file-size.ts';
import { connected } from '../../kit/lanes.ts';
import { destroyAll, RawClient } from '../../kit/raw-client.ts';
import { isRoot } from '../../kit/tmpfs.ts';
import { uid, until } from '../../kit/until.ts';

const QUOTA_EXCEEDED = 0x97;
const ENDPOINT = { enableAuth: false, maxConnectionPerSecond: 100_000, sessionPersistence: true, serverOptions: { workerGroupSize: 2 } };
const BEFORE = 5;
/** Time in which storing begins again, and what a busy machine takes beside it. */
const RECOVERY_MS = 2_000 + 1_000;

let broker: Broker;
let folder = '';
let repair = () => {};
afterEach(async () => {
  repair();
  repair = () => {};
  destroyAll();
  await broker?.stop();
  rmSync(folder, { recursive: true, force: true });
}, 40_000);

const durable = (clientId: string): encode.ConnectOptions => ({ clientId, clean: false, properties: { sessionExpiry: 3600 } });
const reasons = async () => ((await broker.api('GET', '/health')).body as { data: { reasons: string[] } }).data.reasons;

async function publish(client: RawClient, topic: string, payload: string, retain = false): Promise<number> {
  client.send(encode.publish(5, topic, payload, { qos: 1, id: 1, retain }));
  return (await client.expect('puback')).code;
}

async function isServed(port: number): Promise<void> {
  const topic = uid('plain/');
  const subscriber = await connected('tcp', port, 5);
  await subscriber.subscribe(topic, 2);
  const publisher = await connected('tcp', port, 4);
  for (const qos of [0, 1, 2] as QoS[]) await publisher.publish(topic, `${qos}`, { qos });
  expect((await subscriber.publishes(3)).map(({ payload }) => payload.toString())).toEqual(['0', '1', '2']);
}

async function refuses(port: number, publisher: RawClient, topic: string): Promise<void> {
  for (let n = 0; n < 3; n++) expect(await publish(publisher, topic, `refused ${n}`)).toBe(QUOTA_EXCEEDED);
  expect(await publish(publisher, `${topic}/kept`, 'new', true)).toBe(QUOTA_EXCEEDED);
  const session = await RawClient.open('tcp', port, 5);
  expect((await session.handshake(durable(uid('new')))).code).toBe(QUOTA_EXCEEDED);
}

/** One way in which the disk fails, and the cause that the broker names. */
interface Failure {
  harm(broker: Broker): void;
  repair(broker: Broker): void;
  cause: string;
}

/** The disk fails and works again: messages are refused in between, no acknowledged one is lost, and no thread is replaced. */
async function failsOnce(publisher: RawClient, topic: string, { harm, repair: mend, cause }: Failure): Promise<void> {
  const port = broker.ports[0]!;
  repair = () => mend(broker);
  harm(broker);
  await refuses(port, publisher, topic);
  await isServed(port);
  expect(await reasons()).toEqual([`messages cannot be stored: ${cause}`]);
  const { body } = await broker.api('GET', '/public/metrics');
  expect(String(body)).toMatch(/^fluxmq_message_store_up 0$/m);
  expect(String(body)).toMatch(/^fluxmq_message_store_refused_total [1-9]/m);
  // The attempts that follow change nothing of that.
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  await refuses(port, publisher, topic);
  expect(await reasons()).toEqual([`messages cannot be stored: ${cause}`]);
  const reader = await connected('tcp', port, 5);
  await reader.subscribe(`${topic}/kept`, 0);
  expect((await reader.take(5_000)).payload.toString()).toBe('old');

  mend(broker);
  repair = () => {};
  await until('messages can be stored', async () => (await reasons()).length === 0, RECOVERY_MS);
  expect(await publish(publisher, topic, `after ${cause}`)).toBe(0);
  const { data } = (await broker.api('GET', '/api/system/health')).body as { data: { workerRestarts: number } };
  expect(data.workerRestarts).toBe(0);
  await until('the log says both', async () => (await broker.log()).includes('Messages can be stored again'));
  expect((await broker.log()).split(`Messages cannot be stored: ${cause}`)).toHaveLength(2);
}

/** The life of a broker whose disk fails in one way after the other, and that is killed then. */
async function failsAndReturns(failures: Failure[], env: Record<string, string> = {}): Promise<void> {
  broker = await startBroker({
    endpoints: [ENDPOINT],
    config: { store: { storeType: 'LOCAL', local: { dataPath: join(folder, 'data') } } },
    env,
  });
  const port = broker.ports[0]!;
  const topic = uid('faulty/');
  const options = durable(uid('away'));
  const away = await connected('tcp', port, 5, options);
  await away.subscribe(topic, 1);
  await away.disconnect();
  const publisher = await connected('tcp', port, 5);
  const expected: string[] = [];
  for (let n = 0; n < BEFORE; n++) expected.push(`before ${n}`);
  for (const text of expected) expect(await publish(publisher, topic, text)).toBe(0);
  expect(await publish(publisher, `${topic}/kept`, 'old', true)).toBeLessThan(0x80);
  for (const failure of failures) {
    await failsOnce(publisher, topic, failure);
    expected.push(`after ${failure.cause}`);
  }
  await broker.kill('SIGKILL');
  broker = await startBroker({ dir: broker.dir });
  const back = await connected('tcp', port, 5, options);
  const got: string[] = [];
  back.autoAcknowledge(({ payload }) => got.push(payload.toString()));
  await until('all that was acknowledged', () => got.includes(expected.at(-1)!), 10_000);
  // A refused message may have been stored: its refusal says that it is not sure to be.
  expect(got.filter((text) => !text.startsWith('refused'))).toEqual(expected);
}

const where = (isPossible: boolean, needs: string) =>
  isPossible ? describe : (name: string, _tests: () => void) => test(`${name}: NOT TESTED, needs ${needs}`, () => {});

where(canFail, 'a C compiler')('a disk that fails', () => {
  test('with EIO, EDQUOT, EROFS and ENOSPC, also for config.db and the log', async () => {
    folder = realpathSync(mkdtempSync(join(tmpdir(), 'fluxmq-fault-')));
    const disk = faultyDisk(folder);
    const failures = (
      [
        ['EIO', 'I/O error'],
        ['EDQUOT', 'disk quota exceeded'],
        ['EROFS', 'read-only file system'],
        ['ENOSPC', 'disk full'],
      ] as const
    ).map(([error, cause]) => ({ harm: () => disk.fail(error), repair: () => disk.fail(null), cause }));
    await failsAndReturns(failures, disk.env);
  }, 120_000);
});

const setImmutable = (path: string, isSet: boolean) => execFileSync('chattr', [isSet ? '+i' : '-i', path], { stdio: 'ignore' });

/** The flag makes the kernel refuse what is mapped as well, as a file system does that became read-only after an error. */
const canBeImmutable =
  isRoot &&
  (() => {
    const path = join(mkdtempSync(join(tmpdir(), 'fluxmq-fault-')), 'f');
    try {
      writeFileSync(path, '');
      setImmutable(path, true);
      setImmutable(path, false);
      return true;
    } catch {
      return false;
    } finally {
      rmSync(join(path, '..'), { recursive: true, force: true });
    }
  })();

/** Ways in which files cannot be written that need nothing loaded into the broker. */
const WAYS: { name: string; needs: string; isPossible: boolean; failure: () => Failure }[] = [
  {
    name: 'files that may not grow, as on a full disk',
    needs: 'prlimit',
    isPossible: canLimit,
    failure: () => ({
      // The write-ahead log of messages.db is longer.
      harm: ({ pid }) => limitFileSize(pid, 20_000),
      repair: ({ pid }) => limitFileSize(pid, null),
      cause: 'disk full',
    }),
  },
  {
    name: 'files that become immutable',
    needs: 'root and a file system with chattr',
    isPossible: canBeImmutable,
    failure: () => {
      const data = join(folder, 'data');
      let flagged: string[] = [];
      return {
        harm() {
          flagged = [...readdirSync(data).map((name) => join(data, name)), data];
          for (const path of flagged) setImmutable(path, true);
        },
        repair() {
          for (const path of flagged.reverse()) setImmutable(path, false);
          flagged = [];
        },
        cause: 'no permission',
      };
    },
  },
];

for (const { name, needs, isPossible } of WAYS) if (!isPossible) test(`${name}: NOT TESTED, needs ${needs}`, () => {});
const possible = WAYS.filter(({ isPossible }) => isPossible);
if (possible.length > 0)
  test(`${possible.map(({ name }) => name).join('; ')}: never end the process`, async () => {
    folder = mkdtempSync(join(tmpdir(), 'fluxmq-fault-'));
    mkdirSync(join(folder, 'data'));
    await failsAndReturns(possible.map(({ failure }) => failure()));
  }, 90_000);
