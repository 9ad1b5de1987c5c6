/** A large session is announced to a new session worker while it works: what is settled in between is not announced afterwards, and nothing is missing. */

import { expect, test } from 'vitest';
import { announceAgain, needsPieces } from '../../../workers/endpoint/durable/announce-again.ts';
import { EMPTY, Message } from '../../../workers/shared/messages/message.ts';
import { decodeBatch } from '../../../workers/shared/session/flight/delivery-batch.ts';
import type { SessionOutlet } from '../../../workers/shared/session/outlet.ts';
import type { DurableOp } from '../../../workers/shared/wire/controls.ts';
import { makeMesh } from './meshes.ts';
import { makeTable } from './tables.ts';

const COUNT = 60_000;
const WINDOW = 50;

test('60,000 messages, of which the first are acknowledged during it, and filters that come and go', async () => {
  const mesh = makeMesh(1);
  /** serials that the session worker has on disk by now */
  const onDisk = new Set<number>();
  const filters = new Set<string>();
  let zombies = 0;
  const settled = new Set<number>();
  const table = makeTable(mesh, {
    onDurable(_session, op) {
      if (op.op !== 'settled') return;
      settled.add(op.serial);
      onDisk.delete(op.serial);
    },
  });
  const session = table.create(mesh.namespace('n'), 'c');
  session.isDurable = true;
  session.maxQueued = COUNT;
  const sent: number[] = [];
  const outlet: SessionOutlet = {
    sendWindow: WINDOW,
    isSlow: false,
    takesRuns: true,
    sendRun() {},
    sendPublish(_message, _qos, _retain, _dup, packetId) {
      sent.push(packetId);
      return true;
    },
    sendPubrel() {},
    takenOver() {},
    willPublished() {},
  };
  session.attach(outlet);
  for (let serial = 1; serial <= COUNT; serial++) {
    const message = new Message('t', Buffer.from(`${serial}`), 1, false, EMPTY, 0, '');
    message.source = 1;
    message.serial = serial;
    session.send(message, 1, false, [], null);
  }
  for (let i = 0; i < 5_000; i++)
    session.putSubscription(`f/${i}`, {
      filter: `f/${i}`,
      group: null,
      qos: 1,
      noLocal: false,
      retainAsPublished: false,
      retainHandling: 0,
      identifier: 0,
    });
  expect(needsPieces(session)).toBe(true);
  let pieces = 0;
  let isTold = false;
  const take = (op: DurableOp): void => {
    pieces++;
    if (op.op === 'again') isTold = true;
    if (op.op !== 'again-part') return;
    for (const { filter } of op.subscriptions) filters.add(filter);
    for (const { message } of decodeBatch(op.batch)) {
      if (settled.has(message.serial)) zombies++;
      onDisk.add(message.serial);
    }
  };
  const announcing = announceAgain(
    [session],
    (_session, op) => take(op),
    () => false,
    () => {},
  );
  expect(session.announcing).not.toBeNull();
  let rounds = 0;
  for (; !isTold; rounds++) {
    for (const packetId of sent.splice(0)) session.acknowledge(packetId, 1);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await announcing;
  expect(session.announcing).toBeNull();
  expect(rounds).toBeGreaterThan(3);
  expect(pieces).toBeGreaterThan(50);
  expect(zombies).toBe(0);
  expect(settled.size).toBeGreaterThan(0);
  expect(filters.size).toBe(5_000);
  expect(onDisk.size).toBe(COUNT - settled.size);
  mesh.close();
});

test('a session that ends before it is announced is given up, and none waits for ever', async () => {
  const mesh = makeMesh(1);
  const table = makeTable(mesh);
  const sessions = ['a', 'b'].map((name) => table.create(mesh.namespace('n'), name));
  const gaveUp: string[] = [];
  const told: string[] = [];
  table.end(sessions[0]!);
  await announceAgain(
    sessions,
    ({ clientId }) => told.push(clientId),
    () => false,
    ({ clientId }) => gaveUp.push(clientId),
  );
  expect(gaveUp).toEqual(['a']);
  expect(new Set(told)).toEqual(new Set(['b']));
  expect(sessions.map(({ announcing }) => announcing)).toEqual([null, null]);
  mesh.close();
});
