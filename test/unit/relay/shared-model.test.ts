/**
 * Members of a shared group on three nodes, against a model, while nodes are killed, frozen and return over a wire with faults: each acknowledged
 * message is settled by a member, and a QoS 2 message comes to no client twice.
 */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Links } from '../../../src/link/links.ts';
import type { Worker } from '../../../workers/relay/contract.ts';
import { Gateway } from '../../../workers/relay/gateway.ts';
import { Repeats } from '../../../workers/shared/mesh/repeats.ts';
import { EMPTY, fromWireMessage, Message, toGivenOn } from '../../../workers/shared/messages/message.ts';
import { Namespace } from '../../../workers/shared/routing/namespace.ts';
import type { PeerPublish } from '../../../workers/shared/routing/peer.ts';
import { SharedReports } from '../../../workers/shared/routing/shared-reports.ts';
import type { Control } from '../../../workers/shared/wire/controls.ts';
import { FaultyWire, HEALTHY, seeded } from '../../kit/faulty-wire.ts';
import { recordingLogger } from '../control/kit.ts';

const STEP_MS = 20;
/** A silent node is down after this time. */
const DOWN_MS = 4_500;
const NODES = 3;
const CLIENTS = 4;
const GROUP = { filter: 't', name: 'g' };
const ID = 't\0g';

interface Published {
  readonly by: Life;
  readonly qos: 1 | 2;
  isAcked: boolean;
  readonly got: Client[];
  /** the processes where a member has settled it */
  readonly settled: Life[];
  /** the group had no member anywhere */
  isOrphaned: boolean;
}

interface Held {
  readonly message: Message;
  readonly published: Published;
  isSent: boolean;
}

class Client {
  readonly key: string;
  life: Life | null = null;
  held: Held[] = [];

  constructor(key: string) {
    this.key = key;
  }
}

/** One process of a node, with one worker. */
class Life implements Worker {
  readonly id = 1;
  readonly role = 'endpoint' as const;
  readonly isKnown = true;
  readonly isOverloaded = false;
  readonly name: string;
  readonly field: Field;
  readonly gateway: Gateway;
  readonly links: Links;
  readonly log = recordingLogger();
  readonly members: Client[] = [];
  readonly #inner = new Namespace('n');
  readonly #reports = new SharedReports();
  readonly #repeats = new Repeats();
  readonly #open = new Map<number, Published>();
  readonly #ticks: (() => void)[] = [];
  isDead = false;
  isFrozen = false;
  #serial = 1_000;
  #turn = 0;

  constructor(name: string, incarnation: number, field: Field) {
    this.name = name;
    this.field = field;
    const soon = (run: () => void) => field.soon(() => this.isDead || run());
    this.links = new Links(
      field.wire.transport(name),
      { incarnation, now: field.wire.now, random32: field.draw, takes: 'later' },
      {
        every: (_ms, run) => {
          this.#ticks.push(run);
          return () => this.#ticks.splice(0);
        },
        soon,
      },
    );
    this.gateway = new Gateway({
      self: 3,
      incarnation,
      hold: { bytes: 1e9, messages: 1e6 },
      prefersOwnMembers: field.prefersOwnMembers,
      local: {
        namespace: () => this.#inner,
        announce: async () => {},
        fence: () => null,
        links: new Map([[1, this]]),
        isOverloaded: false,
      },
      links: this.links,
      now: field.wire.now,
      soon,
      onLinked() {},
      logger: this.log.logger,
    });
    this.#reports.reader = {
      settled: (isHeld, lines) => this.gateway.onControl(this, { t: 'shared-settled', isHeld, lines }),
      named: (request, names) => this.gateway.onControl(this, { t: 'shared-named', request, names }),
    };
    this.gateway.sessionKnown();
  }

  meet(): void {
    this.gateway.setNodes(this.field.names.filter((name) => name !== this.name).map((name) => ({ name, isUp: true })));
  }

  tick(): void {
    if (!this.isFrozen) for (const run of this.#ticks) run();
  }

  kill(): void {
    this.isDead = true;
    this.#ticks.length = 0;
    // Frames to a dead process are lost.
    this.field.wire.transport(this.name);
    for (const client of this.members) {
      client.life = null;
      client.held = [];
    }
  }

  join(client: Client): void {
    client.life = this;
    this.members.push(client);
    const count = { connected: this.members.length, away: 0, durable: 0 };
    this.#inner.group(GROUP.filter, GROUP.name).setRemote(this, count);
    this.gateway.localNews([{ namespace: 'n', filters: [], flags: [], shares: [['t', 'g', count.connected, 0, 0]] }]);
  }

  control(control: Control): void {
    if (control.t === 'taken') for (const serial of control.serials) this.#taken(serial);
    else if (control.t === 'shared-known') this.#reports.known(control.request);
    else if (control.t === 'bounce') this.#deliver(fromWireMessage(control.message)) || this.#orphaned(fromWireMessage(control.message));
  }

  #taken(serial: number): void {
    const published = this.#open.get(serial);
    if (published !== undefined) published.isAcked = true;
  }

  #orphaned(message: Message): void {
    this.field.of(message).isOrphaned = true;
  }

  /** A member here, or one elsewhere. */
  send(qos: 1 | 2): void {
    const { field } = this;
    const published: Published = { by: this, qos, isAcked: false, got: [], settled: [], isOrphaned: false };
    const number = field.published.push(published) - 1;
    const message = new Message('t', Buffer.from(String(number)), qos, false, EMPTY, 0, '');
    message.source = this.id;
    message.serial = ++this.#serial;
    this.#open.set(message.serial, published);
    const isElsewhere = (this.gateway.interest.namespace('n').findGroup('t', 'g')?.connectedBut(null) ?? 0) > 0;
    if (!isElsewhere) this.#deliver(message);
    else this.gateway.publish(this, 'n', { message, toSubscribers: false, groups: [ID], store: false });
  }

  /** Takes a message from the relay. */
  publish(_namespace: string, { message }: PeerPublish): void {
    const { source, serial } = message;
    this.#repeats.raise(source, this.gateway.floorOf(source));
    if (this.#repeats.isRepeat(source, serial) || this.#deliver(message)) return;
    this.gateway.onControl(this, { t: 'bounce', namespace: 'n', group: ID, message: toGivenOn(message) });
  }

  publishRun(): void {}

  #deliver(message: Message): boolean {
    const able = this.members.filter(({ key }) => !message.isGivenOn || key !== message.from);
    const client = able[this.#turn++ % Math.max(1, able.length)];
    if (client === undefined) return false;
    const held: Held = { message, published: this.field.of(message), isSent: false };
    client.held.push(held);
    const delivery = { message, group: GROUP, qos: held.published.qos };
    if (held.published.qos === 1 || !this.#reports.keeps(delivery)) this.#sent(client, held);
    else void this.#reports.whenSendable(delivery, client.key).then(() => this.#sent(client, held));
    return true;
  }

  #sent(client: Client, held: Held): void {
    if (this.isDead) return;
    held.isSent = true;
    if (held.published.qos === 2) expect(held.published.got).not.toContain(client);
    held.published.got.push(client);
  }

  settle(): void {
    for (const client of this.members) {
      for (const { message, published } of client.held.filter(({ isSent }) => isSent)) {
        published.settled.push(this);
        this.#reports.settled(message, GROUP);
      }
      client.held = client.held.filter(({ isSent }) => !isSent);
    }
  }
}

class Field {
  readonly names = Array.from({ length: NODES }, (_, at) => `n${at}`);
  readonly wire: FaultyWire;
  readonly lives: Life[] = [];
  readonly clients = Array.from({ length: CLIENTS }, (_, at) => new Client(`c${at}`));
  readonly published: Published[] = [];
  readonly draw: () => number;
  readonly prefersOwnMembers: boolean;
  #incarnation = 0;
  #soon: (() => void)[] = [];

  constructor(seed: number, prefersOwnMembers = false) {
    const random = seeded(seed);
    this.prefersOwnMembers = prefersOwnMembers;
    this.draw = () => Math.floor(random() * 2 ** 32);
    this.wire = new FaultyWire(random);
    this.lives = this.names.map((name) => new Life(name, ++this.#incarnation, this));
    for (const life of this.lives) life.meet();
  }

  of(message: Message): Published {
    return this.published[Number(message.payload.toString())]!;
  }

  soon(run: () => unknown): void {
    this.#soon.push(run as () => void);
  }

  /** The process ends, and another one takes its place. @param isSeen NATS tells the others that it has ended */
  async kill(at: number, isSeen: boolean): Promise<void> {
    this.thaw(at);
    const old = this.lives[at]!;
    old.kill();
    if (isSeen)
      for (const { gateway, links, isFrozen, name } of this.lives) {
        if (name === old.name || isFrozen) continue;
        gateway.ended(old.name);
        links.restart(old.name, 'its process has ended');
      }
    await this.run(isSeen ? 200 : 40);
    this.lives[at] = new Life(old.name, ++this.#incarnation, this);
    this.lives[at]!.meet();
  }

  freeze(at: number): void {
    this.wire.freeze(`n${at}`, true);
    this.lives[at]!.isFrozen = true;
  }

  thaw(at: number): void {
    this.lives[at]!.isFrozen = false;
    this.wire.freeze(`n${at}`, false);
  }

  async run(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += STEP_MS) {
      this.wire.advance(STEP_MS);
      for (const life of this.lives) life.tick();
      // Workers report at the end of a turn.
      await new Promise((resolve) => setImmediate(resolve));
      while (this.#soon.length > 0) {
        for (const run of this.#soon.splice(0)) run();
        for (let n = 0; n < 8; n++) await null;
      }
    }
  }

  /** No further faults: every acknowledged message is settled. */
  async settle(): Promise<void> {
    this.wire.faults = { ...HEALTHY };
    for (let at = 0; at < NODES; at++) this.thaw(at);
    await this.run(1_500);
    for (const [at, client] of this.clients.entries()) if (client.life === null) this.lives[at % NODES]!.join(client);
    for (let n = 0; n < 6; n++) {
      await this.run(300);
      for (const life of this.lives) life.settle();
    }
    for (const [number, published] of this.published.entries()) {
      const { by, isAcked, settled, got, isOrphaned, qos } = published;
      if (isAcked && !by.isDead && !isOrphaned) expect([number, settled.length > 0]).toEqual([number, true]);
      // Those of processes that died may not have been reported.
      if (qos === 2) expect([number, settled.filter(({ isDead }) => !isDead).length < 2]).toEqual([number, true]);
      if (qos === 2) expect(new Set(got).size).toBe(got.length);
    }
    for (const { gateway, log } of this.lives) {
      expect(log.lines.filter(({ level }) => level === 'error')).toEqual([]);
      expect(gateway.shared.unsettled.size).toBe(0);
      expect(gateway.shared.unsettled.unkept).toBe(0);
    }
  }
}

type Step = (field: Field) => Promise<void> | void;
const node = fc.nat(NODES - 1);
const rate = fc.constantFrom(0, 0, 0.01, 0.05);
const run = fc.constantFrom(20, 60, 200, DOWN_MS);

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ at: node, qos: fc.constantFrom(1 as const, 2 as const), times: fc.integer({ min: 1, max: 5 }) }).map(
      ({ at, qos, times }): Step =>
        (field) => {
          for (let n = 0; n < times; n++) if (!field.lives[at]!.isFrozen) field.lives[at]!.send(qos);
        },
    ),
  },
  {
    weight: 4,
    arbitrary: fc.record({ at: node, client: fc.nat(CLIENTS - 1) }).map(
      ({ at, client }): Step =>
        (field) => {
          if (field.clients[client]!.life === null) field.lives[at]!.join(field.clients[client]!);
        },
    ),
  },
  {
    weight: 4,
    arbitrary: node.map(
      (at): Step =>
        (field) => {
          if (!field.lives[at]!.isFrozen) field.lives[at]!.settle();
        },
    ),
  },
  {
    weight: 5,
    arbitrary: run.map(
      (ms): Step =>
        (field) =>
          field.run(ms),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.record({ at: node, isSeen: fc.boolean() }).map(
      ({ at, isSeen }): Step =>
        (field) =>
          field.kill(at, isSeen),
    ),
  },
  {
    weight: 1,
    arbitrary: node.map(
      (at): Step =>
        (field) =>
          field.freeze(at),
    ),
  },
  {
    weight: 2,
    arbitrary: node.map(
      (at): Step =>
        (field) =>
          field.thaw(at),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.record({ drop: rate, double: rate, late: rate, lateMs: fc.constantFrom(30, 1_000) }).map(
      (faults): Step =>
        (field) => {
          field.wire.faults = { ...HEALTHY, ...faults };
        },
    ),
  },
);

test('members of a group settle every acknowledged message, and get no QoS 2 message twice, while nodes die and freeze', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer(), fc.subarray([0, 1, 2]), fc.array(step, { maxLength: 40 }), async (seed, joined, steps) => {
      const field = new Field(seed);
      await field.run(1_000);
      for (const at of joined) field.lives[at]!.join(field.clients[at]!);
      await field.run(100);
      for (const each of steps) await each(field);
      await field.settle();
    }),
    { numRuns: Number(process.env['SHARED_RUNS'] ?? 40) },
  );
}, 120_000);

test('a client that may have a QoS 2 message does not get it again; a member that comes later gets it', async () => {
  const field = new Field(1);
  await field.run(1_000);
  const [c0, c1] = field.clients as [Client, Client];
  field.lives[0]!.join(c0);
  await field.run(100);
  field.lives[1]!.send(2);
  await field.run(100);
  const [published] = field.published as [Published];
  expect(published.got).toEqual([c0]);
  await field.kill(0, true);
  field.lives[2]!.join(c0);
  await field.run(500);
  expect(published.got).toEqual([c0]);
  field.lives[2]!.join(c1);
  await field.run(500);
  expect(published.got).toEqual([c0, c1]);
});

test.each([false, true])('members of the publisher come first when the node of theirs dies: %s', async (prefersOwnMembers) => {
  const field = new Field(1, prefersOwnMembers);
  await field.run(1_000);
  const [c0, c1, c2] = field.clients as [Client, Client, Client];
  field.lives[0]!.join(c0);
  await field.run(100);
  for (let n = 0; n < 20; n++) field.lives[1]!.send(1);
  await field.run(100);
  field.lives[1]!.join(c1);
  field.lives[2]!.join(c2);
  await field.run(100);
  await field.kill(0, true);
  await field.run(300);
  expect(c1.held.length + c2.held.length).toBe(20);
  expect(c1.held.length).toBe(prefersOwnMembers ? 20 : 10);
});
