/** A page of retained messages that does not come in 30 s: the subscriber is disconnected and counted, and never left with half an answer in silence. */

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { SLOT } from '../../../src/metrics/counters.ts';
import { toLatin1 } from '../../../src/mqtt/topic.ts';
import { EMPTY, Message } from '../../../workers/shared/messages/message.ts';
import { makePage } from '../../../workers/shared/wire/page.ts';
import { Splitter } from '../../kit/decode.ts';
import type { Version } from '../../kit/encode.ts';
import * as encode from '../../kit/encode.ts';
import { settled, World } from './world.ts';

const DEADLINE_MS = 30_000;
const SERVER_BUSY = 0x89;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
});

async function subscriber(version: Version) {
  const world = new World(1000);
  const { client, wire } = world.client();
  const say = (bytes: Buffer): void => client.onData(bytes, 0, bytes.length);
  const options = version === 5 ? { properties: { sessionExpiry: 60 } } : {};
  say(encode.connect(version, { clientId: 'c', clean: false, ...options }));
  await settled();
  say(encode.subscribe(version, 1, [{ filter: 't/#', qos: 1 }]));
  await settled();
  const packets = () => new Splitter(version).push(wire.sent);
  const late = () => world.endpoint.slots[SLOT.retainedTimeout];
  const page = (filterAt: number, at: number, topics: string[] | null, isLast = topics === null) =>
    world.context.retained.onPage({
      t: 'retained-page',
      request: 1,
      filterAt,
      at,
      isLast,
      page: topics === null ? null : makePage(topics.map((topic) => new Message(toLatin1(topic), Buffer.from('x'), 1, true, EMPTY, 0, ''))),
    });
  return { wire, packets, late, page, session: client.session! };
}

/** The reason that MQTT 5 clients get in DISCONNECT; the others are closed. */
function isTold(version: Version, last: unknown): void {
  if (version === 5) expect(last).toMatchObject({ type: 'disconnect', code: SERVER_BUSY });
}

describe.each([3, 4, 5] as const)('MQTT %i', (version) => {
  test('the first page does not come', async () => {
    const { wire, packets, late, session } = await subscriber(version);
    expect(packets().at(-1)).toMatchObject({ type: 'suback' });
    vi.advanceTimersByTime(DEADLINE_MS - 1);
    await settled();
    expect([wire.isEnded, late()]).toEqual([false, 0]);
    vi.advanceTimersByTime(1);
    await settled();
    isTold(version, packets().at(-1));
    expect([wire.isEnded, late()]).toEqual([true, 1]);
    // The next connection of the session asks again.
    expect([...session.retainedDue!]).toHaveLength(1);
  });

  test('each page has its own time, also behind the last filter that has any', async () => {
    const { wire, packets, late, page } = await subscriber(version);
    vi.advanceTimersByTime(DEADLINE_MS - 1);
    page(0, 0, ['t/1', 't/2']);
    await settled();
    expect(packets().filter(({ type }) => type === 'publish')).toHaveLength(2);
    vi.advanceTimersByTime(DEADLINE_MS - 1);
    expect(wire.isEnded).toBe(false);
    vi.advanceTimersByTime(1);
    await settled();
    expect([wire.isEnded, late()]).toEqual([true, 1]);
  });

  test('nothing is late when all has come, nor when the client has gone', async () => {
    const { wire, late, page, session } = await subscriber(version);
    page(0, 0, ['t/1']);
    await settled();
    page(0, 1, null);
    await settled();
    page(1, 0, null);
    await settled();
    expect(session.retainedDue).toBeNull();
    vi.advanceTimersByTime(2 * DEADLINE_MS);
    expect([wire.isEnded, late()]).toEqual([false, 0]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('nothing is due any more once the last message is sent: the client may leave before it is known that no filter follows', async () => {
    const { packets, page, session } = await subscriber(version);
    page(0, 0, ['t/1', 't/2'], true);
    await settled();
    expect(packets().filter(({ type }) => type === 'publish')).toHaveLength(2);
    expect(session.retainedDue).toBeNull();
  });

  test('what is behind a page that is not the last is due, also for a client that has acknowledged the page', async () => {
    const { page, session } = await subscriber(version);
    page(0, 0, ['t/1', 't/2']);
    await settled();
    expect([...session.retainedDue!]).toHaveLength(1);
  });
});
