/** A session belongs to the user who made it: another one ends it with a clean start, or is refused, and hears nothing of it (issue 10). */

import { describe, expect, test } from 'vitest';
import { type Broker, startBroker } from '../../kit/broker.ts';
import type { ConnectOptions, Version } from '../../kit/encode.ts';
import { connected, useBroker } from '../../kit/lanes.ts';
import { RawClient } from '../../kit/raw-client.ts';
import type { TransportName } from '../../kit/transport.ts';
import { uid, until } from '../../kit/until.ts';

const quick = { maxConnectionPerSecond: 100_000, maxSessionSize: 100_000 };
const fixed = {
  authType: 'fixed',
  authConfig: {
    users: [
      { username: 'alice', password: 'a' },
      { username: 'mallory', password: 'm' },
    ],
  },
};
const ENDPOINTS = [
  { ...quick, ...fixed, sessionPersistence: true },
  { ...quick, ...fixed, useWebsocket: true, serverOptions: { workerGroupSize: 3 } },
  { ...quick, enableAuth: false },
];

/** The last tests restart it. */
const held = useBroker(() => ({ endpoints: ENDPOINTS }));

interface Place {
  transport: TransportName;
  endpoint: number;
}
const TCP: Place = { transport: 'tcp', endpoint: 0 };
const WS: Place = { transport: 'ws', endpoint: 1 };
const OPEN: Place = { transport: 'tcp', endpoint: 2 };

const as = (username: string): ConnectOptions => ({ username, password: username[0]! });
const kept = (version: Version): ConnectOptions => ({ clean: false, ...(version === 5 ? { properties: { sessionExpiry: 3600 } } : {}) });
const codeOf = (version: Version): number => (version === 5 ? 0x87 : 5);

const join = (broker: Broker, { transport, endpoint }: Place, version: Version, options: ConnectOptions) =>
  connected(transport, broker.ports[endpoint]!, version, options);

async function attempt(broker: Broker, { transport, endpoint }: Place, version: Version, options: ConnectOptions): Promise<number> {
  const client = await RawClient.open(transport, broker.ports[endpoint]!, version);
  const { code, sessionPresent } = await client.handshake(options);
  if (code === 0) throw new Error('the claim was not refused');
  expect(sessionPresent).toBe(false);
  expect(await client.closed()).toEqual([]);
  return code;
}

/** Sum of a metric over all endpoints. */
async function metric(broker: Broker, name: string, label = ''): Promise<number> {
  const text = await (await fetch(`${broker.admin}/public/metrics`)).text();
  const lines = text.split('\n').filter((line) => line.startsWith(`fluxmq_endpoint_${name}{`) && line.includes(label));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

describe.each([
  [5, TCP, TCP],
  [5, TCP, WS],
  [5, WS, TCP],
  [4, TCP, TCP],
  [4, WS, WS],
  [4, TCP, WS],
  [3, TCP, TCP],
] as [Version, Place, Place][])('MQTT %i, from %o to %o', (version, home, other) => {
  test('without clean start: refused, whoever is away keeps everything', async () => {
    const [clientId, topic] = [uid('phone'), uid('t/')];
    const options = { clientId, ...as('alice'), ...kept(version) };
    const alice = await join(held.broker, home, version, options);
    await alice.subscribe(topic, 1);
    await alice.disconnect();
    const sender = await join(held.broker, TCP, 5, { clientId: uid('s'), ...as('alice') });
    await sender.publish(topic, 'one', { qos: 1 });
    for (let time = 0; time < 3; time++) {
      expect(await attempt(held.broker, other, version, { clientId, ...as('mallory'), ...kept(version) })).toBe(codeOf(version));
    }
    // A session that would end with its connection asks for no less.
    if (version === 5) expect(await attempt(held.broker, other, 5, { clientId, ...as('mallory'), clean: false })).toBe(0x87);
    await sender.publish(topic, 'two', { qos: 1 });
    const back = await join(held.broker, home, version, options);
    expect(back.connack!.sessionPresent).toBe(version !== 3);
    expect([(await back.take()).payload.toString(), (await back.take()).payload.toString()]).toEqual(['one', 'two']);
    await back.disconnect();
  });

  test('without clean start: who is connected notices nothing', async () => {
    for (const session of [kept(version), { clean: true }]) {
      const [clientId, topic, will] = [uid('live'), uid('t/'), uid('w/')];
      const alice = await join(held.broker, home, version, {
        clientId,
        ...as('alice'),
        ...session,
        will: { topic: will, payload: 'gone' },
      });
      await alice.subscribe(topic, 1);
      const witness = await join(held.broker, TCP, 5, { clientId: uid('w'), ...as('alice') });
      await witness.subscribe(will);
      expect(await attempt(held.broker, other, version, { clientId, ...as('mallory'), ...kept(version) })).toBe(codeOf(version));
      await witness.publish(topic, 'still here', { qos: 1 });
      expect((await alice.take()).payload.toString()).toBe('still here');
      await alice.ping();
      await witness.silence(50);
      await alice.disconnect();
    }
  });

  test('with clean start: the session ends, nothing of it is heard, and it is the new one’s', async () => {
    const [clientId, topic] = [uid('phone'), uid('t/')];
    const options = { clientId, ...as('alice'), ...kept(version) };
    const alice = await join(held.broker, home, version, options);
    await alice.subscribe(topic, 1);
    await alice.disconnect();
    const sender = await join(held.broker, TCP, 5, { clientId: uid('s'), ...as('alice') });
    await sender.publish(topic, 'for alice', { qos: 1 });
    const mallory = await join(held.broker, other, version, { clientId, ...as('mallory'), ...kept(version), clean: true });
    expect(mallory.connack!.sessionPresent).toBe(false);
    await sender.publish(topic, 'for alice too', { qos: 1 });
    await mallory.silence();
    await mallory.disconnect();
    if (version === 5) expect(await attempt(held.broker, home, 5, options)).toBe(0x87);
  });
});

test('over several threads at once, every foreign claim is refused and the owner stays connected', async () => {
  const clientId = uid('race');
  const alice = await join(held.broker, WS, 5, { clientId, ...as('alice'), ...kept(5) });
  const claims = Array.from({ length: 40 }, (_, index) =>
    attempt(held.broker, index % 2 === 0 ? WS : TCP, 5, { clientId, ...as('mallory'), ...kept(5) }),
  );
  expect(new Set(await Promise.all(claims))).toEqual(new Set([0x87]));
  await alice.ping();
  const count = async (): Promise<number> => metric(held.broker, 'connection_errors_total', 'error_code="foreign_session"');
  await until('they are counted', async () => (await count()) >= 40);
  expect(await held.broker.log()).toContain("a client asked for another user's session");
});

test('who has logged in and who need not are different owners', async () => {
  const [mine, open] = [uid('mine'), uid('open')];
  await (await join(held.broker, TCP, 5, { clientId: mine, ...as('alice'), ...kept(5) })).disconnect();
  await (await join(held.broker, OPEN, 5, { clientId: open, ...kept(5) })).disconnect();
  // A user name is worth nothing where nobody checks it.
  expect(await attempt(held.broker, OPEN, 5, { clientId: mine, ...kept(5) })).toBe(0x87);
  expect(await attempt(held.broker, OPEN, 5, { clientId: mine, ...as('alice'), ...kept(5) })).toBe(0x87);
  expect(await attempt(held.broker, TCP, 5, { clientId: open, ...as('alice'), ...kept(5) })).toBe(0x87);
  expect((await join(held.broker, OPEN, 5, { clientId: open, username: 'whoever', ...kept(5) })).connack!.sessionPresent).toBe(true);
});

test('a refused claim takes no place under maxSessionSize', async () => {
  const clientId = uid('quota');
  await (await join(held.broker, TCP, 5, { clientId, ...as('alice'), ...kept(5) })).disconnect();
  const persistent = (): Promise<number> => metric(held.broker, 'sessions_persistent');
  const before = await persistent();
  for (let time = 0; time < 5; time++) await attempt(held.broker, WS, 5, { clientId, ...as('mallory'), ...kept(5) });
  const back = await join(held.broker, WS, 5, { clientId, ...as('alice'), ...kept(5) });
  await back.ping();
  expect(await persistent()).toBe(before);
});

test.each(['SIGKILL', 'SIGTERM'] as const)(
  'after %s the owner is known',
  async (how) => {
    const [clientId, live] = [uid('kept'), uid('live')];
    const alice = await join(held.broker, TCP, 4, { clientId, ...as('alice'), ...kept(4) });
    await alice.subscribe('secret', 1);
    await alice.disconnect();
    const connectedOne = await join(held.broker, TCP, 4, { clientId: live, ...as('alice'), ...kept(4) });
    await connectedOne.subscribe('secret', 1);
    const sender = await join(held.broker, TCP, 5, { clientId: uid('s'), ...as('alice') });
    await sender.publish('secret', 'plans', { qos: 1 });
    await sender.disconnect();
    if (how === 'SIGKILL') await held.broker.kill(how);
    else await held.broker.stop();
    held.broker = await startBroker({ dir: held.broker.dir });
    for (const id of [clientId, live]) {
      expect(await attempt(held.broker, WS, 4, { clientId: id, ...as('mallory'), ...kept(4) })).toBe(5);
      const back = await join(held.broker, TCP, 4, { clientId: id, ...as('alice'), ...kept(4) });
      expect((await back.take()).payload.toString()).toBe('plans');
      await back.disconnect();
    }
  },
  60_000,
);
