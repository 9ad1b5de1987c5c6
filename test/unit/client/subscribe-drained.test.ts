/** A message that waits in a peer's post is older than a SUBSCRIBE, and may be acknowledged: the new subscriber does not get it. */

import { afterEach, expect, test, vi } from 'vitest';
import { toLatin1 } from '../../../src/mqtt/topic.ts';
import type { Mesh } from '../../../workers/shared/mesh/mesh.ts';
import { flushPeers } from '../../../workers/shared/mesh/peer-link.ts';
import { EMPTY, Message } from '../../../workers/shared/messages/message.ts';
import { Splitter } from '../../kit/decode.ts';
import * as encode from '../../kit/encode.ts';
import { joinMeshes, makeMesh } from '../session/meshes.ts';
import { settled, World } from './world.ts';

const DEADLINE_MS = 10_000;
const SERVER_BUSY = 0x89;
const meshes: Mesh[] = [];

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  for (const mesh of meshes.splice(0)) mesh.close();
});

/** A worker with one peer, which publishes; the peer knows that somebody here wants `kept/#`. */
async function worker() {
  const world = new World(1000);
  const here = world.context.mesh;
  const there = makeMesh(2);
  meshes.push(here, there);
  await joinMeshes(here, there);
  const { router } = world.context;
  here.hooks = {
    ...here.hooks,
    onPublish: (link, namespace, record) => void router.receive(here.namespace(namespace), record, link.id),
  };
  const join = async (clientId: string) => {
    const { client, wire } = world.client();
    const say = (...packets: Buffer[]): void => {
      const bytes = Buffer.concat(packets);
      client.onData(bytes, 0, bytes.length);
    };
    say(encode.connect(5, { clientId }));
    await settled();
    return {
      client,
      wire,
      say,
      heard: () =>
        new Splitter(5).push(wire.sent).flatMap((packet) => {
          if (packet.type === 'connack') return [];
          return packet.type === 'publish' ? packet.payload.toString() : packet.type;
        }),
    };
  };
  /** Posts messages, which `here` reads in a later loop iteration. */
  const post = (topic: string, ...payloads: string[]): void => {
    for (const payload of payloads) {
      const message = new Message(toLatin1(topic), Buffer.from(payload), 0, true, EMPTY, 0, '');
      there.links.get(1)!.publish(world.endpoint.namespace.name, { message, toSubscribers: true, groups: null, store: false });
    }
    flushPeers();
  };
  const first = await join('first');
  first.say(encode.subscribe(5, 1, [{ filter: 'kept/#' }]));
  await settled();
  return { here, first, join, post };
}

test.each([[['kept/#']], [['kept/a']], [['+/a']], [['other', 'kept/+']]])('filters %s', async (filters) => {
  const { first, join, post } = await worker();
  const second = await join('second');
  post('kept/a', '1', '2');
  post('kept/a', '3');
  const requests = filters.map((filter) => ({ filter }));
  second.say(encode.subscribe(5, 1, requests), encode.subscribe(5, 2, requests), encode.pingreq());
  await settled();
  post('kept/a', '4');
  await settled();
  expect(first.heard()).toEqual(['suback', '1', '2', '3', '4']);
  expect(second.heard()).toEqual(['suback', 'suback', 'pingresp', '4']);
});

test('nothing is posted: SUBACK for a known filter waits for no peer', async () => {
  const { join } = await worker();
  const second = await join('second');
  second.say(encode.subscribe(5, 1, [{ filter: 'kept/#' }]));
  await new Promise((resolve) => setImmediate(resolve));
  expect(second.heard()).toEqual(['suback']);
});

test('a client that leaves before its SUBSCRIBE is handled leaves no subscription', async () => {
  const { here, first, join, post } = await worker();
  const second = await join('second');
  post('kept/a', '1');
  second.say(encode.subscribe(5, 1, [{ filter: 'kept/a' }]));
  second.client.close(0);
  await settled();
  expect(first.heard()).toEqual(['suback', '1']);
  expect([...here.namespaces()].flatMap((namespace) => [...namespace.localFilters()].map(({ filter }) => filter))).toEqual(['kept/#']);
});

test('posts that are not handled in time: the client is closed', async () => {
  const { here, join } = await worker();
  const second = await join('second');
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  vi.spyOn(here, 'whenDrained').mockImplementation(() => undefined);
  second.say(encode.subscribe(5, 1, [{ filter: 'kept/a' }]));
  vi.advanceTimersByTime(DEADLINE_MS - 1);
  await settled();
  expect(second.wire.isEnded).toBe(false);
  vi.advanceTimersByTime(1);
  await settled();
  expect(new Splitter(5).push(second.wire.sent).at(-1)).toMatchObject({ type: 'disconnect', code: SERVER_BUSY });
  expect(second.wire.isEnded).toBe(true);
});
