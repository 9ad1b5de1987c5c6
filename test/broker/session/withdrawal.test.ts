/** Rules that change take back what a session was allowed: subscriptions, waiting messages and wills, wherever its client is (issue 10). */

import { describe, expect, test } from 'vitest';
import { type Broker, startBroker } from '../../kit/broker.ts';
import type { ConnectOptions, Version } from '../../kit/encode.ts';
import { connected, useBroker } from '../../kit/lanes.ts';
import type { RawClient } from '../../kit/raw-client.ts';
import { uid, until } from '../../kit/until.ts';

const quick = { maxConnectionPerSecond: 100_000, maxSessionSize: 100_000, enableAuth: false };
const deny = (topic: string, action = 'pubsub', subject: unknown = { type: 'user', value: 'ann' }) => ({
  permission: 'deny',
  subject,
  action,
  topic,
});
const rules = (...list: unknown[]) => ({ aclConfig: { default: 'allow', rules: list } });
const ENDPOINTS = [
  { ...quick, id: 'free', sessionPersistence: true },
  { ...quick, id: 'narrow', sessionPersistence: true, ...rules(deny('secret/#', 'subscribe')) },
  { ...quick, id: 'live', ...rules(), serverOptions: { workerGroupSize: 3 } },
  { ...quick, id: 'kept', ...rules(), sessionPersistence: true },
  { ...quick, id: 'gone', ...rules() },
];
const [FREE, NARROW, LIVE, KEPT, GONE] = [0, 1, 2, 3, 4] as const;

const held = useBroker(() => ({ endpoints: ENDPOINTS }));

const ann = (clientId: string): ConnectOptions => ({ clientId, username: 'ann', clean: false });
const session = (version: Version, clientId: string): ConnectOptions => ({
  ...ann(clientId),
  ...(version === 5 ? { properties: { sessionExpiry: 3600 } } : {}),
});

const join = (endpoint: number, version: Version, options: ConnectOptions = {}): Promise<RawClient> =>
  connected('tcp', held.broker.ports[endpoint]!, version, options);

async function setRules(broker: Broker, endpoint: number, ...list: unknown[]): Promise<void> {
  const { status, body } = await broker.api('POST', '/api/endpoints/update', { port: broker.ports[endpoint], ...rules(...list) });
  if (status !== 200) throw new Error(JSON.stringify(body));
}

async function metric(broker: Broker, name: string): Promise<number> {
  const text = await (await fetch(`${broker.admin}/public/metrics`)).text();
  const lines = text.split('\n').filter((line) => line.startsWith(`fluxmq_endpoint_${name}`));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

async function payloads(client: RawClient, count: number): Promise<string[]> {
  const taken: string[] = [];
  while (taken.length < count) taken.push((await client.take()).payload.toString());
  return taken;
}

describe.each([5, 4] as Version[])('MQTT %i', (version) => {
  test('over an endpoint with other rules: its subscription and its messages do not come along, the others do', async () => {
    const clientId = uid('c');
    const client = await join(FREE, version, session(version, clientId));
    for (const filter of ['secret/a', 'news/#', '$share/g/secret/b']) await client.subscribe(filter, 1);
    await client.disconnect();
    const sender = await join(FREE, 5);
    for (const topic of ['secret/a', 'news/1', 'secret/b', 'news/2']) await sender.publish(topic, topic, { qos: 1 });
    const before = await metric(held.broker, 'subscriptions_withdrawn_total{');
    const back = await join(NARROW, version, session(version, clientId));
    expect(back.connack!.sessionPresent).toBe(true);
    expect(await payloads(back, 2)).toEqual(['news/1', 'news/2']);
    await sender.publish('secret/a', 'later', { qos: 1 });
    await sender.publish('secret/b', 'later', { qos: 0 });
    await back.silence();
    await until('it is counted', async () => (await metric(held.broker, 'subscriptions_withdrawn_total{')) >= before + 2);
    // It does not come back where it was allowed, either.
    await back.disconnect();
    const home = await join(FREE, version, session(version, clientId));
    await sender.publish('secret/a', 'later still', { qos: 1 });
    await home.silence();
    await home.disconnect();
  });

  test('what a wider filter brought of a topic that is denied is not delivered', async () => {
    const clientId = uid('c');
    const client = await join(FREE, version, session(version, clientId));
    await client.subscribe('#', 1);
    await client.disconnect();
    const sender = await join(FREE, 5);
    await sender.publish('secret/a', 'x', { qos: 1 });
    await sender.publish('secret/a', 'y', { qos: 2 });
    const back = await join(NARROW, version, session(version, clientId));
    await back.silence();
    await back.disconnect();
  });

  test('what was sent once, and not acknowledged, is not sent again', async () => {
    const clientId = uid('c');
    const client = await join(FREE, version, session(version, clientId));
    await client.subscribe(['secret/#', 'news/#'].map((filter) => ({ filter, qos: 2 as const })));
    const sender = await join(FREE, 5);
    for (const [topic, qos] of [
      ['secret/1', 1],
      ['secret/2', 2],
      ['news/1', 1],
    ] as const)
      await sender.publish(topic, topic, { qos });
    const sent = await client.publishes(3);
    await client.cut();
    const back = await join(NARROW, version, session(version, clientId));
    // QoS 2 ends without the message, so that its identifier can be used again.
    const half = sent.find(({ qos }) => qos === 2)!;
    expect(await back.expect('pubrel')).toMatchObject({ id: half.id });
    expect(await payloads(back, 1)).toEqual(['news/1']);
    await back.silence();
    await back.disconnect();
  });

  test('a rule that changes while the client is connected takes subscriptions and waiting messages back at once', async () => {
    const topic = uid('live/');
    const clients = await Promise.all(
      Array.from({ length: 6 }, (_, index) => join(LIVE, version, { ...session(version, uid(`c${index}`)) })),
    );
    for (const client of clients)
      await client.subscribe([`${topic}/secret/#`, `${topic}/open`].map((filter) => ({ filter, qos: 1 as const })));
    const sender = await join(LIVE, 5, { username: 'bob' });
    await setRules(held.broker, LIVE, deny(`${topic}/secret/#`));
    for (const qos of [0, 1, 2] as const) await sender.publish(`${topic}/secret/a`, 'x', { qos });
    await sender.publish(`${topic}/open`, 'open', { qos: 1 });
    for (const client of clients) {
      expect(await payloads(client, 1)).toEqual(['open']);
      await client.silence(20);
      await client.disconnect();
    }
    await setRules(held.broker, LIVE);
    expect(await held.broker.log()).toContain('access rules withdrew subscriptions');
  });

  test('a rule that changes while the client is away', async () => {
    const topic = uid('kept/');
    for (const endpoint of [LIVE, KEPT]) {
      const clientId = uid('c');
      const client = await join(endpoint, version, session(version, clientId));
      await client.subscribe([`${topic}/secret/#`, `${topic}/open`].map((filter) => ({ filter, qos: 1 as const })));
      await client.disconnect();
      const sender = await join(endpoint, 5, { username: 'bob' });
      await sender.publish(`${topic}/secret/a`, 'before', { qos: 1 });
      await setRules(held.broker, endpoint, deny(`${topic}/secret/#`));
      await sender.publish(`${topic}/secret/a`, 'after', { qos: 1 });
      await sender.publish(`${topic}/open`, 'open', { qos: 1 });
      // Allowed again: what was taken back stays away.
      await setRules(held.broker, endpoint);
      const back = await join(endpoint, version, session(version, clientId));
      expect(back.connack!.sessionPresent).toBe(true);
      expect(await payloads(back, 1)).toEqual(['open']);
      await back.silence();
      await back.disconnect();
    }
  });

  test('a will is not published once a rule denies it: at the end of the connection, after its delay, by a takeover', async () => {
    const topic = uid('will/');
    const witness = await join(GONE, 5, { username: 'bob' });
    await witness.subscribe(`${topic}/#`);
    const will = (name: string, delay = 0): Partial<ConnectOptions> => ({
      will: { topic: `${topic}/${name}`, payload: name, ...(delay > 0 ? { properties: { willDelay: delay } } : {}) },
    });
    const cut = await join(GONE, version, { username: 'ann', clientId: uid('c'), ...will('cut') });
    const takenId = uid('c');
    const taken = await join(GONE, version, { username: 'ann', clientId: takenId, ...will('taken') });
    const delayed = version === 5 ? await join(GONE, 5, { ...session(5, uid('c')), ...will('delayed', 1) }) : null;
    await delayed?.cut();
    const other = await join(GONE, version, { username: 'bob', clientId: uid('c'), ...will('allowed') });
    await setRules(held.broker, GONE, deny(`${topic}/#`, 'publish'));
    await cut.cut();
    const taker = await join(GONE, version, { username: 'ann', clientId: takenId });
    await taken.closed();
    await witness.silence(version === 5 ? 1800 : 200);
    await other.cut();
    expect((await witness.take()).payload.toString()).toBe('allowed');
    await taker.disconnect();
    await setRules(held.broker, GONE);
  });
});

test('messages of a shared subscription that was taken back go to a member that may have them', async () => {
  const filter = `$share/g/${uid('s/')}`;
  const topic = filter.slice('$share/g/'.length);
  const clientId = uid('c');
  const client = await join(FREE, 5, session(5, clientId));
  await client.subscribe(filter, 2);
  const sender = await join(FREE, 5);
  await sender.publish(topic, 'sent', { qos: 2 });
  const [sent] = await client.publishes(1);
  await client.disconnect();
  for (let index = 0; index < 5; index++) await sender.publish(topic, `${index}`, { qos: 1 });
  const member = await join(FREE, 5, { username: 'bob' });
  await member.subscribe(filter, 1);
  await setRules(held.broker, NARROW, deny(topic, 'subscribe'), deny('secret/#', 'subscribe'));
  const back = await join(NARROW, 5, session(5, clientId));
  expect(await payloads(member, 5)).toEqual(['0', '1', '2', '3', '4']);
  // [5:MQTT-4.8.2-5]: it may have it, though it has not said so.
  expect(await back.expect('pubrel')).toMatchObject({ id: sent!.id });
  await back.silence();
  await member.silence(50);
});

test('a rule about addresses counts for the address of the connection that resumes', async () => {
  const topic = uid('ip/');
  const clientId = uid('c');
  const client = await join(FREE, 5, session(5, clientId));
  await client.subscribe(topic, 1);
  await client.disconnect();
  const subject = { type: 'ip', value: '127.0.0.0/8' };
  await setRules(held.broker, NARROW, deny(topic, 'subscribe', subject), deny('secret/#', 'subscribe'));
  const sender = await join(FREE, 5);
  await sender.publish(topic, 'x', { qos: 1 });
  const back = await join(NARROW, 5, session(5, clientId));
  await back.silence();
});

test('rules that changed while the node was down count from the start', async () => {
  let broker = await startBroker({ endpoints: [{ ...quick, sessionPersistence: true, ...rules() }] });
  try {
    const port = broker.ports[0]!;
    const client = await connected('tcp', port, 5, session(5, 'c'));
    await client.subscribe(['secret/#', 'open'].map((filter) => ({ filter, qos: 1 as const })));
    await client.disconnect();
    const late = await connected('tcp', port, 5, {
      ...session(5, 'w'),
      will: { topic: 'secret/will', payload: 'x', qos: 1, properties: { willDelay: 2 } },
    });
    await late.cut();
    const sender = await connected('tcp', port, 5, { username: 'bob' });
    await sender.publish('secret/a', 'x', { qos: 1 });
    await sender.publish('open', 'open', { qos: 1 });
    // The rules reach the store, and the process dies before anybody can look at the session by them.
    const changed = setRules(broker, 0, deny('secret/#'));
    await changed;
    await broker.kill('SIGKILL');
    broker = await startBroker({ dir: broker.dir });
    const witness = await connected('tcp', broker.ports[0]!, 5, { username: 'bob' });
    await witness.subscribe('secret/#');
    const back = await connected('tcp', broker.ports[0]!, 5, session(5, 'c'));
    expect(back.connack!.sessionPresent).toBe(true);
    expect(await payloads(back, 1)).toEqual(['open']);
    await back.silence();
    await witness.silence(2500);
    await back.disconnect();
    await witness.disconnect();
  } finally {
    await broker.stop();
  }
}, 60_000);
