/** Pages of retained messages: what they carry, who shares them, and what a reader may still be sent of them. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { steadyNow } from '../../../../src/kernel/clock.ts';
import type { QoS } from '../../../../src/mqtt/packet.ts';
import { RecentRetained } from '../../../../workers/endpoint/retained/recent.ts';
import { RetainedStore } from '../../../../workers/host/retained/store.ts';
import { RetainedWalks, type SharedWalk } from '../../../../workers/host/retained/walks.ts';
import { EMPTY, Message } from '../../../../workers/shared/messages/message.ts';
import { makePage, packetsOfVersion5, type RetainedPage, readPage, settle } from '../../../../workers/shared/wire/page.ts';

let serial = 0;

function message(topic: string, payload: string | Buffer, qos: QoS = 1, forward: Buffer = EMPTY, expiresAt = 0, from = 'n\0c'): Message {
  const made = new Message(topic, Buffer.from(payload), qos, true, forward, expiresAt, from);
  made.source = 3;
  made.serial = ++serial;
  return made;
}

const plain = ({ topic, payload, qos, forward, expiresAt, from, source, serial: number }: Message) => ({
  topic,
  payload: payload.toString('hex'),
  qos,
  forward: forward.toString('hex'),
  expiresAt,
  from,
  source,
  serial: number,
});

describe('a page', () => {
  test('gives back every message as it was', () => {
    const one = fc.record({
      topic: fc.string({ unit: 'binary-ascii', minLength: 1, maxLength: 300 }),
      payload: fc.uint8Array({ minLength: 1, maxLength: 300 }),
      qos: fc.constantFrom<QoS>(0, 1, 2),
      forward: fc.uint8Array({ maxLength: 40 }),
      expiresAt: fc.constantFrom(0, 2 ** 41 + 0.5),
      from: fc.string({ unit: 'grapheme', maxLength: 20 }),
    });
    fc.assert(
      fc.property(fc.array(one, { minLength: 1, maxLength: 20 }), (all) => {
        const messages = all.map(({ topic, payload, qos, forward, expiresAt, from }) =>
          message(topic, Buffer.from(payload), qos, Buffer.from(forward), expiresAt, from),
        );
        const page = makePage(messages);
        expect(readPage(page).map(plain)).toEqual(messages.map(plain));
        expect(page.maxQos).toBe(Math.max(...all.map(({ qos }) => qos)));
      }),
    );
  });

  test('of a large message is the message: its bytes are there once', () => {
    const large = settle(message('big', 'x'.repeat(100_000)));
    const page = makePage([large]);
    expect(page.packets.buffer).toBe(large.payload.buffer);
    const [read] = readPage(page);
    expect(read!.payload.equals(large.payload)).toBe(true);
    // Keeping the message, in a window or on its way to another thread, copies nothing.
    expect(read!.detach().payload.buffer).toBe(large.payload.buffer);
  });

  test('has the packets of MQTT 5, properties and all', () => {
    const forward = Buffer.from([3, 0, 1, 97]);
    const bytes = packetsOfVersion5([message('a', 'b', 1, forward), message('c', 'd')]);
    expect(bytes.toString('hex')).toBe('3109000161040300016162' + '310500016300' + '64');
  });
});

function readAll(walks: RetainedWalks, walk: SharedWalk): RetainedPage[] {
  const pages: RetainedPage[] = [];
  for (;;) {
    const page = walks.page(walk, pages.length, false, steadyNow() + 1000);
    if (page === null) return pages;
    pages.push(page!);
  }
}

const topicsOf = (pages: RetainedPage[]) => pages.flatMap((page) => readPage(page).map(({ topic }) => topic));

describe('a walk', () => {
  function filled(count: number): RetainedStore {
    const store = new RetainedStore(null);
    for (let i = 0; i < count; i++) store.retain('n', message(`t/${i % 10}/${i}`, 'x'));
    return store;
  }

  test('is shared by questions between which nothing has changed, and by no others', () => {
    const store = filled(2_000);
    const walks = new RetainedWalks(store);
    const [first, second] = [walks.open('n', '#'), walks.open('n', '#')];
    expect(second).toBe(first);
    const pages = readAll(walks, first);
    expect(topicsOf(pages)).toHaveLength(2_000);
    expect(new Set(topicsOf(pages)).size).toBe(2_000);
    expect(readAll(walks, second).map(({ id }) => id)).toEqual(pages.map(({ id }) => id));
    store.retain('n', message('t/0/0', 'new'));
    const third = walks.open('n', '#');
    expect(third).not.toBe(first);
    expect(
      readAll(walks, third)
        .flatMap((page) => readPage(page))
        .find(({ topic }) => topic === 't/0/0')!
        .payload.toString(),
    ).toBe('new');
    expect(walks.open('n', 't/#')).not.toBe(third);
  });

  test('visits each topic that stays once, whatever is kept and removed between its pages', () => {
    const store = filled(3_000);
    const walks = new RetainedWalks(store);
    const walk = walks.open('n', '#');
    const seen: string[] = [];
    for (let at = 0; ; at++) {
      const page = walks.page(walk, at, false, steadyNow() + 1000);
      if (page === null) break;
      seen.push(...topicsOf([page!]));
      for (let i = at; i < 3_000; i += 50) store.retain('n', message(`t/${i % 10}/${i}`, i % 3 === 0 ? '' : 'again'));
      for (let i = 0; i < 20; i++) store.retain('n', message(`new/${at}/${i}`, 'x'));
    }
    const stayed = Array.from({ length: 3_000 }, (_, i) => `t/${i % 10}/${i}`).filter((topic) => store.get('n', topic, 0) !== null);
    for (const topic of stayed) expect(seen.filter((each) => each === topic)).toHaveLength(1);
  });

  test.each([0, 1, 499, 500, 501, 1_000, 1_001])('knows the last page as such when it is made: %i messages', (count) => {
    const walks = new RetainedWalks(filled(count));
    const walk = walks.open('n', '#');
    const last: boolean[] = [];
    for (let at = 0; walks.page(walk, at, false, Number.POSITIVE_INFINITY) !== null; at++) last.push(walks.isLast(walk, at));
    const pages = Math.ceil(count / 500);
    expect(last).toEqual(Array.from({ length: pages }, (_, at) => at === pages - 1));
    // A further reader of the walk finds the same.
    expect(Array.from({ length: pages }, (_, at) => walks.isLast(walk, at))).toEqual(last);
  });

  test('a page that is asked for as it is now has lost what has changed since: its reader has seen that live', () => {
    const store = filled(10);
    const walks = new RetainedWalks(store);
    const walk = walks.open('n', 't/+/+');
    expect(topicsOf([walks.page(walk, 0, false, Number.POSITIVE_INFINITY)!])).toHaveLength(10);
    store.retain('n', message('t/1/1', 'new'));
    store.retain('n', message('t/2/2', ''));
    const fresh = topicsOf([walks.page(walk, 0, true, Number.POSITIVE_INFINITY)!]);
    expect(fresh).toHaveLength(8);
    expect(fresh).not.toContain('t/1/1');
  });

  test('has no page yet when its slice is over', () => {
    const store = new RetainedStore(null);
    for (let i = 0; i < 5_000; i++) store.retain('n', message(`${i}/x`, 'x'));
    const walks = new RetainedWalks(store);
    const walk = walks.open('n', '+/y');
    expect(walks.page(walk, 0, false, 0)).toBeUndefined();
    let turns = 1;
    while (walks.page(walk, 0, false, 0) === undefined) turns++;
    expect(turns).toBeGreaterThan(50);
    expect(walks.page(walk, 0, false, 0)).toBeNull();
  });

  test('keeps few pages, and makes the others again', () => {
    const store = new RetainedStore(null);
    for (let i = 0; i < 3_000; i++) store.retain('n', message(`t/${i}`, 'x'.repeat(10_000)));
    const walks = new RetainedWalks(store);
    const walk = walks.open('n', '#');
    readAll(walks, walk);
    const made = walk.pages.reduce((sum, page) => sum + (page.made?.packets.byteLength ?? 0), 0);
    expect(made).toBeLessThan(17 * 1024 * 1024);
    expect(topicsOf(readAll(walks, walk))).toHaveLength(3_000);
  });
});

describe('what has passed since the question', () => {
  const [old, now] = [message('t', 'old'), message('t', 'new')];

  test('overtakes what is retained, once every peer knows the filter; before that only the very message does', () => {
    const recent = new RecentRetained();
    recent.note(message('other', 'x'));
    const began = recent.last;
    expect(recent.isOvertaken(old, began, began)).toBe(false);
    recent.note(old);
    // It came before the barrier: a newer one may have been missed.
    expect(recent.isOvertaken(old, began, recent.last)).toBe(true);
    expect(recent.isOvertaken(now, began, recent.last)).toBe(false);
    const asked = recent.last;
    recent.note(now);
    expect(recent.isOvertaken(old, began, asked)).toBe(true);
    expect(recent.isOvertaken(message('other', 'x'), began, asked)).toBe(false);
  });

  test('is remembered for so many topics; then the pages that are held count as out of date', () => {
    const recent = new RecentRetained(3);
    for (const topic of ['a', 'b', 'c', 'a']) recent.note(message(topic, 'x'));
    expect(recent.epoch).toBe(0);
    recent.note(message('d', 'x'));
    expect(recent.epoch).toBe(1);
  });
});
