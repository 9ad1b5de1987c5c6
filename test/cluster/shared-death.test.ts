/** What members of a shared subscription had not settled when their node died goes to other members; sessions whose node is away. Three real nodes. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Publish } from '../kit/decode.ts';
import type { ConnectOptions, QoS } from '../kit/encode.ts';
import * as encode from '../kit/encode.ts';
import { freePort } from '../kit/free-port.ts';
import { RawClient } from '../kit/raw-client.ts';
import { sleep, until } from '../kit/until.ts';
import { change, storeOf, TestCluster } from './kit.ts';
import { hostOf, sumOf, untilLinked } from './messages-kit.ts';

/** NATS is believed about absent nodes when its servers have been the same for so long. */
const SETTLED_MS = 5_000;
const UNSETTLED = 'fluxmq_cluster_shared_unsettled_messages';
let cluster: TestCluster;
let port: number;

beforeAll(async () => {
  cluster = await TestCluster.start({ store: storeOf(null, ''), nodes: 3 });
  port = await freePort();
  const endpoint = { id: 'm', port, enableAuth: false, sessionPersistence: true };
  expect(await change(cluster.nodes[0]!, 'add', endpoint)).toMatchObject({ status: 200 });
  await cluster.untilInStep();
  await untilLinked(cluster.nodes);
  await sleep(SETTLED_MS);
}, 90_000);
afterAll(() => cluster?.stop(), 60_000);

async function connect(node: number, options: ConnectOptions = {}): Promise<RawClient> {
  const client = await RawClient.open('tcp', port, 5, hostOf(node));
  await client.handshake({ keepAlive: 0, ...options });
  return client;
}

/** A member of a group, and what it has got. Its connections are those of one client. */
class Member {
  readonly clientId: string;
  readonly got: string[] = [];
  /** acknowledges what comes */
  isSettling = true;
  client!: RawClient;

  constructor(clientId: string) {
    this.clientId = clientId;
  }

  async join(node: number, filter: string, options: ConnectOptions = {}): Promise<this> {
    const client = await connect(node, { clientId: this.clientId, ...options });
    this.client = client;
    await client.subscribe(filter, 2);
    client.tap = (packet) => {
      if (packet.type === 'publish') this.#take(client, packet);
      else if (packet.type === 'pubrel') client.send(encode.pubcomp(packet.id));
    };
    for (const packet of client.inbox.splice(0)) client.tap(packet);
    return this;
  }

  #take(client: RawClient, { id, qos, payload }: Publish): void {
    this.got.push(payload.toString());
    if (this.isSettling) client.send(qos === 2 ? encode.pubrec(id) : encode.puback(id));
  }

  /** Payloads that came more than once. */
  get repeated(): string[] {
    return this.got.filter((payload, at) => this.got.indexOf(payload) !== at);
  }
}

/** Publishes `count` messages one after the other. @returns those that were acknowledged */
async function publish(node: number, topic: string, qos: QoS, prefix: string, count: number): Promise<string[]> {
  const client = await connect(node);
  const payloads = Array.from({ length: count }, (_, n) => `${prefix}${n}`);
  for (const payload of payloads) expect(await client.publish(topic, payload, { qos })).toBe(0);
  client.destroy();
  return payloads;
}

const unsettled = async (nodes: readonly number[]) =>
  (await Promise.all(nodes.map((node) => sumOf(cluster.nodes[node]!, UNSETTLED)))).reduce((sum, each) => sum + each, 0);

const end = (...members: Member[]) => members.map(({ client }) => client.destroy());

/** Number of members that have the message. */
const holders = (payload: string, members: readonly Member[]) => members.filter(({ got }) => got.includes(payload)).length;

const KEPT: ConnectOptions = { clean: false, properties: { sessionExpiry: 600 } };

/** A client with a durable session connects, gets what waits, and leaves. */
async function visit(node: number, clientId: string, filter: string | null, waiting: string[]): Promise<boolean> {
  const client = await RawClient.open('tcp', port, 5, hostOf(node));
  const { sessionPresent } = await client.handshake({ keepAlive: 0, clientId, ...KEPT });
  if (filter !== null) await client.subscribe(filter, 1);
  const got: string[] = [];
  for (let n = 0; n < waiting.length; n++) got.push((await client.take()).payload.toString());
  expect(got).toEqual(waiting);
  await client.silence();
  await client.disconnect(0);
  return sessionPresent;
}

const duplicates = () => sumOf(cluster.nodes[2]!, 'fluxmq_cluster_duplicate_sessions_total');

test('kill -9 under load: others get what was not settled; nothing is lost, QoS 2 comes to no client twice', async () => {
  const filter = '$share/g/death/+';
  const [a, b, c] = [new Member('a'), new Member('b'), new Member('c')];
  for (const [node, member] of [a, b, c].entries()) await member.join(node, filter);
  const before = await publish(0, 'death/1', 1, 'before-', 60);
  await until('all are settled', async () => (await unsettled([0, 1, 2])) === 0);
  expect([...a.got, ...b.got, ...c.got].sort()).toEqual([...before].sort());
  expect(c.got.length).toBeGreaterThan(5);

  // Another group has its only member there.
  const only = new Member('only');
  only.isSettling = false;
  await only.join(2, '$share/solo/alone');
  const alone = [...(await publish(0, 'alone', 1, 'p-', 5)), ...(await publish(0, 'alone', 2, 'q-', 5))];
  await until('they are with the member', () => only.got.length === 10);

  // Sessions whose home is there.
  await visit(2, 'roaming', 'old/roaming', []);
  await visit(2, 'staying', 'old/+', []);
  await publish(0, 'old/roaming', 1, 'old-', 2);

  c.isSettling = false;
  const settledByC = c.got.length;
  const load = [publish(0, 'death/1', 1, 'x-', 150), publish(1, 'death/2', 2, 'y-', 150), publish(0, 'death/3', 2, 'z-', 150)];
  await until('messages are with the member', () => c.got.length >= settledByC + 40);
  await cluster.nodes[2]!.kill('SIGKILL');
  // The same client is there again, elsewhere, as a member of the group.
  const withC = c.got.slice(settledByC);
  const rejoined = c.join(1, filter);
  c.isSettling = true;
  const acknowledged = (await Promise.all(load)).flat();
  await rejoined;
  await until('everything has come', () => acknowledged.every((payload) => holders(payload, [a, b, c]) > 0));
  await until('all are settled', async () => (await unsettled([0, 1])) === 10);
  await sleep(300);
  for (const member of [a, b]) expect(member.repeated).toEqual([]);
  expect(c.repeated.filter((payload) => !payload.startsWith('x-'))).toEqual([]);
  for (const payload of before) expect(holders(payload, [a, b, c])).toBe(1);
  // Only what the dead member had not settled came to a second one.
  for (const payload of acknowledged) if (!withC.includes(payload)) expect([payload, holders(payload, [a, b, c])]).toEqual([payload, 1]);
  for (const payload of withC.filter((each) => !each.startsWith('x-'))) expect([payload, holders(payload, [a, b])]).toEqual([payload, 1]);

  const late = await new Member('late').join(1, '$share/solo/alone');
  await until('the late member has them', () => late.got.length >= 10);
  expect([...late.got].sort()).toEqual([...alone].sort());
  end(a, b, c, late);
  // A session whose node is away is not found: the client gets a new one.
  expect(await visit(0, 'roaming', 'new', [])).toBe(false);
  await publish(0, 'old/staying', 1, 'away-', 2);
  await publish(0, 'new', 1, 'new-', 2);
  await cluster.again(2);
  await untilLinked(cluster.nodes);
  // The session of the later claim stays; the other one ends with its waiting messages, and is counted.
  await until('the older session has ended', async () => (await duplicates()) === 1);
  expect(await visit(2, 'roaming', null, ['new-0', 'new-1'])).toBe(true);
  // A session without a later claim has what came before and in the meantime, on any node.
  expect(await visit(1, 'staying', null, ['old-0', 'old-1', 'away-0', 'away-1'])).toBe(true);
}, 90_000);

test('a frozen node: others get QoS 1 after 4 s, QoS 2 waits for it, and comes to one member only', async () => {
  const [d, e] = [await new Member('d').join(0, '$share/g/frozen'), await new Member('e').join(2, '$share/g/frozen')];
  e.isSettling = false;
  const one = await publish(0, 'frozen', 1, 'one-', 30);
  const two = await publish(0, 'frozen', 2, 'two-', 30);
  await until('all are there', () => d.got.length + e.got.length === 60);
  const withE = [...e.got];
  await until('all that it has is kept', async () => (await sumOf(cluster.nodes[0]!, UNSETTLED)) === withE.length);
  process.kill(cluster.nodes[2]!.pid, 'SIGSTOP');
  await until('other members get QoS 1', () => one.every((payload) => d.got.includes(payload)), 15_000);
  const during = await publish(0, 'frozen', 2, 'during-', 20);
  await until('the other member gets what is published now', () => during.every((payload) => d.got.includes(payload)));
  e.isSettling = true;
  process.kill(cluster.nodes[2]!.pid, 'SIGCONT');
  await untilLinked(cluster.nodes);
  const after = await publish(0, 'frozen', 2, 'after-', 20);
  await until('all are there', () => after.every((payload) => holders(payload, [d, e]) > 0));
  for (const payload of [...two, ...during, ...after]) expect([payload, holders(payload, [d, e])]).toEqual([payload, 1]);
  for (const payload of one) expect(holders(payload, [d, e])).toBe(withE.includes(payload) ? 2 : 1);
  expect(after.some((payload) => e.got.includes(payload))).toBe(true);
  for (const member of [d, e]) expect(member.repeated).toEqual([]);
  end(d, e);
}, 90_000);

test('a node that stops in order: QoS 1 goes to others, a session takes its messages along', async () => {
  const filter = '$share/g/stop';
  const [f, g, h] = [new Member('f'), new Member('g'), new Member('h')];
  await f.join(0, filter);
  await g.join(2, filter);
  await h.join(2, filter, KEPT);
  g.isSettling = false;
  h.isSettling = false;
  const one = await publish(0, 'stop', 1, 'one-', 30);
  const two = await publish(0, 'stop', 2, 'two-', 30);
  await until('all are there', () => f.got.length + g.got.length + h.got.length === 60);
  const [withG, withH] = [[...g.got], [...h.got]];
  await cluster.nodes[2]!.stop();
  h.isSettling = true;
  h.got.length = 0;
  await h.join(1, filter, KEPT);
  await until('the session has its messages again', () => withH.every((payload) => h.got.includes(payload)));
  await until('others have got those of the member that left', () => one.every((payload) => holders(payload, [f, h]) === 1));
  await until('all are settled', async () => (await unsettled([0, 1])) === 0);
  for (const payload of withH) expect(f.got).not.toContain(payload);
  // [MQTT-4.8.2-5]: QoS 2 in flight ends with its session.
  for (const payload of withG.filter((each) => two.includes(each))) expect(holders(payload, [f, h])).toBe(0);
  for (const member of [f, h]) expect(member.repeated).toEqual([]);
  end(f, h);
}, 90_000);
