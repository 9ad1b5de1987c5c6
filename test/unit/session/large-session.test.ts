/** A durable session with tens of thousands of filters begins, ends and loses its rights in slices of the thread, and another one may have its name at once. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Pace } from '../../../src/kernel/turns/pace.ts';
import { atPace } from '../../../src/kernel/turns/steps.ts';
import { DurableBarrier } from '../../../workers/endpoint/durable/durable-barrier.ts';
import { MessageDisk } from '../../../workers/host/disk/message-disk.ts';
import { DurableSessions } from '../../../workers/host/sessions/durable-sessions.ts';
import type { Mesh } from '../../../workers/shared/mesh/mesh.ts';
import type { PeerLink } from '../../../workers/shared/mesh/peer-link.ts';
import { EMPTY, Message } from '../../../workers/shared/messages/message.ts';
import { type Withdrawn, withdrawing } from '../../../workers/shared/rights/withdrawal.ts';
import type { Router } from '../../../workers/shared/routing/router.ts';
import type { Session } from '../../../workers/shared/session/session.ts';
import type { SessionTable } from '../../../workers/shared/table/session-table.ts';
import type { DurableOp } from '../../../workers/shared/wire/controls.ts';
import { until } from '../../kit/until.ts';
import { worstTurn } from '../../kit/worst-turn.ts';
import { joinMeshes, makeMesh } from './meshes.ts';
import { makeTable, quietRouter } from './tables.ts';

const COUNT = 40_000;
/** CPU time of one turn, milliseconds; in one go each of these takes several times that. */
const TURN_MS = 80;

let folder = '';
let mesh: Mesh;
let other: Mesh;
let disk: MessageDisk;
let durable: DurableSessions;
let table: SessionTable;
let barrier: DurableBarrier;
let router: Router;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fluxmq-large-'));
  mesh = makeMesh(1);
  other = makeMesh(2);
  await joinMeshes(mesh, other);
  disk = new MessageDisk(folder);
  durable = new DurableSessions(mesh, disk);
  router = quietRouter(1);
  // The session worker, told without a thread in between.
  const link = {
    control(control: { t: string; namespace: string; clientId: string; op: DurableOp; request: number }) {
      const applied = durable.apply(control.namespace, control.clientId, control.op);
      void Promise.all([applied, durable.committed()]).then(() => barrier.onRequestDone(control.request));
    },
  } as unknown as PeerLink;
  barrier = new DurableBarrier({ sessionLink: link } as unknown as Mesh);
  table = makeTable(
    other,
    {
      onDurable: (session, op) => barrier.tell(session, op),
    },
    router,
  );
});

afterEach(() => {
  durable.close();
  disk.close();
  mesh.close();
  other.close();
  rmSync(folder, { recursive: true });
});

function filterOf(n: number): string {
  return n % 5 === 0 ? `f/${n}/+` : `f/${n}/v`;
}

/** A session of an endpoint worker, not durable yet. */
async function makeSession(count: number): Promise<Session> {
  const session = table.create(other.namespace('n'), 'c');
  session.expirySeconds = 60;
  const subscriptions = Array.from({ length: count }, (_, n) => ({
    filter: filterOf(n),
    group: null,
    qos: 1 as const,
    noLocal: false,
    retainAsPublished: false,
    retainHandling: 0 as const,
    identifier: 0,
  }));
  await Promise.all(table.subscriptions.add(session, subscriptions));
  return session;
}

async function begin(session: Session): Promise<void> {
  session.isDurable = true;
  await barrier.begin(session);
}

/** Publishes as a client of the session worker would; what a durable session must get goes to disk. */
function publish(topic: string): void {
  const space = mesh.namespace('n');
  router.route(space, space.entry(topic), new Message(topic, Buffer.from('x'), 1, false, EMPTY, 0, ''));
}

/** The sessions that the next process would find. */
function stored(): { filters: number; topics: string[] } | null {
  const loaded = disk.load('n', 'c');
  return loaded === null ? null : { filters: loaded.subscriptions.length, topics: loaded.deliveries.map(({ message }) => message.topic) };
}

test('it becomes durable, and ends, in slices; one that begins in between gets what is its own', async () => {
  const session = await makeSession(COUNT);
  const began = await worstTurn(() => begin(session));
  expect(stored()).toEqual({ filters: COUNT, topics: [] });
  publish(filterOf(1));
  publish(filterOf(COUNT - 1));
  expect(stored()!.topics).toEqual([filterOf(1), filterOf(COUNT - 1)]);
  const ended = await worstTurn(async () => {
    table.end(session);
    await durable.committed();
    expect(stored()).toBeNull();
    // Nothing is kept for the one that has ended, although its filters are still there.
    publish(filterOf(2));
    const next = await makeSession(3);
    await begin(next);
    publish(filterOf(1));
    publish(filterOf(COUNT - 1));
    expect(stored()).toEqual({ filters: 3, topics: [filterOf(1)] });
    await until('its rows are gone', () => !disk.hasLeftovers, 60_000, 20);
    await until('its filters are gone', () => !mesh.namespace('n').hasSubscribers(filterOf(COUNT - 1)), 20_000, 20);
  });
  expect(stored()).toEqual({ filters: 3, topics: [filterOf(1)] });
  expect(mesh.namespace('n').hasSubscribers(filterOf(2))).toBe(true);
  await until('peers know', () => other.namespace('n').entry(filterOf(4)).peers.length === 0, 10_000, 20);
  expect(other.namespace('n').entry(filterOf(2)).peers).toHaveLength(1);
  expect(began.ms, 'begin').toBeLessThan(TURN_MS);
  expect(ended.ms, 'end').toBeLessThan(TURN_MS);
}, 120_000);

test('it ends while it is being announced; a message that came before its filter was announced is on disk with the session', async () => {
  const first = await makeSession(5_000);
  const beginning = begin(first);
  await new Promise((resolve) => setImmediate(resolve));
  expect(disk.isUnfinished('n', 'c')).toBe(true);
  table.end(first);
  await beginning;
  const second = await makeSession(5_000);
  const again = begin(second);
  const space = other.namespace('n');
  router.route(space, space.entry(filterOf(4_999)), new Message(filterOf(4_999), Buffer.from('x'), 1, false, EMPTY, 0, ''));
  expect(second.queue.length).toBe(1);
  await again;
  await durable.committed();
  expect(stored()).toEqual({ filters: 5_000, topics: [filterOf(4_999)] });
}, 60_000);

test('rules take half of them back in slices; filters that come and go in between are not touched', async () => {
  const session = await makeSession(COUNT);
  const space = other.namespace('n');
  for (let n = 0; n < 500; n++) {
    const topic = filterOf(n * 5 + 1);
    router.route(space, space.entry(topic), new Message(topic, Buffer.from('x'), 1, false, EMPTY, 0, ''));
  }
  expect(session.queue.length).toBe(500);
  const isAllowed = (topic: string): boolean => Number(topic.split('/')[1]) % 2 === 0;
  const rules = { allowsAll: false, maySubscribe: isAllowed, mayReceive: () => true };
  const withdrawn: Withdrawn = { filters: [], messages: 0 };
  let counted = 0;
  const { ms } = await worstTurn(async () => {
    const done = atPace(
      withdrawing(session, rules, table.subscriptions, router, withdrawn, (count) => {
        counted += count;
      }),
      new Pace(),
      () => true,
    );
    expect(session.subscriptions.size).toBeGreaterThan(COUNT / 2);
    table.subscriptions.remove(session, filterOf(COUNT - 1));
    await done;
  });
  expect(session.subscriptions.size).toBe(COUNT / 2);
  expect(withdrawn.filters).toHaveLength(COUNT / 2 - 1);
  expect(counted).toBe(COUNT / 2 - 1);
  expect(withdrawn.messages).toBe(250);
  expect(session.queue.length).toBe(250);
  expect(ms).toBeLessThan(TURN_MS);
}, 60_000);
