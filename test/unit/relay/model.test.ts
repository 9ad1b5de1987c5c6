/**
 * Relays of three nodes over a wire with faults, against a model, while relays start anew: after a SUBACK, a QoS 1 or 2 publish made anywhere
 * arrives, once, in the order of its publisher and topic, and is acknowledged only when every subscriber's thread has it.
 */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Links } from '../../../src/link/links.ts';
import { Gateway } from '../../../workers/relay/gateway.ts';
import { Repeats } from '../../../workers/shared/mesh/repeats.ts';
import { EMPTY, Message } from '../../../workers/shared/messages/message.ts';
import { Crossing } from '../../../workers/shared/routing/crossing.ts';
import { Namespace } from '../../../workers/shared/routing/namespace.ts';
import { INTEREST, type Peer, type PeerPublish } from '../../../workers/shared/routing/peer.ts';
import { SharedConfirmations } from '../../../workers/shared/routing/shared-confirmations.ts';
import type { Control, InterestNews } from '../../../workers/shared/wire/controls.ts';
import { FaultyWire, HEALTHY, seeded } from '../../kit/faulty-wire.ts';
import { recordingLogger } from '../control/kit.ts';

const STEP_MS = 10;
const NODES = 3;
const WORKERS = 2;
const TOPICS = ['a/0', 'a/1', 'b/0'];
const FILTERS = ['a/0', 'a/+', '#', 'b/0'];
const MATCHES: Record<string, (topic: string) => boolean> = {
  'a/0': (topic) => topic === 'a/0',
  'a/+': (topic) => topic.startsWith('a/'),
  '#': () => true,
  'b/0': (topic) => topic === 'b/0',
};
const WANTED = INTEREST.live | INTEREST.queued;

interface Published {
  readonly by: string;
  readonly topic: string;
  readonly number: number;
  /** workers with a subscription since before the publish */
  readonly due: Set<FakeWorker>;
  isAcked: boolean;
}

/** The relay as a worker sees it. */
class RelayPeer implements Peer {
  readonly id = 99;
  isKnown = false;
  readonly isOverloaded = false;
  readonly worker: FakeWorker;
  readonly gateway: () => Gateway;

  constructor(worker: FakeWorker, gateway: () => Gateway) {
    this.worker = worker;
    this.gateway = gateway;
  }

  publish(namespace: string, record: PeerPublish): void {
    this.gateway().publish(this.worker, namespace, record);
  }

  publishRun(): void {}
}

class FakeWorker implements Peer {
  readonly id: number;
  readonly name: string;
  readonly role = 'endpoint' as const;
  readonly isKnown = true;
  readonly isOverloaded = false;
  readonly node: FakeNode;
  readonly crossing = new Crossing();
  readonly confirmations = new SharedConfirmations();
  readonly repeats = new Repeats();
  /** what other nodes want, as this worker knows it */
  readonly view = new Namespace('n');
  readonly filters = new Set<string>();
  /** filters with a SUBACK */
  readonly acked = new Set<string>();
  readonly heard = new Set<Published>();
  readonly #last = new Map<string, number>();
  relay: RelayPeer;
  #serial = 1_000_000;

  constructor(id: number, node: FakeNode) {
    this.id = id;
    this.node = node;
    this.name = `${node.name}-${id}`;
    this.relay = new RelayPeer(this, () => node.gateway);
  }

  control(control: Control): void {
    if (control.t === 'taken') this.crossing.taken(control.serials);
  }

  /** Takes a message from the relay. */
  publish(_namespace: string, { message }: PeerPublish): void {
    const { source, serial, topic, payload } = message;
    this.repeats.raise(source, this.node.gateway.floorOf(source));
    if (this.repeats.isRepeat(source, serial)) return;
    const published = this.node.field.published[Number(payload.toString())]!;
    if (![...this.filters].some((filter) => MATCHES[filter]!(topic))) return;
    expect(published.topic).toBe(topic);
    expect(this.heard.has(published)).toBe(false);
    const line = `${published.by} ${topic}`;
    expect(published.number).toBeGreaterThan(this.#last.get(line) ?? -1);
    this.#last.set(line, published.number);
    this.heard.add(published);
  }

  publishRun(): void {}

  send(topic: string, size: number): void {
    const { field } = this.node;
    const others = field.nodes.filter((node) => node !== this.node).flatMap((node) => node.workers);
    const due = new Set(others.filter((worker) => [...worker.acked].some((filter) => MATCHES[filter]!(topic))));
    const published: Published = { by: this.name, topic, number: field.published.length, due, isAcked: false };
    field.published.push(published);
    const payload = Buffer.from(String(published.number).padStart(size, '0'));
    const message = new Message(topic, payload, 1, false, EMPTY, 0, '');
    message.source = this.id;
    message.serial = ++this.#serial;
    const confirmation = this.confirmations.open(message);
    confirmation.begin();
    confirmation.when(() => {
      published.isAcked = true;
      for (const worker of published.due) if (worker.acked.size > 0) expect(worker.heard.has(published)).toBe(true);
    });
    if (this.crossing.isAway) this.crossing.wait(this.view, message, confirmation);
    else if (this.view.entry(topic).peers.some(({ flags }) => (flags & INTEREST.queued) !== 0)) {
      const record = { message, toSubscribers: true, groups: null, store: false };
      this.crossing.sent(this.view, record, confirmation);
      this.relay.publish('n', record);
    }
    confirmation.end();
  }
}

class FakeNode {
  readonly name: string;
  readonly field: Field;
  readonly incarnation: number;
  readonly workers: FakeWorker[] = [];
  gateway!: Gateway;
  links!: Links;
  readonly log = recordingLogger();
  #stop: () => void = () => {};
  /** SUBACKs that wait for the next relay */
  #waiting: { worker: FakeWorker; filter: string }[] = [];
  #life = 0;
  #inner = new Namespace('n');

  constructor(name: string, field: Field, at: number) {
    this.name = name;
    this.field = field;
    this.incarnation = at + 1;
    for (let n = 1; n <= WORKERS; n++) this.workers.push(new FakeWorker(n, this));
  }

  /** A new relay; the old one is gone without a word. */
  restart(): void {
    this.#stop();
    const life = ++this.#life;
    const { field } = this;
    for (const worker of this.workers) {
      worker.crossing.isAway = true;
      worker.relay.isKnown = false;
      for (const _ of worker.view.forget(worker.relay));
      worker.relay = new RelayPeer(worker, () => this.gateway);
    }
    const inner = new Namespace('n');
    this.#inner = inner;
    const ticks: (() => void)[] = [];
    this.links = new Links(
      field.wire.transport(this.name),
      { incarnation: this.incarnation, now: field.wire.now, random32: field.draw, takes: 'later' },
      {
        every: (_ms, run) => {
          ticks.push(run);
          return () => ticks.splice(0);
        },
        soon: (run) => field.soon(() => life === this.#life && run()),
      },
    );
    this.gateway = new Gateway({
      self: 3,
      incarnation: this.incarnation,
      hold: { bytes: 1e9, messages: 1e6 },
      prefersOwnMembers: false,
      local: {
        namespace: () => inner,
        announce: (news) => this.#announce(news),
        fence: () => null,
        links: new Map(this.workers.map((worker) => [worker.id, worker])),
        isOverloaded: false,
      },
      links: this.links,
      now: field.wire.now,
      soon: (run) => field.soon(() => life === this.#life && run()),
      onLinked: () => this.#linked(),
      logger: this.log.logger,
    });
    this.tick = () => {
      for (const run of ticks) run();
    };
    this.#stop = () => {
      ticks.length = 0;
    };
    for (const worker of this.workers) for (const filter of worker.filters) inner.setInterest(worker, filter, WANTED);
    this.gateway.localNews([{ namespace: 'n', filters: FILTERS, flags: [], shares: [] }]);
    this.gateway.sessionKnown();
    this.gateway.setNodes(field.nodes.filter((node) => node !== this).map(({ name }) => ({ name, isUp: true })));
  }

  tick: () => void = () => {};

  async #announce({ filters, flags }: InterestNews): Promise<void> {
    for (const worker of this.workers)
      for (const [i, filter] of filters.entries()) worker.view.setInterest(worker.relay, filter, flags[i]!);
  }

  #linked(): void {
    for (const worker of this.workers) {
      worker.relay.isKnown = true;
      worker.view.peersChanged();
      worker.crossing.resend(worker.relay);
    }
    for (const { worker, filter } of this.#waiting.splice(0)) if (worker.filters.has(filter)) worker.acked.add(filter);
  }

  subscribe(worker: FakeWorker, filter: string): void {
    if (worker.filters.has(filter)) return;
    worker.filters.add(filter);
    const life = this.#life;
    const suback = () => {
      // As RelayAbsence: the relay that knew the filter may have ended.
      if (life !== this.#life || !this.gateway.isLinked) this.#waiting.push({ worker, filter });
      else if (worker.filters.has(filter)) worker.acked.add(filter);
    };
    this.#inner.setInterest(worker, filter, WANTED);
    const spread = this.gateway.localNews([{ namespace: 'n', filters: [filter], flags: [WANTED], shares: [] }]);
    if (spread === null) suback();
    else {
      this.field.pending++;
      void spread.then(() => {
        this.field.pending--;
        suback();
      });
    }
  }
}

class Field {
  readonly wire: FaultyWire;
  readonly nodes: FakeNode[];
  readonly published: Published[] = [];
  readonly draw: () => number;
  pending = 0;
  #soon: (() => void)[] = [];

  constructor(seed: number) {
    const random = seeded(seed);
    this.draw = () => Math.floor(random() * 2 ** 32);
    this.wire = new FaultyWire(random);
    this.nodes = Array.from({ length: NODES }, (_, at) => new FakeNode(`n${at}`, this, at));
    for (const node of this.nodes) node.restart();
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
        for (let n = 0; n < 8; n++) await null;
      }
    }
  }

  /** No further faults: everything published is acknowledged and has come. */
  async settle(): Promise<void> {
    this.wire.faults = { ...HEALTHY };
    for (const node of this.nodes) this.wire.connect(node.name, true);
    for (let n = 0; n < 20 && this.published.some(({ isAcked }) => !isAcked); n++) await this.run(500);
    await this.run(500);
    for (const published of this.published) {
      expect(published.isAcked).toBe(true);
      for (const worker of published.due) expect(worker.heard.has(published)).toBe(true);
    }
    for (const { gateway, workers, log } of this.nodes) {
      // A packet that cannot be read, or that a worker refuses, is logged and left out.
      expect(log.lines.filter(({ level }) => level === 'error')).toEqual([]);
      expect(gateway.ledger.open).toBe(0);
      for (const worker of workers) expect(worker.crossing.size).toBe(0);
    }
  }
}

type Step = (field: Field) => Promise<void> | void;
const node = fc.nat(NODES - 1);
const worker = fc.nat(WORKERS - 1);
const rate = fc.constantFrom(0, 0, 0.01, 0.05);

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc
      .record({
        at: node,
        who: worker,
        topic: fc.constantFrom(...TOPICS),
        size: fc.constantFrom(6, 6, 6, 600_000),
        times: fc.integer({ min: 1, max: 12 }),
      })
      .map(
        ({ at, who, topic, size, times }): Step =>
          (field) => {
            for (let n = 0; n < (size > 6 ? 2 : times); n++) field.nodes[at]!.workers[who]!.send(topic, size);
          },
      ),
  },
  {
    weight: 4,
    arbitrary: fc.record({ at: node, who: worker, filter: fc.constantFrom(...FILTERS) }).map(
      ({ at, who, filter }): Step =>
        (field) =>
          field.nodes[at]!.subscribe(field.nodes[at]!.workers[who]!, filter),
    ),
  },
  {
    weight: 6,
    arbitrary: fc.constantFrom(10, 30, 100, 400).map(
      (ms): Step =>
        (field) =>
          field.run(ms),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.record({ drop: rate, double: rate, late: rate, lateMs: fc.constantFrom(30, 1_000), refuse: rate }).map(
      (faults): Step =>
        (field) => {
          field.wire.faults = { ...HEALTHY, ...faults };
        },
    ),
  },
  {
    weight: 2,
    arbitrary: node.map(
      (at): Step =>
        (field) =>
          field.nodes[at]!.restart(),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.record({ at: node, ms: fc.constantFrom(30, 800) }).map(
      ({ at, ms }): Step =>
        async (field) => {
          field.wire.connect(`n${at}`, false);
          await field.run(ms);
          field.wire.connect(`n${at}`, true);
        },
    ),
  },
);

test('a SUBACK means that every publish comes, and an acknowledgement that it has come, while relays and the wire fail', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer(), fc.array(step, { maxLength: 40 }), async (seed, steps) => {
      const field = new Field(seed);
      await field.run(1_000);
      for (const each of steps) await each(field);
      await field.settle();
    }),
    { numRuns: Number(process.env['RELAY_RUNS'] ?? 100) },
  );
}, 120_000);
