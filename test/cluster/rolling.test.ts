/** A rolling restart of three nodes under load: clients are sent to other nodes, sessions go with them or before them, and nothing that was acknowledged is lost. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ServerPacket } from '../kit/decode.ts';
import type { ConnectOptions, QoS, Version } from '../kit/encode.ts';
import * as encode from '../kit/encode.ts';
import { freePort } from '../kit/free-port.ts';
import { RawClient } from '../kit/raw-client.ts';
import { sleep, until } from '../kit/until.ts';
import { change, storeOf, TestCluster } from './kit.ts';
import { hostOf, sumOf, untilLinked } from './messages-kit.ts';

const NODES = 3;
const PAUSE_MS = 8;
/** A node that falls silent is waited for 4 s. One that says goodbye is not. */
const NO_WAIT_MS = 3_000;
let cluster: TestCluster;
let port: number;
let keptPort: number;
beforeAll(async () => {
  cluster = await TestCluster.start({
    store: storeOf(null, ''),
    nodes: NODES,
    envOf: (name) => ({ FLUXMQ_CLUSTER_LOCALADDRESS: hostOf(Number(name.slice(-1)) - 1) }),
  });
  [port, keptPort] = [await freePort(), await freePort()];
  const [a] = cluster.nodes;
  const common = { enableAuth: false, maxQueuedMessages: 100_000 };
  expect(
    await change(a!, 'add', { ...common, id: 'm', port, serverReference: `\${address}:${port}`, maxConnectionPerSecond: 20 }),
  ).toMatchObject({
    status: 200,
  });
  expect(await change(a!, 'add', { ...common, id: 'k', port: keptPort, sessionPersistence: true })).toMatchObject({ status: 200 });
  await cluster.untilInStep();
  await untilLinked(cluster.nodes);
}, 90_000);
afterAll(() => cluster?.stop(), 60_000);

/** A client with a session, which goes where it is sent, and else to the next node. */
class Roamer {
  readonly options: ConnectOptions;
  readonly #at: number;
  readonly #version: Version;
  #node: number;
  #client: RawClient | null = null;
  #endedAt = 0;
  #isOver = false;
  /** how each connection ended */
  readonly codes: number[] = [];
  /** times without a broker, ms */
  readonly gaps: number[] = [];
  /** connections that found no session */
  lostSessions = 0;

  constructor(clientId: string, node: number, at: number, version: Version = 5) {
    this.options = { clientId, clean: false, ...(version === 5 ? { properties: { sessionExpiry: 600 } } : {}) };
    this.#node = node;
    this.#at = at;
    this.#version = version;
  }

  get client(): RawClient | null {
    return this.#client;
  }

  /** Handles each packet. */
  onPacket(_client: RawClient, _packet: ServerPacket): void {}

  /** A new connection has the session. */
  onResumed(_client: RawClient): void {}

  async begin(): Promise<this> {
    await this.#connect();
    return this;
  }

  async #connect(): Promise<void> {
    const client = await RawClient.open('tcp', this.#at, this.#version, hostOf(this.#node));
    const { code, sessionPresent } = await client.handshake(this.options);
    if (code !== 0) throw new Error(`CONNACK ${code}`);
    if (this.#endedAt > 0) {
      this.gaps.push(performance.now() - this.#endedAt);
      if (!sessionPresent) this.lostSessions++;
    }
    this.#client = client;
    client.tap = (packet) => {
      if (packet.type === 'disconnect') this.#sent(packet.code, packet.properties.serverReference);
      else this.onPacket(client, packet);
    };
    for (const packet of client.inbox.splice(0)) client.tap(packet);
    client.transport.onClose(() => {
      if (!this.#isOver && this.#client === client) void this.#return();
    });
    this.onResumed(client);
  }

  #sent(code: number, reference: string | undefined): void {
    this.codes.push(code);
    const node = [0, 1, 2].find((each) => reference === `${hostOf(each)}:${this.#at}`);
    this.#node = node ?? (this.#node + 1) % NODES;
  }

  async #return(): Promise<void> {
    this.#client = null;
    this.#endedAt = performance.now();
    if (this.#version !== 5) this.#node = (this.#node + 1) % NODES;
    while (!this.#isOver) {
      try {
        await this.#connect();
        return;
      } catch {
        this.#node = (this.#node + 1) % NODES;
        await sleep(20);
      }
    }
  }

  end(): void {
    this.#isOver = true;
    this.#client?.destroy();
  }
}

/** Publishes one message after the other, again on the next connection until it is acknowledged. */
class Publisher extends Roamer {
  acknowledged = 0;
  /** longest time from a publish to its acknowledgement on the same connection, ms */
  slowest = 0;
  readonly name: string;
  readonly #qos: 1 | 2;
  #packetId = 0;
  #isReleased = false;
  #sentAt = 0;
  #isRunning = true;

  constructor(name: string, node: number, at: number, qos: 1 | 2) {
    super(name, node, at);
    this.name = name;
    this.#qos = qos;
  }

  override onResumed(client: RawClient): void {
    this.#send(client, this.#packetId !== 0);
  }

  #send(client: RawClient, isAgain: boolean): void {
    if (!isAgain) {
      if (!this.#isRunning) return;
      this.#packetId = (this.acknowledged % 60_000) + 1;
      this.#isReleased = false;
    }
    this.#sentAt = performance.now();
    if (this.#isReleased) client.send(encode.pubrel(this.#packetId));
    else {
      const options = { qos: this.#qos, id: this.#packetId, dup: isAgain };
      client.send(encode.publish(5, `load/${this.name}`, `${this.name}:${this.acknowledged}`, options));
    }
  }

  override onPacket(client: RawClient, packet: ServerPacket): void {
    if (packet.type === 'pubrec') {
      this.#isReleased = true;
      client.send(encode.pubrel(packet.id));
    } else if (packet.type === 'puback' || packet.type === 'pubcomp') {
      this.slowest = Math.max(this.slowest, performance.now() - this.#sentAt);
      this.acknowledged++;
      this.#packetId = 0;
      setTimeout(() => {
        if (this.client === client && this.#packetId === 0) this.#send(client, false);
      }, PAUSE_MS);
    }
  }

  async stop(): Promise<void> {
    this.#isRunning = false;
    await until(`${this.name}: all acknowledged`, () => this.#packetId === 0, 20_000);
  }
}

/** Counts what comes. */
class Subscriber extends Roamer {
  readonly seen = new Map<string, number>();
  readonly #received = new Set<number>();

  override onPacket(client: RawClient, packet: ServerPacket): void {
    if (packet.type === 'pubrel') {
      this.#received.delete(packet.id);
      client.send(encode.pubcomp(packet.id));
    } else if (packet.type === 'publish') {
      client.send(packet.qos === 2 ? encode.pubrec(packet.id) : encode.puback(packet.id));
      if (packet.qos === 2 && this.#received.has(packet.id)) return;
      if (packet.qos === 2) this.#received.add(packet.id);
      else if (packet.dup && this.seen.has(packet.payload.toString())) return;
      const text = packet.payload.toString();
      this.seen.set(text, (this.seen.get(text) ?? 0) + 1);
    }
  }

  missing(publishers: readonly Publisher[]): string[] {
    return publishers.flatMap(({ name, acknowledged }) =>
      Array.from({ length: acknowledged }, (_, n) => `${name}:${n}`).filter((text) => !this.seen.has(text)),
    );
  }

  /** Messages of a QoS 2 publisher that came twice. */
  repeated(): string[] {
    return [...this.seen].flatMap(([text, times]) => (text.startsWith('q2') && times > 1 ? [text] : []));
  }
}

async function subscribed(subscriber: Subscriber, qos: QoS): Promise<Subscriber> {
  await subscriber.begin();
  const client = subscriber.client!;
  client.send(encode.subscribe(client.version, client.id(), [{ filter: 'load/#', qos }]));
  return subscriber;
}

/** Stops a node and starts it again. @returns the time of the stop, ms */
async function restart(index: number): Promise<number> {
  const begin = performance.now();
  expect(await cluster.nodes[index]!.kill('SIGTERM')).toBe(0);
  const took = performance.now() - begin;
  for (const [at, node] of cluster.nodes.entries()) {
    const goodbye = new RegExp(`said goodbye.*messages do not cross to node node-${index + 1}"`);
    if (at !== index) await until('it heard the goodbye', async () => goodbye.test(await node.log()));
  }
  await cluster.again(index);
  await cluster.untilUp(NODES);
  await untilLinked(cluster.nodes);
  return took;
}

test('each node is stopped and started again: no acknowledged message is lost, none of QoS 2 repeated', async () => {
  const subscribers = await Promise.all([
    subscribed(new Subscriber('s-0', 0, port), 2),
    subscribed(new Subscriber('s-1', 1, keptPort), 2),
    subscribed(new Subscriber('s-2', 2, port, 4), 2),
  ]);
  // Offline all the time: their sessions are handed from node to node.
  const away = await Promise.all(
    [0, 1, 2].map((node) => subscribed(new Subscriber(`away-${node}`, node, node === 1 ? keptPort : port), 2)),
  );
  await sleep(100);
  for (const each of away) each.end();
  await sleep(100);
  const publishers = await Promise.all(
    ([1, 2] as const).flatMap((qos) => [0, 1, 2].map((node) => new Publisher(`q${qos}-${node}`, node, port, qos).begin())),
  );
  const stops: number[] = [];
  for (let node = 0; node < NODES; node++) {
    await sleep(300);
    stops.push(await restart(node));
  }
  for (const each of publishers) await each.stop();
  const back = away.map(({ options }, node) => {
    const again = new Subscriber(options.clientId!, (node + 1) % NODES, node === 1 ? keptPort : port);
    for (const [text, times] of away[node]!.seen) again.seen.set(text, times);
    return again;
  });
  for (const each of back) await each.begin();
  const all = [...subscribers, ...back];
  await until('everything has come', () => {
    const missing = all.map((each) => each.missing(publishers).length);
    if (missing.every((count) => count === 0)) return true;
    throw new Error(`missing: ${missing.join(', ')}; ${all.flatMap((each) => each.missing(publishers).slice(0, 5)).join(' ')}`);
  });
  const gaps = [...subscribers, ...publishers].flatMap((each) => each.gaps);
  const sum = publishers.reduce((total, { acknowledged }) => total + acknowledged, 0);
  process.stdout.write(
    `${sum} messages; stops ${stops.map(Math.round).join(', ')} ms; without a broker: ${gaps.length} times, median ${Math.round(gaps.sort((a, b) => a - b)[gaps.length >> 1] ?? 0)}, longest ${Math.round(gaps.at(-1) ?? 0)} ms; slowest acknowledgement ${Math.round(Math.max(...publishers.map(({ slowest }) => slowest)))} ms\n`,
  );
  for (const each of all) expect(each.repeated()).toEqual([]);
  expect([...subscribers, ...publishers].map((each) => each.lostSessions)).toEqual([...subscribers, ...publishers].map(() => 0));
  expect(new Set([...publishers, subscribers[0]!].flatMap((each) => each.codes))).toEqual(new Set([0x9c]));
  expect(new Set(subscribers[1]!.codes)).toEqual(new Set([0x98]));
  expect(Math.max(...publishers.map(({ slowest }) => slowest))).toBeLessThan(NO_WAIT_MS);
  expect(sum).toBeGreaterThan(500);
  let moved = 0;
  for (const node of cluster.nodes) moved += await sumOf(node, 'fluxmq_cluster_sessions_moved_total');
  expect(moved).toBeGreaterThan(0);
  for (const each of [...all, ...publishers]) each.end();
}, 120_000);
