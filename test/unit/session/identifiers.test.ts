/** Client identifiers between two endpoint workers and the session worker: decided in one worker where nobody else can know one, and one holder always. */

import { MessageChannel } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { WorkerRole } from '../../../src/thread/commands.ts';
import { createIdentifierTable, IdentifierTable, identifierGroup } from '../../../src/thread/identifier-table.ts';
import { type ClaimAnswer, Directory } from '../../../workers/endpoint/identifiers/directory.ts';
import { Registry } from '../../../workers/host/identifiers/registry.ts';
import { Mesh } from '../../../workers/shared/mesh/mesh.ts';
import type { PeerLink } from '../../../workers/shared/mesh/peer-link.ts';
import { Namespace } from '../../../workers/shared/routing/namespace.ts';
import type { SessionOutlet } from '../../../workers/shared/session/outlet.ts';
import type { Session } from '../../../workers/shared/session/session.ts';
import type { SessionTable } from '../../../workers/shared/table/session-table.ts';
import { until } from '../../kit/until.ts';
import { makeTable } from './tables.ts';

const ENDPOINT = 'endpoint';
const SUBSCRIPTION = {
  filter: 'a/filter',
  group: null,
  qos: 1,
  noLocal: false,
  retainAsPublished: false,
  retainHandling: 0,
  identifier: 0,
} as const;

/** A thread without a thread: its mesh, its sessions, and who decides about them. */
class Place {
  readonly peer: number;
  readonly role: WorkerRole;
  readonly mesh: Mesh;
  readonly table: SessionTable;
  readonly directory: Directory;
  readonly registry: Registry;
  /** controls that came about client identifiers */
  readonly heard: string[] = [];
  /** sessions on disk: the session worker's, of holders that die */
  readonly disk = new Set<string>();
  #held: (() => void)[] | null = null;
  #holdsFrom = '';

  constructor(peer: number, role: WorkerRole, memory: SharedArrayBuffer) {
    this.peer = peer;
    this.role = role;
    this.mesh = new Mesh(peer, (name) => new Namespace(name));
    const { mesh } = this;
    this.table = makeTable(mesh);
    const { table } = this;
    const identifiers = new IdentifierTable(memory);
    this.directory = new Directory(mesh, table, identifiers);
    const restore = (namespace: string, clientId: string): boolean => {
      if (!this.disk.has(clientId)) return false;
      const session = table.create(mesh.namespace(namespace), clientId);
      session.expirySeconds = 1000;
      void table.subscriptions.add(session, [SUBSCRIPTION]);
      return true;
    };
    this.registry = new Registry(mesh, table, identifiers, { onStuck() {}, restore, onFetched() {} });
    mesh.hooks = {
      onPublish() {},
      onRun() {},
      onControl: (link, control) => {
        this.heard.push(control.t);
        const take = (): void => {
          if (role === 'session') this.registry.onControl(link, control);
          else this.directory.onControl(link, control);
        };
        if (control.t === this.#holdsFrom) this.#held ??= [];
        if (this.#held === null) take();
        else this.#held.push(take);
      },
      onPeerAdded: (link: PeerLink) => {
        table.mover.onPeerAdded(link);
        if (role === 'session') this.registry.onPeerAdded(link);
      },
      onPeerInformed: (link) => {
        if (role !== 'session' && link.role === 'session') this.directory.onSessionWorker(link);
      },
      movesUnderWay: () => table.mover.movesUnderWay(),
      onPeerKnown() {},
      onPeerRemoved: (link) => {
        table.mover.onPeerRemoved(link);
        if (role === 'session') this.registry.onPeerRemoved(link);
      },
      onMoveAnnounced: (move, target) => table.mover.onAnnounced(move, target),
      onMoveAcknowledged: (move, from) => table.mover.onAcknowledged(move, from),
      onRelieved() {},
    };
  }

  /** Is busy from the first control of this kind on. */
  hold(kind: string): void {
    this.#holdsFrom = kind;
  }

  get isHolding(): boolean {
    return this.#held !== null;
  }

  /** Processes what has come since it was held. */
  goOn(): void {
    const held = this.#held ?? [];
    this.#held = null;
    this.#holdsFrom = '';
    for (const take of held) take();
  }

  /** @param expirySeconds 0: the session ends with the connection */
  connect(clientId: string, expirySeconds = 0): Visitor {
    return new Visitor(this, clientId, expirySeconds);
  }
}

/** One connection of a client. */
class Visitor implements SessionOutlet {
  readonly sendWindow = 10;
  readonly isSlow = false;
  readonly takesRuns = true;
  readonly place: Place;
  answer: ClaimAnswer | null = null;
  session: Session | null = null;
  isTakenOver = false;

  constructor(place: Place, clientId: string, expirySeconds: number) {
    this.place = place;
    const { directory } = place;
    const claim = {
      namespace: 'default',
      clientId,
      user: null,
      cleanStart: expirySeconds === 0,
      expirySeconds,
      endpoint: ENDPOINT,
      isDurable: false,
      maxSessions: 1000,
    };
    directory.claim({ ...claim, connection: directory.nextConnection() }, (answer) => {
      this.answer = answer;
      if (!answer.ok) return;
      this.session = answer.session;
      answer.session.expirySeconds = expirySeconds;
      answer.session.attach(this);
    });
  }

  get isOnline(): boolean {
    return this.session !== null;
  }

  async online(): Promise<this> {
    await until('the claim is answered', () => this.answer !== null, 5_000, 1);
    return this;
  }

  sendRun(): void {}
  sendPublish(): boolean {
    return true;
  }
  sendPubrel(): void {}

  willPublished(): void {}

  takenOver(): void {
    this.isTakenOver = true;
    this.leave();
  }

  leave(): void {
    const { session, place } = this;
    this.session = null;
    if (session === null) return;
    session.detach();
    if (place.table.afterDetach(session) === 'ended') place.directory.ended(session);
    else place.directory.parked(session);
  }
}

async function wire(a: Place, b: Place): Promise<void> {
  const { port1, port2 } = new MessageChannel();
  await Promise.all([a.mesh.addPeer(b.peer, b.role, port1), b.mesh.addPeer(a.peer, a.role, port2)]);
}

/** Everything that is under way has been worked off. */
async function quiet(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 1));
}

describe('client identifiers', () => {
  let memory: SharedArrayBuffer;
  let keeper: Place;
  let one: Place;
  let two: Place;

  beforeEach(async () => {
    memory = createIdentifierTable();
    keeper = new Place(1, 'session', memory);
    one = new Place(2, 'endpoint', memory);
    two = new Place(3, 'endpoint', memory);
    await wire(one, keeper);
    await wire(two, keeper);
    await wire(one, two);
    await quiet();
    keeper.heard.length = 0;
  });

  afterEach(() => {
    for (const { mesh } of [keeper, one, two]) mesh.close();
  });

  test('a session that ends with its connection is decided at once where nobody else knows the identifier', async () => {
    const client = one.connect('a');
    expect(client.isOnline).toBe(true);
    const next = one.connect('a');
    expect([client.isTakenOver, next.isOnline]).toEqual([true, true]);
    next.leave();
    // Nothing is left of it: the other worker decides as well at once.
    const elsewhere = two.connect('a');
    expect(elsewhere.isOnline).toBe(true);
    await quiet();
    expect(keeper.heard.filter((kind) => ['claim', 'ended', 'register', 'revoked'].includes(kind))).toEqual([]);
    expect([...one.table.values()]).toEqual([]);
  });

  test('another worker takes over what only one has known', async () => {
    const client = one.connect('a');
    const next = await two.connect('a').online();
    expect([client.isTakenOver, next.isOnline]).toEqual([true, true]);
    expect([...one.table.values()]).toEqual([]);
    // And back, by the session worker, which knows it now.
    const again = await one.connect('a').online();
    expect([next.isTakenOver, again.isOnline]).toEqual([true, true]);
    again.leave();
    await quiet();
    expect(two.connect('a').isOnline).toBe(true);
  });

  test('a session that stays takes over one that does not, at the same worker and at another', async () => {
    for (const place of [one, two]) {
      const client = one.connect('a');
      const staying = await place.connect('a', 1000).online();
      expect([client.isTakenOver, staying.isOnline]).toEqual([true, true]);
      staying.leave();
      await until('the session is fetched', () => keeper.table.get('default', 'a') !== undefined, 5_000, 1);
      // The session that stays is found by whoever comes next, and ends with a clean one.
      const clean = await one.connect('a').online();
      expect(clean.isOnline).toBe(true);
      expect(keeper.table.get('default', 'a')).toBeUndefined();
      clean.leave();
      await quiet();
    }
  });

  test('who comes later at one worker is not overtaken by a question that is under way', async () => {
    const first = one.connect('a', 1000);
    const second = one.connect('a');
    expect([first.answer, second.answer]).toEqual([null, null]);
    await Promise.all([first.online(), second.online()]);
    expect([first.isTakenOver, second.isOnline]).toEqual([true, true]);
  });

  test('a worker that dies before it tells what it held does not keep its identifiers', async () => {
    one.connect('a');
    one.mesh.onControl = () => undefined;
    const next = two.connect('a');
    await quiet();
    expect(next.answer).toBeNull();
    new IdentifierTable(memory).forget(one.peer);
    keeper.mesh.removePeer(one.peer);
    two.mesh.removePeer(one.peer);
    expect((await next.online()).isOnline).toBe(true);
  });

  test('what a worker that has died held is free for all', () => {
    one.connect('a');
    new IdentifierTable(memory).forget(one.peer);
    expect(two.connect('a').isOnline).toBe(true);
  });

  test('a new session worker learns what it has not decided', async () => {
    const client = one.connect('a');
    for (const { mesh } of [one, two]) mesh.removePeer(keeper.peer);
    keeper.mesh.close();
    // Without a session worker the short way still works.
    const other = one.connect('b');
    expect(other.isOnline).toBe(true);
    const late = two.connect('a');
    keeper = new Place(4, 'session', memory);
    await Promise.all([wire(one, keeper), wire(two, keeper)]);
    await late.online();
    expect([client.isTakenOver, late.isOnline]).toEqual([true, true]);
    expect((await two.connect('b').online()).isOnline).toBe(true);
    expect(other.isTakenOver).toBe(true);
  });

  test('a restored session belongs to the worker that has decided about its identifier before', async () => {
    const client = one.connect('a');
    for (const { mesh } of [one, two]) mesh.removePeer(keeper.peer);
    keeper.mesh.close();
    keeper = new Place(4, 'session', memory);
    keeper.table.create(keeper.mesh.namespace('default'), 'a');
    keeper.registry.adoptOffline('default', 'a', ENDPOINT, 1000);
    await Promise.all([wire(one, keeper), wire(two, keeper)]);
    const next = await two.connect('a').online();
    expect([client.isTakenOver, next.isOnline]).toEqual([true, true]);
    expect(keeper.table.get('default', 'a')).toBeUndefined();
  });

  describe('a durable session is on its way to another worker, which is busy, when its old worker ends', () => {
    /** Begins the move, and ends its old place when the new one stands still at `kind`. */
    async function interrupted(kind: string): Promise<Visitor> {
      const client = await one.connect('a', 1000).online();
      await one.table.subscriptions.add(client.session!, [SUBSCRIPTION]);
      keeper.disk.add('a');
      two.hold(kind);
      const next = two.connect('a', 1000);
      await until('the new place is busy', () => two.isHolding, 5_000, 1);
      one.mesh.close();
      keeper.mesh.removePeer(one.peer);
      await quiet();
      return next;
    }
    /** Nobody but the new place wants its messages. */
    const interests = () => [keeper, two].map(({ mesh }) => [...mesh.namespace('default').localFilters()].length);

    test.each(['grant-move', 'state'])('at %s: it is there once, with what the old one or the disk had', async (kind) => {
      const next = await interrupted(kind);
      two.goOn();
      await quiet();
      two.mesh.removePeer(one.peer);
      await next.online();
      await quiet();
      expect(next.answer).toMatchObject({ ok: true, isPresent: true });
      expect([...next.session!.subscriptions.values()]).toMatchObject([SUBSCRIPTION]);
      expect(keeper.table.get('default', 'a')).toBeUndefined();
      expect(interests()).toEqual([0, 1]);
      // The next claim finds the session: the move has left nothing behind.
      const last = await two.connect('a', 1000).online();
      expect([next.isTakenOver, last.answer]).toMatchObject([true, { ok: true, isPresent: true }]);
    });

    test.each(['grant-move', 'state'])('at %s, and the new worker ends too: it waits where it was brought back from disk', async (kind) => {
      await interrupted(kind);
      two.mesh.close();
      keeper.mesh.removePeer(two.peer);
      await quiet();
      expect(keeper.table.get('default', 'a')?.subscriptions.size).toBe(1);
      expect(keeper.registry.find('default', 'a')).toMatchObject({ owner: keeper.peer });
    });
  });

  test('two identifiers of one group: what is decided about one concerns the other only in its way', async () => {
    const known = new Map<number, string>();
    let pair: [string, string] | null = null;
    for (let i = 0; pair === null; i++) {
      const name = `client-${i}`;
      const group = identifierGroup('default', name);
      const other = known.get(group);
      if (other !== undefined) pair = [other, name];
      known.set(group, name);
    }
    const [a, b] = pair;
    const here = [one.connect(a), one.connect(b)];
    expect(here.every(({ isOnline }) => isOnline)).toBe(true);
    here[0]!.leave();
    // Not free yet: the other one is there.
    const elsewhere = two.connect(a);
    expect(elsewhere.answer).toBeNull();
    await elsewhere.online();
    expect([here[1]!.isTakenOver, elsewhere.isOnline]).toEqual([false, true]);
    here[1]!.leave();
    elsewhere.leave();
    await quiet();
    expect(one.connect(a).isOnline).toBe(true);
  });

  test('whatever comes and goes in whatever order, at the end each identifier has one holder, and nothing is left of the others', async () => {
    let seed = 1;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fff_ffff;
      return (seed >>> 8) % below;
    };
    const visitors: Visitor[] = [];
    for (let i = 0; i < 600; i++) {
      const place = random(2) === 0 ? one : two;
      if (random(3) === 0) visitors[random(Math.max(1, visitors.length))]?.leave();
      else visitors.push(place.connect(`client-${random(6)}`, random(4) === 0 ? 1000 : 0));
      if (random(8) === 0) await quiet();
    }
    await Promise.all(visitors.map((visitor) => visitor.online()));
    await quiet();
    const held = visitors.flatMap(({ session }) => session?.clientId ?? []);
    expect(held.length).toBe(new Set(held).size);
    for (const visitor of visitors)
      if (visitor.session !== null) expect(visitor.place.table.get('default', visitor.session.clientId)).toBe(visitor.session);
    for (const visitor of visitors) visitor.leave();
    await until('the sessions that stay are fetched', () => [...one.table.values(), ...two.table.values()].length === 0, 5_000, 5);
    for (let i = 0; i < 6; i++) (await one.connect(`client-${i}`).online()).leave();
    await quiet();
    for (let i = 0; i < 6; i++) expect(two.connect(`client-${i}`).isOnline).toBe(true);
  });
});
