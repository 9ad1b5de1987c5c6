/** Confirmations that wait for the session worker keep their order when that worker is replaced. */

import { expect, test } from 'vitest';
import { DurableBarrier } from '../../../workers/endpoint/durable/durable-barrier.ts';
import type { Mesh } from '../../../workers/shared/mesh/mesh.ts';
import type { PeerLink } from '../../../workers/shared/mesh/peer-link.ts';
import { EMPTY, Message } from '../../../workers/shared/messages/message.ts';
import { Namespace } from '../../../workers/shared/routing/namespace.ts';
import { SharedConfirmations } from '../../../workers/shared/routing/shared-confirmations.ts';
import { SharedReports } from '../../../workers/shared/routing/shared-reports.ts';
import { Session, type SessionHost } from '../../../workers/shared/session/session.ts';
import type { Control } from '../../../workers/shared/wire/controls.ts';

function durableSession(): Session {
  const session = new Session(new Namespace('default'), 'c', {} as SessionHost, new SharedReports());
  session.isDurable = true;
  return session;
}

/** Collects what is sent to a session worker. */
class Told {
  readonly requests: { op: string; request: number }[] = [];
  readonly link = { control: (control: Control) => this.#take(control) } as unknown as PeerLink;

  #take(control: Control): void {
    if (control.t === 'durable' && control.request > 0) this.requests.push({ op: control.op.op, request: control.request });
  }

  number(op: string, nth = 0): number {
    return this.requests.filter((each) => each.op === op)[nth]!.request;
  }
}

test('a request to the new session worker does not overtake those that the old one left unanswered', async () => {
  const session = durableSession();
  const old = new Told();
  const mesh: { sessionLink: PeerLink | null } = { sessionLink: old.link };
  const barrier = new DurableBarrier(mesh as unknown as Mesh);
  const order: string[] = [];
  const sent = (name: string, packetId: number) =>
    void barrier.request(session, { op: 'sent', source: 1, serial: packetId, group: null, packetId }).then(() => order.push(name));

  sent('asked the old one', 1);
  mesh.sessionLink = null;
  sent('asked nobody', 2);
  const fresh = new Told();
  mesh.sessionLink = fresh.link;
  barrier.onSessionWorker(fresh.link, [session]);
  sent('asked the new one', 3);
  barrier.onRequestDone(fresh.number('sent'));
  await Promise.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  expect(order).toEqual([]);
  // It dies as well: what is open now is answered by a third one, still in order.
  mesh.sessionLink = null;
  const third = new Told();
  mesh.sessionLink = third.link;
  barrier.onSessionWorker(third.link, [session]);
  sent('asked the third one', 4);
  barrier.onRequestDone(third.number('sent'));
  barrier.onRequestDone(third.number('again'));
  await new Promise((resolve) => setImmediate(resolve));
  expect(order).toEqual(['asked the old one', 'asked nobody', 'asked the new one', 'asked the third one']);
  sent('afterwards', 5);
  barrier.onRequestDone(third.number('sent', 1));
  await new Promise((resolve) => setImmediate(resolve));
  expect(order.at(-1)).toBe('afterwards');
});

test('an end that was not confirmed is said again, before the sessions of now: one of them may have the same name', async () => {
  const session = durableSession();
  const old = new Told();
  const mesh: { sessionLink: PeerLink | null } = { sessionLink: old.link };
  const barrier = new DurableBarrier(mesh as unknown as Mesh);
  barrier.tell(session, { op: 'end', due: null });
  let isKept = false;
  void barrier.request(session, { op: 'end', due: null }).then(() => {
    isKept = true;
  });
  barrier.onRequestDone(old.number('end'));
  const fresh = new Told();
  mesh.sessionLink = fresh.link;
  barrier.onSessionWorker(fresh.link, [session]);
  expect(fresh.requests.map(({ op }) => op)).toEqual(['end', 'again']);
  barrier.onRequestDone(fresh.number('again'));
  await new Promise((resolve) => setImmediate(resolve));
  expect(isKept).toBe(false);
  barrier.onRequestDone(fresh.number('end'));
  await new Promise((resolve) => setImmediate(resolve));
  expect(isKept).toBe(true);
  // Confirmed, it is not said to a third one.
  const third = new Told();
  barrier.onSessionWorker(third.link, []);
  expect(third.requests).toEqual([]);
});

test('what waits for all waits for what is under way, and not at all when nothing is', () => {
  const barrier = new DurableBarrier({ sessionLink: null } as unknown as Mesh);
  const done: string[] = [];
  barrier.waitForAll(() => done.push('at once'));
  barrier.wait(5, () => done.push('first'));
  barrier.waitForAll(() => done.push('behind it'));
  barrier.onStored(4);
  expect(done).toEqual(['at once']);
  barrier.onStored(5);
  expect(done).toEqual(['at once', 'first', 'behind it']);
});

test('a message whose shared group came back from the session worker waits for the next member, too', () => {
  const barrier = new DurableBarrier({ sessionLink: null } as unknown as Mesh);
  const confirmation = new SharedConfirmations().open(new Message('t', EMPTY, 1, false, EMPTY, 0, ''));
  confirmation.begin();
  const done: [number, string][] = [];
  for (const serial of [5, 6]) barrier.wait(serial, (outcome) => done.push([serial, outcome]));
  barrier.delay(5, confirmation);
  barrier.onStored(6);
  expect(done).toEqual([[6, 'stored']]);
  confirmation.end();
  expect(done).toEqual([
    [6, 'stored'],
    [5, 'stored'],
  ]);
});
