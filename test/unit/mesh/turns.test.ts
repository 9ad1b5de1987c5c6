/** The posts of peers are handled in turns: in order for each peer, and no peer waits for all posts of another. */

import { expect, test } from 'vitest';
import type { Mesh } from '../../../workers/shared/mesh/mesh.ts';
import { EMPTY, Message } from '../../../workers/shared/messages/message.ts';
import type { Control } from '../../../workers/shared/wire/controls.ts';
import { until } from '../../kit/until.ts';
import { joinMeshes, makeMesh } from '../session/meshes.ts';

/** Work for each message (ms). */
const WORK_MS = 1;

function busy(): void {
  const end = performance.now() + WORK_MS;
  while (performance.now() < end);
}

/** A mesh that takes a millisecond for each record and control, and writes down whose it was. */
function slowMesh(heard: string[]): Mesh {
  const mesh = makeMesh(1);
  mesh.hooks = {
    ...mesh.hooks,
    onPublish(link, _namespace, { message }) {
      busy();
      heard.push(`${link.id}:${message.serial}`);
    },
    onControl(link, control: Control) {
      busy();
      heard.push(`${link.id}:${control.t === 'stored' ? control.serial : control.t}`);
    },
  };
  return mesh;
}

function publish(from: Mesh, serial: number): void {
  const message = new Message('t', Buffer.from('x'), 1, false, EMPTY, 0, '');
  message.serial = serial;
  from.links.get(1)!.publish('n', { message, toSubscribers: true, groups: null, store: false });
}

/** Loop iterations of this thread until `isOver`. */
async function iterations(isOver: () => boolean): Promise<number> {
  let count = 0;
  for (; !isOver(); count++) await new Promise((resolve) => setImmediate(resolve));
  return count;
}

test.each(['records', 'controls'])(
  '%s of a peer that has 300 ms of work: another one is heard in between, and the loop goes round',
  async (kind) => {
    const heard: string[] = [];
    const here = slowMesh(heard);
    const flooding = makeMesh(2);
    const quiet = makeMesh(3);
    await joinMeshes(here, flooding);
    await joinMeshes(here, quiet);
    for (let serial = 1; serial <= 300; serial++) {
      if (kind === 'records') publish(flooding, serial);
      else flooding.links.get(1)!.control({ t: 'stored', serial, count: 1 });
    }
    // One frame, and another one behind it.
    flooding.links.get(1)!.flush();
    flooding.links.get(1)!.control({ t: 'stored', serial: 301, count: 1 });
    quiet.links.get(1)!.control({ t: 'stored', serial: 1, count: 1 });
    const rounds = await iterations(() => heard.length >= 302);
    expect(rounds).toBeGreaterThan(10);
    expect(heard.filter((each) => each.startsWith('2:'))).toEqual(Array.from({ length: 301 }, (_, i) => `2:${i + 1}`));
    expect(heard.indexOf('3:1')).toBeLessThan(100);
    for (const mesh of [here, flooding, quiet]) mesh.close();
  },
);

test('who waits until all is worked off that was posted waits for the rest of the frame, and for no later one', async () => {
  const heard: string[] = [];
  const here = slowMesh(heard);
  const asking = makeMesh(2);
  const other = makeMesh(3);
  await joinMeshes(here, asking);
  await joinMeshes(here, other);
  const { onControl } = here.hooks;
  here.hooks = {
    ...here.hooks,
    onControl(link, control) {
      onControl(link, control);
      if (link.id === 2 && control.t === 'stored' && control.serial === 5) here.whenDrained(() => heard.push('drained'));
    },
  };
  for (let serial = 1; serial <= 100; serial++) other.links.get(1)!.control({ t: 'stored', serial, count: 1 });
  other.links.get(1)!.flush();
  for (let serial = 1; serial <= 50; serial++) asking.links.get(1)!.control({ t: 'stored', serial, count: 1 });
  asking.links.get(1)!.flush();
  await until('it is drained', () => heard.includes('drained'), 5_000, 1);
  const before = heard.slice(0, heard.indexOf('drained'));
  expect(before).toContain('2:50');
  expect(before).toContain('3:100');
  // With nothing posted it is called at once.
  let isCalled = false;
  here.whenDrained(() => {
    isCalled = true;
  });
  expect(isCalled).toBe(true);
  for (const mesh of [here, asking, other]) mesh.close();
});

test('a peer that joins gets 100,000 filters in pieces, of which the last word on each counts', async () => {
  const here = makeMesh(1);
  const namespace = here.namespace('n');
  const sink = { key: 'sink', isConnected: true, isLeaving: false, isDurable: false, deliver: () => null, deliverRun: () => true };
  const subscribe = (filter: string) =>
    namespace.subscribe(sink, { filter, group: null, qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0, identifier: 0 });
  const COUNT = 100_000;
  for (let i = 0; i < COUNT; i++) subscribe(i % 5 === 0 ? `f/${i}/+` : `f/${i}/v`);
  const there = makeMesh(2);
  const joined = joinMeshes(here, there);
  let isJoined = false;
  void joined.then(() => {
    isJoined = true;
  });
  // During that, filters come and go, among them some that have been sent already, and some that have not.
  let changes = 0;
  const rounds = await iterations(() => {
    for (const i of [changes, COUNT - 1 - changes]) {
      const filter = i % 5 === 0 ? `f/${i}/+` : `f/${i}/v`;
      namespace.unsubscribe(sink, filter);
      here.tell({ namespace: 'n', filters: [filter], flags: [0], shares: [] });
    }
    subscribe(`new/${changes}`);
    here.tell({ namespace: 'n', filters: [`new/${changes}`], flags: [3], shares: [] });
    changes++;
    return isJoined;
  });
  expect(rounds).toBeGreaterThan(10);
  await here.announce({ namespace: 'n', filters: ['last'], flags: [3], shares: [] });
  const knows = (topic: string): boolean => there.namespace('n').entry(topic).peers.length > 0;
  const wrong: string[] = [];
  for (let i = 0; i < COUNT; i++) if (knows(`f/${i}/v`) !== (i >= changes && i < COUNT - changes)) wrong.push(`f/${i}/v`);
  for (let i = 0; i < changes; i++) if (!knows(`new/${i}`)) wrong.push(`new/${i}`);
  expect(wrong).toEqual([]);
  // It ends: nothing is routed to it at once, and its filters go in pieces.
  const link = there.links.get(1)!;
  await there.removePeer(1);
  expect(knows(`f/${COUNT / 2}/v`)).toBe(false);
  await until('nothing is left of it', () => [...there.namespace('n').forget(link)].length === 0, 5_000, 5);
  for (const mesh of [here, there]) mesh.close();
});
