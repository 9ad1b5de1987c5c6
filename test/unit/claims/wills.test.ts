/**
 * Wills of three nodes against a model: nodes are killed, restarted and cut off, clients connect, leave and roam. No will is published twice, none
 * of a node that is back within the grace, and each of a node that died, unless its keeper died too or its client is there again.
 */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { KeptWills } from '../../../workers/host/cluster/wills/kept-wills.ts';
import { OwnWills } from '../../../workers/host/cluster/wills/own-wills.ts';
import type { WillNews, WillToKeep } from '../../../workers/shared/wire/will-news.ts';

const GRACE_MS = 5_000;
const SILENT_MS = 4_000;
const STEP_MS = 250;
const NODES = ['a', 'b', 'c'];
const IDS = ['x', 'y', 'z'];

type Fate = 'connected' | 'ended' | 'dead' | 'cancelled';

interface Connection {
  readonly will: WillToKeep;
  readonly node: Node;
  fate: Fate;
  /** the will was published by its own node, while that was cut off */
  leftApart: boolean;
  /** its keeper ended before it could publish, or never had it */
  isLost: boolean;
  published: number;
}

class Node {
  readonly name: string;
  readonly field: Field;
  own!: OwnWills;
  kept!: KeptWills;
  process = 0;
  isAlive = false;
  isCut = false;
  /** by main: linked nodes */
  readonly up = new Set<string>();
  /** nodes that have not named the wills that they published */
  readonly untold = new Set<string>();
  clients = new Map<string, Connection>();
  /** what its disk has, and is due when it knows that nobody has published it */
  restored = new Map<string, Connection>();

  constructor(name: string, field: Field) {
    this.name = name;
    this.field = field;
  }

  start(): void {
    const { field } = this;
    this.process = ++field.processes;
    this.isAlive = true;
    this.isCut = false;
    const now = () => field.now;
    const ports = { now, send: (to: string, news: WillNews) => field.send(this.name, to, news), refused: () => expect.unreachable() };
    this.own = new OwnWills({ ...ports, publish: () => expect.unreachable() });
    this.kept = new KeptWills({ ...ports, self: this.name, publish: (will) => field.publishedBy(this, will) }, GRACE_MS);
    for (const connection of this.restored.values()) this.own.owe(connection.will, 0);
  }

  hear(from: string, news: WillNews): void {
    if (news.t !== 'will-told') {
      this.kept.onNews(from, news);
      return;
    }
    this.kept.onTold(news.published);
    for (const name of news.published.filter((each) => each.node === this.name)) {
      this.own.published(name);
      if (this.restored.get(name.clientId)?.will.stamp === name.stamp) this.restored.delete(name.clientId);
      const client = this.clients.get(name.clientId);
      if (client?.will.stamp === name.stamp) client.isLost = true;
    }
    if (news.isLast) this.untold.delete(from);
  }

  tick(): void {
    this.own.tick();
    this.kept.tick();
    if (this.untold.size > 0 || this.isCut) return;
    for (const [id, connection] of this.restored) {
      this.restored.delete(id);
      this.own.settled('n', id);
      connection.published++;
    }
  }
}

class Field {
  now = 0;
  processes = 0;
  stamps = 0;
  readonly nodes = new Map(NODES.map((name) => [name, new Node(name, this)]));
  readonly connections: Connection[] = [];
  #wire: { from: string; to: string; news: WillNews }[] = [];

  constructor() {
    for (const node of this.nodes.values()) node.start();
    this.wait(STEP_MS);
  }

  of(name: string): Node {
    return this.nodes.get(name)!;
  }

  #reaches(one: Node, other: Node): boolean {
    return one !== other && one.isAlive && other.isAlive && !one.isCut && !other.isCut;
  }

  send(from: string, to: string, news: WillNews): void {
    this.#wire.push({ from, to, news });
  }

  /** Everything under way arrives, in order, where there is a link. */
  flush(): void {
    for (let next = this.#wire.shift(); next !== undefined; next = this.#wire.shift())
      if (this.#reaches(this.of(next.from), this.of(next.to)) && this.of(next.to).up.has(next.from))
        this.of(next.to).hear(next.from, next.news);
  }

  #link(): void {
    const all = [...this.nodes.values()];
    for (const one of all)
      for (const other of all) {
        if (!one.isAlive || one === other || one.up.has(other.name) === this.#reaches(one, other)) continue;
        if (one.up.delete(other.name)) {
          one.untold.delete(other.name);
          one.own.nodeDown(other.name);
          one.kept.nodeDown(other.name, one.isCut);
        } else {
          one.up.add(other.name);
          one.untold.add(other.name);
          one.kept.nodeUp(other.name);
          one.own.nodeUp(other.name, one.process);
        }
      }
    this.flush();
    // They meet: each names its clients to the others.
    for (const one of all)
      for (const other of all) {
        if (!this.#reaches(one, other)) continue;
        for (const { will } of one.clients.values()) {
          other.kept.claimed(will, null, true);
          const restored = other.restored.get(will.clientId);
          if (restored === undefined || restored.will.stamp > will.stamp) continue;
          other.restored.delete(will.clientId);
          other.own.settled('n', will.clientId);
          restored.fate = 'cancelled';
        }
      }
    this.flush();
  }

  /** The relay says so of all nodes that are not linked. */
  cut(node: Node, isCut: boolean): void {
    if (!node.isAlive || node.isCut === isCut) return;
    node.isCut = isCut;
    for (const { name } of this.nodes.values()) if (name !== node.name && !node.up.has(name)) node.kept.nodeDown(name, isCut);
  }

  wait(ms: number): void {
    for (const end = this.now + ms; this.now < end; this.now += STEP_MS) {
      this.#link();
      for (const node of this.nodes.values()) if (node.isAlive) node.tick();
      this.flush();
    }
  }

  connect(name: string, id: string, isDurable: boolean): void {
    const node = this.of(name);
    if (!node.isAlive) return;
    const stamp = ++this.stamps;
    const will: WillToKeep = { namespace: 'n', clientId: id, stamp, user: null, isDurable, delayMs: 0, body: '' };
    for (const other of this.nodes.values()) {
      if (other !== node && !node.up.has(other.name)) continue;
      if (!other.isAlive) continue;
      this.#leave(other, id, true);
      other.kept.claimed(will, null, false);
      if (other !== node) other.own.left('n', id);
      other.restored.delete(id);
    }
    const connection: Connection = { will, node, fate: 'connected', leftApart: false, isLost: false, published: 0 };
    this.connections.push(connection);
    node.clients.set(id, connection);
    node.own.owe(will, stamp);
    this.flush();
    connection.isLost = node.up.size === 0;
  }

  /** @param isWillDue the connection ends without DISCONNECT */
  #leave(node: Node, id: string, isWillDue: boolean): void {
    const client = node.clients.get(id);
    if (client === undefined) return;
    node.clients.delete(id);
    client.fate = 'ended';
    // Its keeper cannot hear of it, and never does when this node dies before.
    client.leftApart = node.up.size < NODES.length - 1;
    // The keeper has published it already.
    if (isWillDue && !(client.isLost && client.published > 0)) client.published++;
    node.own.settled('n', id);
    this.flush();
  }

  leave(name: string, id: string, isWillDue: boolean): void {
    if (this.of(name).isAlive) this.#leave(this.of(name), id, isWillDue);
  }

  kill(name: string): void {
    const node = this.of(name);
    if (!node.isAlive) return;
    this.flush();
    node.isAlive = false;
    node.up.clear();
    node.untold.clear();
    for (const [id, client] of node.clients) {
      client.fate = 'dead';
      if (client.will.isDurable && client.published === 0) node.restored.set(id, client);
    }
    node.clients.clear();
    // The wills that it kept for other nodes are gone with it.
    for (const each of this.connections) if (each.node !== node && !each.will.isDurable) each.isLost = true;
    this.wait(STEP_MS);
  }

  publishedBy(keeper: Node, { stamp }: WillToKeep): void {
    const connection = this.connections.find(({ will }) => will.stamp === stamp)!;
    expect(keeper.isCut, 'a node that is cut off publishes nothing').toBe(false);
    expect(connection.node.isAlive && !connection.node.isCut && connection.node.process === 0).toBe(false);
    connection.published++;
  }
}

type Event = {
  what: 'connect' | 'leave' | 'bye' | 'kill' | 'restart' | 'cut' | 'heal' | 'wait';
  node: string;
  id: string;
  isDurable: boolean;
  ms: number;
};

const event: fc.Arbitrary<Event> = fc.record({
  what: fc.constantFrom('connect', 'connect', 'connect', 'leave', 'bye', 'kill', 'restart', 'cut', 'heal', 'wait', 'wait'),
  node: fc.constantFrom(...NODES),
  id: fc.constantFrom(...IDS),
  isDurable: fc.boolean(),
  ms: fc.constantFrom(STEP_MS, 1_000, 3_000, 8_000, 20_000),
});

function play(events: readonly Event[]): Field {
  const field = new Field();
  for (const { what, node, id, isDurable, ms } of events) {
    const at = field.of(node);
    if (what === 'connect') field.connect(node, id, isDurable);
    else if (what === 'leave') field.leave(node, id, true);
    else if (what === 'bye') field.leave(node, id, false);
    else if (what === 'kill') field.kill(node);
    else if (what === 'restart' && !at.isAlive) at.start();
    else if (what === 'cut') field.cut(at, true);
    else if (what === 'heal') field.cut(at, false);
    else field.wait(ms);
    if (what !== 'wait') field.wait(STEP_MS);
  }
  for (const node of field.nodes.values()) {
    field.cut(node, false);
    if (!node.isAlive) node.start();
  }
  field.wait(3 * GRACE_MS + SILENT_MS);
  return field;
}

test('whatever happens, no will is published twice, and that of a dead client is published', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 30 }), (events) => {
      const field = play(events);
      // A keeper that ended has forgotten what it published: then a node with a disk may publish it again.
      const kills = new Set(events.filter(({ what }) => what === 'kill').map(({ node }) => node));
      for (const { published, fate, leftApart, isLost, will } of field.connections) {
        if (!leftApart && kills.size < 2) expect(published, JSON.stringify(will)).toBeLessThanOrEqual(1);
        // Its client is there again, perhaps at a node that was cut off.
        const isLast = field.connections.every((each) => each.will.clientId !== will.clientId || each.will.stamp <= will.stamp);
        if (fate === 'dead' && !isLost && isLast) expect(published, JSON.stringify(will)).toBeGreaterThanOrEqual(1);
      }
    }),
    { numRuns: 3_000 },
  );
});

const at = (what: Event['what'], ms = 0, node = 'a'): Event => ({ what, node, id: 'x', isDurable: false, ms });
const published = (...events: Event[]) => play(events).connections.map((connection) => connection.published);

test('a node that is back within the grace: no will; later: one, and none when the client goes', () => {
  expect(published(at('connect'), at('cut'), at('wait', 3_000), at('heal'))).toEqual([0]);
  expect(published(at('connect'), at('cut'), at('wait', 3_000), at('heal'), at('leave'))).toEqual([1]);
  expect(published(at('connect'), at('cut'), at('wait', 8_000), at('heal'), at('leave'))).toEqual([1]);
  const twice = [at('cut'), at('wait', 8_000), at('heal')];
  expect(published(at('connect'), ...twice, ...twice)).toEqual([1]);
});

test('a node that died: one will, unless the client said goodbye or is there again; also when the first keeper has died before', () => {
  const death = [at('kill'), at('wait', 8_000)];
  expect(published(at('connect'), ...death)).toEqual([1]);
  expect(published(at('connect'), at('bye'), ...death)).toEqual([0]);
  for (const other of ['b', 'c']) {
    expect(published(at('connect'), at('kill'), at('connect', 0, other), at('wait', 8_000))).toEqual([0, 0]);
    expect(published(at('connect'), at('kill', 0, other), at('wait', 8_000), ...death)).toEqual([1]);
  }
});

test('a node that sees less than half of its cluster, or is cut off, waits', () => {
  const due: string[] = [];
  let now = 0;
  const ports = { self: 'a', now: () => now, send() {}, refused() {}, publish: ({ clientId }: WillToKeep) => due.push(clientId) };
  const kept = new KeptWills(ports, GRACE_MS, 450);
  const tick = () => {
    now += 4 * GRACE_MS;
    kept.tick();
    return due.splice(0);
  };
  for (const node of ['b', 'c']) {
    kept.nodeUp(node);
    kept.onNews(node, { t: 'will-holder', process: 1 });
    const will: WillToKeep = { namespace: 'n', clientId: node, stamp: 1, user: null, isDurable: false, delayMs: 0, body: '' };
    kept.onNews(node, { t: 'will-keep', ...will });
  }
  for (const node of ['b', 'c']) kept.nodeDown(node, false);
  expect(tick()).toEqual([]);
  for (const node of ['b', 'c']) kept.nodeDown(node, true);
  kept.nodeUp('b');
  kept.onNews('b', { t: 'will-holder', process: 2 });
  expect(tick()).toEqual([]);
  kept.nodeDown('c', false);
  expect(tick().sort()).toEqual(['b', 'c']);
});

test('wills over the limit of bytes are counted, on both sides', () => {
  let refused = 0;
  const ports = { self: 'a', now: () => 0, send() {}, publish() {}, refused: () => void refused++ };
  const [own, kept] = [new OwnWills(ports, 450), new KeptWills(ports, GRACE_MS, 450)];
  for (let stamp = 1; stamp <= 3; stamp++) {
    const will = { namespace: 'n', clientId: `${stamp}`, stamp, user: null, isDurable: false, delayMs: 0, body: '' };
    own.owe(will, 1);
    kept.onNews('b', { t: 'will-keep', ...will });
  }
  expect([refused, kept.size]).toEqual([2, 2]);
  own.settled('n', '1');
  own.owe({ namespace: 'n', clientId: '3', stamp: 4, user: null, isDurable: false, delayMs: 0, body: '' }, 1);
  expect(refused).toBe(2);
});

test('a worker dies: the wills of its clients are published after their delays, once, unless the client is back or its session was kept', () => {
  let now = 0;
  const sent: string[] = [];
  const published: string[] = [];
  const own = new OwnWills({
    now: () => now,
    send: (_node, news) => 'clientId' in news && sent.push(`${news.t} ${news.clientId}`),
    refused: () => expect.unreachable(),
    publish: ({ clientId }) => published.push(clientId),
  });
  own.nodeUp('b', 1);
  const willOf = (clientId: string, stamp = 1) => ({ namespace: 'n', clientId, stamp, user: null, isDurable: false, delayMs: 0, body: '' });
  const delays: Record<string, number | null> = {
    now: 0,
    late: 1_000,
    back: 1_000,
    clean: 1_000,
    kept: 1_000,
    elsewhere: null,
    left: 1_000,
  };
  for (const clientId of Object.keys(delays)) own.owe(willOf(clientId), 7);
  own.settled('n', 'left', 7);
  sent.length = 0;
  own.workerDied(({ clientId }) => delays[clientId]!);
  own.prune(({ clientId }) => clientId === 'elsewhere');
  expect(published).toEqual(['now']);
  expect(sent).toEqual(['will-drop now']);
  own.owe(willOf('back', 2), 8);
  own.startsClean('n', 'clean');
  own.startsClean('n', 'elsewhere');
  own.owe(willOf('kept'), 0);
  expect(published.splice(0)).toEqual(['now', 'clean']);
  now = 999;
  own.tick();
  expect(published).toEqual([]);
  now = 1_000;
  own.tick();
  own.tick();
  expect(published).toEqual(['late']);
});
