/** Peers learn of filters that come and go in one loop iteration, and a session with many filters leaves in slices. */

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type Mesh, noNews } from '../../../workers/shared/mesh/mesh.ts';
import { PeerLink } from '../../../workers/shared/mesh/peer-link.ts';
import { interestPieces } from '../../../workers/shared/mesh/snapshot.ts';
import { EMPTY, Message } from '../../../workers/shared/messages/message.ts';
import type { Subscription } from '../../../workers/shared/routing/subscriber.ts';
import { bytesOfSession } from '../../../workers/shared/session/footprint.ts';
import type { SessionOutlet } from '../../../workers/shared/session/outlet.ts';
import { PIECE_LENGTH } from '../../../workers/shared/wire/piece.ts';
import { until } from '../../kit/until.ts';
import { joinMeshes, makeMesh } from './meshes.ts';
import { makeTable, quietRouter } from './tables.ts';

let here: Mesh;
let there: Mesh;

beforeEach(async () => {
  here = makeMesh(1);
  there = makeMesh(2);
  await joinMeshes(here, there);
});

afterEach(() => {
  here.close();
  there.close();
});

/** What `there` knows that `here` wants of this topic, as flags; 0 = nothing. */
function wanted(topic: string): number {
  const [first] = there.namespace('n').entry(topic).peers;
  return first?.flags ?? 0;
}

function change(filter: string, flags: number): ReturnType<typeof noNews> {
  return { ...noNews('n'), filters: [filter], flags: [flags] };
}

test('the last word on a filter counts, and who announced waits until it is known', async () => {
  here.tell(change('a', 0));
  const known = here.announce(change('a', 1));
  here.tell(change('b', 1));
  expect(wanted('a')).toBe(0);
  await known;
  expect(wanted('a')).toBe(1);
  expect(wanted('b')).toBe(1);
  const second = here.announce(change('c', 1));
  here.tell(change('c', 0));
  here.tell(change('a', 0));
  await second;
  expect(wanted('c')).toBe(0);
  expect(wanted('a')).toBe(0);
});

test('news after a post are posted with the next one', async () => {
  for (let i = 0; i < 20; i++) {
    const known = here.announce(change(`${i}`, 1));
    // Between the posting and the answer.
    setImmediate(() => here.tell(change(`late/${i}`, 1)));
    await known;
  }
  await until('the late ones', () => Array.from({ length: 20 }, (_, i) => wanted(`late/${i}`)).every((flags) => flags === 1), 5_000, 1);
});

test('a peer that joins knows the news from just before and just after', async () => {
  here.namespace('n').subscribe(SINK, subscription('before'));
  here.tell(change('before', 1));
  const other = makeMesh(3);
  const joined = joinMeshes(here, other);
  const known = here.announce(change('after', 1));
  await Promise.all([joined, known]);
  expect(other.namespace('n').entry('before').peers).toHaveLength(1);
  expect(other.namespace('n').entry('after').peers).toHaveLength(1);
  other.close();
});

test('news of nothing is not posted', async () => {
  const table = makeTable(here);
  table.end(table.create(here.namespace('n'), 'client'));
  const posted = vi.spyOn(PeerLink.prototype, 'control');
  table.end(table.create(here.namespace('n'), 'other'));
  expect(posted).not.toHaveBeenCalled();
  vi.restoreAllMocks();
});

test('who subscribes what a session that moves here has brought waits until the peers know it', async () => {
  const table = makeTable(here);
  const namespace = here.namespace('n');
  const announced = table.subscriptions.install(table.create(namespace, 'moving'), [subscription('f')], { id: 7, from: 2 });
  await Promise.all(table.subscriptions.add(table.create(namespace, 'other'), [subscription('f')]));
  expect(wanted('f')).not.toBe(0);
  await announced;
});

test('sessions with many filters that come and go again and again leave nothing behind that grows', async () => {
  const table = makeTable(here);
  const namespace = here.namespace('n');
  const lingering = (): number =>
    [...namespace.localFilters()].reduce((sum, { filter }) => sum + namespace.subscribersOf(filter).length, 0);
  let most = 0;
  for (let round = 0; round < 300; round++) {
    for (let k = 0; k < 3; k++) {
      const session = table.create(namespace, `client-${k}`);
      const filters = Array.from({ length: 100 }, (_, i) => subscription(`f/${k}/${i}`));
      void table.subscriptions.install(session, filters, { id: round * 3 + k, from: 2 });
      table.forget(session);
    }
    await new Promise((resolve) => setImmediate(resolve));
    most = Math.max(most, lingering());
  }
  expect(most).toBeLessThan(5_000);
  await until('all are gone', () => lingering() === 0, 5_000, 1);
});

const SINK = { key: 'sink', isConnected: true, isLeaving: false, isDurable: false, deliver: () => null, deliverRun: () => true };

function subscription(filter: string, group: string | null = null): Subscription {
  return { filter, group, qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0, identifier: 0 };
}

test('a session that ends with many filters gets nothing more at once; the filters go in slices, and the peers hear of it', async () => {
  const router = quietRouter(1);
  const table = makeTable(here, {}, router);
  const namespace = here.namespace('n');
  const session = table.create(namespace, 'client');
  const filters = Array.from({ length: 500 }, (_, i) => `f/${i}`);
  await Promise.all(table.subscriptions.add(session, [...filters.map((filter) => subscription(filter)), subscription('f/1', 'group')]));
  expect(wanted('f/499')).not.toBe(0);
  let received = 0;
  const outlet: SessionOutlet = {
    sendWindow: 10,
    isSlow: false,
    takesRuns: true,
    sendRun() {},
    sendPublish: () => {
      received++;
      return true;
    },
    sendPubrel() {},
    takenOver() {},
    willPublished() {},
  };
  session.attach(outlet);
  const publish = (topic: string): void =>
    void router.route(namespace, namespace.entry(topic), new Message(topic, EMPTY, 1, false, EMPTY, 0, ''));
  publish('f/1');
  publish('f/499');
  // The news name f/1 a second time, for the group.
  expect(received).toBe(3);
  table.end(session);
  publish('f/1');
  publish('f/499');
  expect(received).toBe(3);
  expect(session.queue.length + session.inflight.size).toBe(0);
  const left = (): number => [...namespace.localFilters()].length;
  // Groups choose among their members: this one is left at once.
  expect(namespace.findGroup('f/1', 'group')).toBeUndefined();
  expect(left()).toBeGreaterThan(filters.length / 2);
  await until('the filters are gone', () => left() === 0, 5_000, 1);
  await until('the peer knows', () => filters.every((filter) => wanted(filter) === 0), 5_000, 1);
  expect(there.namespace('n').entry('f/1').groups).toHaveLength(0);
});

const LONG = 60_000;

test('long filters count for each peer that keeps them, leave a few at a time, and reach a peer that joins in pieces of their length', async () => {
  const table = makeTable(here);
  const namespace = here.namespace('n');
  const session = table.create(namespace, 'client');
  const count = 40;
  const filters = Array.from({ length: count }, (_, i) => subscription(`${i}/`.padEnd(LONG, 'x')));
  await Promise.all(table.subscriptions.add(session, filters));
  expect(bytesOfSession(session, 7)).toBeGreaterThan(count * LONG * 8);
  const lengths = [...interestPieces([namespace], () => 1)].map(({ news }) => news.filters.reduce((sum, filter) => sum + filter.length, 0));
  expect(lengths.reduce((sum, length) => sum + length, 0)).toBe(count * LONG);
  expect(Math.max(...lengths)).toBeLessThan(PIECE_LENGTH + LONG);
  table.end(session);
  let most = count - session.subscriptions.size;
  while (session.subscriptions.size > 0) {
    const before = session.subscriptions.size;
    await new Promise((resolve) => setImmediate(resolve));
    most = Math.max(most, before - session.subscriptions.size);
  }
  expect(most).toBeLessThanOrEqual(6);
  expect(session.filterLength).toBe(0);
});
