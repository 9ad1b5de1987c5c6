/**
 * Claims of three nodes over relays and a wire with faults, against a model: never two clients with one identifier between nodes that see one
 * another; at rest there is one, of the last claim; each claim is answered in time.
 */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Links } from '../../../src/link/links.ts';
import { ClusterClaims } from '../../../workers/host/cluster-claims.ts';
import { type IdentifierEntry, newEntry, type Recall } from '../../../workers/host/identifiers/entry.ts';
import { Gateway } from '../../../workers/relay/gateway.ts';
import type { PeerLink } from '../../../workers/shared/mesh/peer-link.ts';
import { Namespace } from '../../../workers/shared/routing/namespace.ts';
import { sessionKey } from '../../../workers/shared/session/keys.ts';
import type { Claim, Control } from '../../../workers/shared/wire/controls.ts';
import { FaultyWire, HEALTHY, seeded } from '../../kit/faulty-wire.ts';
import { recordingLogger } from '../control/kit.ts';

const STEP_MS = 10;
const NODES = 3;
/** of the nodes' clocks */
const SKEWS_MS = [0, 30_000, -30_000];
const IDS = ['x', 'y'];
/** A claim is answered within this time: the deadline, and a sweep. */
const ANSWERED_MS = 8_300;
const SESSION_WORKER = 1;
/** owner of a session whose client is offline */
const OFFLINE = 0;

interface FakeClient {
  readonly node: FakeNode;
  readonly id: string;
  readonly claim: Claim;
  readonly since: number;
  state: 'waiting' | 'connected' | 'taken-over' | 'refused' | 'left';
  /** nodes that were not asked */
  without: ReadonlySet<string>;
}

/** The sessions of a node, without threads: what is decided is decided at once, and a recall takes its time. */
class FakeRegistry {
  readonly isComplete = true;
  readonly lend = () => null;
  readonly adoptOffline = () => {};
  readonly entries = new Map<string, IdentifierEntry>();
  readonly clients = new Map<string, FakeClient>();
  readonly node: FakeNode;

  constructor(node: FakeNode) {
    this.node = node;
  }

  find(namespace: string, clientId: string): IdentifierEntry | undefined {
    return this.entries.get(sessionKey(namespace, clientId));
  }

  all(): IterableIterator<IdentifierEntry> {
    return this.entries.values();
  }

  recall(_namespace: string, clientId: string, recall: Recall): void {
    this.node.field.soon(() => {
      const entry = this.find('n', clientId);
      if (entry === undefined || !recall.isDue(entry)) {
        recall.answer('none');
        return;
      }
      this.#takeOver(clientId);
      if (recall.discard) this.entries.delete(entry.key);
      recall.answer(recall.discard ? 'none' : 'held');
    });
  }

  #takeOver(id: string): void {
    const client = this.clients.get(id);
    this.clients.delete(id);
    if (client?.state === 'connected') client.state = 'taken-over';
  }

  readonly decide = (claim: Claim): void => {
    const client = this.node.claimed.get(claim.connection)!;
    const { clientId } = claim;
    this.#takeOver(clientId);
    if (client.state === 'waiting') {
      const key = sessionKey('n', clientId);
      const entry = this.entries.get(key) ?? newEntry(key, 0, 'n', clientId);
      entry.owner = SESSION_WORKER;
      entry.stamp = claim.stamp!;
      this.entries.set(key, entry);
      this.clients.set(clientId, client);
      this.node.connected(client);
    }
    this.node.claims.decided(claim);
  };
}

class FakeNode {
  readonly name: string;
  readonly field: Field;
  readonly log = recordingLogger();
  readonly claimed = new Map<number, FakeClient>();
  registry = new FakeRegistry(this);
  claims!: ClusterClaims;
  gateway!: Gateway;
  incarnation = 0;
  /** names of the nodes that claims are agreed with */
  up = new Set<string>();
  readonly skewMs: number;
  #life = 0;
  #stop: () => void = () => {};

  constructor(name: string, field: Field, skewMs: number) {
    this.name = name;
    this.skewMs = skewMs;
    this.field = field;
  }

  tick: () => void = () => {};

  /** A new process: its clients are gone, its sessions are on disk. */
  start(): void {
    this.incarnation = ++this.field.incarnations;
    for (const client of this.registry.clients.values()) client.state = 'left';
    for (const client of this.claimed.values()) {
      if (client.state !== 'waiting') continue;
      client.state = 'left';
      // The client of the claim before it may be closed for it.
      this.field.interrupted.add(client.id);
    }
    this.registry.clients.clear();
    this.#startClaims();
    this.startRelay();
  }

  #startClaims(): void {
    const { wire } = this.field;
    this.claims = new ClusterClaims({
      self: OFFLINE,
      node: this.name,
      registry: () => this.registry,
      logger: () => this.log.logger,
      now: wire.now,
      wall: () => wire.now() + this.skewMs,
    });
    this.claims.complete();
  }

  /** The relay as the session worker sees it, and the reverse. */
  startRelay(): void {
    this.#stop();
    const life = ++this.#life;
    const { field, claims } = this;
    const isAlive = () => life === this.#life;
    this.up = new Set();
    claims.onRelay('away');
    const relay = {
      role: 'relay',
      control: (control: Control) => field.soon(() => isAlive() && this.gateway.onControl(worker, control)),
    } as unknown as PeerLink;
    const worker = {
      id: SESSION_WORKER,
      role: 'session' as const,
      isKnown: true,
      isOverloaded: false,
      publish() {},
      publishRun() {},
      control: (control: Control) =>
        field.soon(() => {
          if (!isAlive() || this.claims !== claims) return;
          if (control.t === 'node-up') this.up.add(control.node);
          else if (control.t === 'node-down') this.up.delete(control.node);
          // It keeps no retained messages: without this answer the node would not be linked.
          else if (control.t === 'retained-node' && control.isUp)
            this.gateway.onControl(worker, { t: 'retained-compared', node: control.node });
          claims.onControl(relay, control);
        }),
    };
    const inner = new Namespace('n');
    const ticks: (() => void)[] = [];
    const links = new Links(
      field.wire.transport(this.name),
      { incarnation: this.incarnation, now: field.wire.now, random32: field.draw, takes: 'later' },
      {
        every: (_ms, run) => {
          ticks.push(run);
          return () => ticks.splice(0);
        },
        soon: (run) => field.soon(() => isAlive() && run()),
      },
    );
    this.gateway = new Gateway({
      self: 3,
      incarnation: this.incarnation,
      hold: { bytes: 1e9, messages: 1e6 },
      prefersOwnMembers: false,
      local: {
        namespace: () => inner,
        announce: async () => {},
        fence: () => null,
        links: new Map([[SESSION_WORKER, worker]]),
        isOverloaded: false,
      },
      links,
      now: field.wire.now,
      soon: (run) => field.soon(() => isAlive() && run()),
      onLinked: () => field.soon(() => isAlive() && claims.onRelay(relay)),
      logger: this.log.logger,
    });
    this.tick = () => {
      for (const run of ticks) run();
    };
    this.#stop = () => {
      ticks.length = 0;
    };
    this.gateway.sessionKnown();
    this.gateway.setNodes(field.nodes.filter((node) => node !== this).map(({ name }) => ({ name, isUp: true })));
  }

  claim(id: string): void {
    const { field } = this;
    const connection = ++field.connections;
    const claim: Claim = {
      connection,
      namespace: 'n',
      clientId: id,
      user: null,
      cleanStart: false,
      expirySeconds: 60,
      endpoint: 'e',
      isDurable: true,
      maxSessions: 100,
    };
    const client: FakeClient = { node: this, id, claim, since: field.wire.now(), state: 'waiting', without: new Set() };
    this.claimed.set(connection, client);
    field.clients.push(client);
    const claimant = {
      control(control: Control) {
        if (control.t === 'deny' && client.state === 'waiting') client.state = 'refused';
      },
    } as unknown as PeerLink;
    this.claims.claim(claim, claimant);
  }

  /** CONNACK goes out. */
  connected(client: FakeClient): void {
    client.state = 'connected';
    client.without = new Set(this.field.nodes.filter(({ name }) => name !== this.name && !this.up.has(name)).map(({ name }) => name));
    for (const other of this.field.nodes) {
      const there = other.registry.clients.get(client.id);
      if (other === this || there === undefined || !this.up.has(other.name) || there.without.has(this.name)) continue;
      throw new Error(`${client.id} is connected at ${other.name} and ${this.name}`);
    }
  }

  leave(id: string): void {
    const client = this.registry.clients.get(id);
    this.registry.clients.delete(id);
    const entry = this.registry.find('n', id);
    if (entry !== undefined) entry.owner = OFFLINE;
    if (client !== undefined) client.state = 'left';
  }

  /** This node stops, and another one is to take the session: nobody who is connected is closed for that. */
  offer(id: string, to: FakeNode): void {
    const news = { t: 'adopt', namespace: 'n', clientId: id } as const;
    this.gateway.onControl({} as never, { t: 'to-nodes', nodes: [to.name], news });
  }
}

class Field {
  readonly wire: FaultyWire;
  readonly nodes: FakeNode[] = [];
  readonly clients: FakeClient[] = [];
  readonly draw: () => number;
  incarnations = 0;
  connections = 0;
  /** identifiers with a claim whose node died */
  readonly interrupted = new Set<string>();
  #soon: (() => void)[] = [];

  constructor(seed: number) {
    const random = seeded(seed);
    this.draw = () => Math.floor(random() * 2 ** 32);
    this.wire = new FaultyWire(random);
    for (let at = 0; at < NODES; at++) this.nodes.push(new FakeNode(`n${at}`, this, SKEWS_MS[at]!));
    for (const node of this.nodes) node.start();
  }

  soon(run: () => unknown): void {
    this.#soon.push(run);
  }

  async run(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += STEP_MS) {
      this.wire.advance(STEP_MS);
      for (const node of this.nodes) node.tick();
      while (this.#soon.length > 0) {
        for (const run of this.#soon.splice(0)) run();
        for (let n = 0; n < 4; n++) await null;
      }
      if (passed % 250 === 0) for (const { claims } of this.nodes) claims.sweep();
      for (const client of this.clients) if (client.state === 'waiting') expect(this.wire.now() - client.since).toBeLessThan(ANSWERED_MS);
    }
  }

  /** No further faults: one client at most for each identifier, the one with the last claim that was granted, unless it left. */
  async settle(): Promise<void> {
    this.wire.faults = { ...HEALTHY };
    for (const node of this.nodes) {
      this.wire.connect(node.name, true);
      node.gateway.setIsolated(false);
    }
    await this.run(12_000);
    for (const id of IDS) {
      const all = this.clients.filter((client) => client.id === id);
      const connected = this.nodes.flatMap((node) => node.registry.clients.get(id) ?? []);
      expect(connected.length).toBeLessThanOrEqual(1);
      const granted = all.filter(({ state, claim }) => state !== 'refused' && claim.stamp !== undefined);
      granted.sort((a, b) => a.claim.stamp! - b.claim.stamp! || (a.node.name < b.node.name ? -1 : 1));
      const last = granted.at(-1);
      if (last !== undefined && !this.interrupted.has(id) && !all.some(({ state }) => state === 'refused'))
        expect(last.state).toMatch(/^(connected|left)$/);
      if (last?.state === 'connected') expect(connected).toEqual([last]);
      // A session is somewhere, unless nobody ever had one.
      if (granted.length > 0) expect(this.nodes.some(({ registry }) => registry.find('n', id) !== undefined)).toBe(true);
    }
    for (const { log, up, claims } of this.nodes) {
      expect(up.size).toBe(NODES - 1);
      expect(claims.waiting).toBe(0);
      expect(log.lines.filter(({ level }) => level === 'error')).toEqual([]);
    }
  }
}

type Step = (field: Field) => Promise<void> | void;
const node = fc.nat(NODES - 1);
const id = fc.constantFrom(...IDS);
const rate = fc.constantFrom(0, 0, 0.01, 0.05);
const weighted = <T>(weight: number, arbitrary: fc.Arbitrary<T>) => ({ weight, arbitrary });

const step: fc.Arbitrary<Step> = fc.oneof(
  weighted(
    10,
    fc.array(fc.tuple(node, id), { minLength: 1, maxLength: 6 }).map(
      (claims): Step =>
        (field) => {
          for (const [at, name] of claims) field.nodes[at]!.claim(name);
        },
    ),
  ),
  weighted(
    2,
    fc.tuple(node, id).map(
      ([at, name]): Step =>
        (field) =>
          field.nodes[at]!.leave(name),
    ),
  ),
  weighted(
    4,
    fc.tuple(node, fc.integer({ min: 1, max: NODES - 1 }), id).map(
      ([at, further, name]): Step =>
        (field) =>
          field.nodes[at]!.offer(name, field.nodes[(at + further) % NODES]!),
    ),
  ),
  weighted(
    6,
    fc.constantFrom(10, 30, 100, 400).map(
      (ms): Step =>
        (field) =>
          field.run(ms),
    ),
  ),
  weighted(
    2,
    fc.record({ drop: rate, double: rate, late: rate, lateMs: fc.constantFrom(30, 1_000), refuse: rate }).map(
      (faults): Step =>
        (field) => {
          field.wire.faults = { ...HEALTHY, ...faults };
        },
    ),
  ),
  weighted(
    2,
    node.map(
      (at): Step =>
        (field) =>
          field.nodes[at]!.startRelay(),
    ),
  ),
  weighted(
    1,
    node.map(
      (at): Step =>
        (field) =>
          field.nodes[at]!.start(),
    ),
  ),
  weighted(
    2,
    fc.record({ at: node, ms: fc.constantFrom(30, 800, 5_000), who: node, name: id }).map(
      ({ at, ms, who, name }): Step =>
        async (field) => {
          const cut = field.nodes[at]!;
          field.wire.connect(cut.name, false);
          await field.run(Math.min(ms, 2_000));
          if (ms > 2_000) cut.gateway.setIsolated(true);
          cut.claim(name);
          field.nodes[who]!.claim(name);
          await field.run(ms - Math.min(ms, 2_000));
          field.wire.connect(cut.name, true);
          cut.gateway.setIsolated(false);
        },
    ),
  ),
);

test('one client has an identifier, the last one, while relays, nodes and the wire fail', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer(), fc.array(step, { maxLength: 30 }), async (seed, steps) => {
      const field = new Field(seed);
      await field.run(1_000);
      for (const each of steps) await each(field);
      await field.settle();
    }),
    { numRuns: Number(process.env['CLAIM_RUNS'] ?? 60) },
  );
}, 120_000);

test('an adoption closes nobody, whichever node has the client', async () => {
  const field = new Field(1);
  await field.run(3_000);
  const [a, b, c] = field.nodes;
  a!.claim('x');
  await field.run(200);
  for (const [from, to] of [
    [b!, c!],
    [a!, b!],
    [c!, a!],
  ] as const)
    from.offer('x', to);
  await field.run(500);
  expect(field.clients.map(({ state }) => state)).toEqual(['connected']);
  expect(field.nodes.map(({ claims }) => claims.waiting)).toEqual([0, 0, 0]);
  // The identifier is free for the next claim at once.
  b!.claim('x');
  await field.run(200);
  expect(field.clients.map(({ state }) => state)).toEqual(['taken-over', 'connected']);
});
