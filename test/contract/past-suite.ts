/**
 * The part of the store suite about the past: history by actor and time, content at a revision, pending confirmations, adopted histories.
 */

import { expect, test, vi } from 'vitest';
import type { EndpointStore, HistoryRow, RowPage } from '../../src/storage/endpoint-store.ts';
import { META, pastOf, put, remove } from './store-changes.ts';

/** The kind of the FluxError of a rejected promise; 'resolved' for a promise that did not fail. */
export type KindOf = (work: Promise<unknown>) => Promise<string>;

/** Runs this part. */
export function describePast(get: () => EndpointStore, kindOf: KindOf): void {
  describeFilters(get);
  describeAt(get, kindOf);
  describePending(get, kindOf);
  describeAdopt(get, kindOf);
  describePages(get);
  describeCompaction(get, kindOf);
}

/** Endpoints of a snapshot as `id port revision`, by id. */
async function contentAt(store: EndpointStore, revision: number): Promise<string[]> {
  const snapshot = await store.at(revision);
  expect([snapshot.revision, snapshot.pending]).toEqual([revision, []]);
  return snapshot.endpoints.map((stored) => `${stored.endpoint.id} ${stored.endpoint.port} ${stored.revision}`).sort();
}

/** Waits until the clock has advanced, so that the next commit gets another time. */
async function nextMillisecond(): Promise<number> {
  const now = Date.now();
  while (Date.now() === now) await new Promise((resolve) => setTimeout(resolve, 1));
  return Date.now();
}

function describeFilters(get: () => EndpointStore): void {
  test('filters the history by actor and by time', async () => {
    const revisions = async (query: object) => (await get().history({ limit: 10, ...query })).map((row) => row.revision);
    await get().commit([put(1)], {}, { ...META, actor: 'ann' });
    const second = await nextMillisecond();
    await get().commit([put(2)], {}, { ...META, actor: 'bob' });
    const third = await nextMillisecond();
    await get().commit([put(3), put(1, { wiretap: true })], {}, { ...META, actor: 'ann' });
    expect(await revisions({ actor: 'ann' })).toEqual([3, 3, 1]);
    expect(await revisions({ actor: 'ann', limit: 1 })).toEqual([3, 3]);
    expect(await revisions({ actor: 'Ann' })).toEqual([]);
    expect(await revisions({ actor: 'ann ' })).toEqual([]);
    expect(await revisions({ actor: 'an%' })).toEqual([]);
    expect(await revisions({ since: second })).toEqual([3, 3, 2]);
    expect(await revisions({ until: third })).toEqual([2, 1]);
    expect(await revisions({ since: second, until: third })).toEqual([2]);
    const [row] = await get().history({ limit: 1, before: 3 });
    expect(await revisions({ since: row!.at, until: row!.at + 1 })).toEqual([2]);
    expect(await revisions({ until: row!.at })).toEqual([1]);
    expect(await revisions({ actor: 'ann', since: second, port: 1 })).toEqual([3]);
    expect(await revisions({ actor: 'ann', before: 3, id: 'mqtt-1' })).toEqual([1]);
  });

  test('finds the time of changes by nodes whose clocks differ', async () => {
    const hour = 3_600_000;
    const start = Date.now();
    try {
      for (const [port, hours] of [2, 0, 1, 3].entries()) {
        vi.useFakeTimers({ toFake: ['Date'], now: start + hours * hour });
        await get().commit([put(port + 1)], {}, META);
      }
    } finally {
      vi.useRealTimers();
    }
    const between = async (since: number | undefined, until: number | undefined, more = {}) => {
      const query = {
        ...(since !== undefined && { since: start + since * hour }),
        ...(until !== undefined && { until: start + until * hour }),
      };
      return (await get().history({ limit: 10, ...query, ...more })).map((row) => row.revision);
    };
    expect(await between(0, undefined)).toEqual([4, 3, 2, 1]);
    expect(await between(0.5, 1.5)).toEqual([3]);
    expect(await between(1.5, undefined)).toEqual([4, 1]);
    expect(await between(undefined, 1.5)).toEqual([3, 2]);
    expect(await between(1.5, 2.5)).toEqual([1]);
    expect(await between(undefined, 2.5, { before: 3 })).toEqual([2, 1]);
    expect(await between(undefined, 2.5, { limit: 1 })).toEqual([3]);
    expect(await between(3.5, undefined)).toEqual([]);
    expect(await between(undefined, 0)).toEqual([]);
    expect(await between(0.5, 1.5, { port: 3 })).toEqual([3]);
    expect(await between(0.5, 1.5, { port: 2 })).toEqual([]);
  });

  test('keeps any text as actor, reason and request id', async () => {
    const meta = { ...META, actor: `o'Neil "\\ü🙂`, reason: 'line\n\ttab; -- DROP', requestId: '${x} ? $1 %s' };
    await get().commit([put(1)], {}, meta);
    expect(await get().history({ limit: 1, actor: meta.actor })).toMatchObject([meta]);
    // A text that a database cannot hold must not prevent a change.
    expect(await get().commit([put(2)], {}, { ...META, reason: 'nul \0 end' })).toBe(2);
    expect((await get().history({ limit: 1 }))[0]?.reason).toMatch(/^nul . end$/u);
  });
}

function describeAt(get: () => EndpointStore, kindOf: KindOf): void {
  test('knows the content at each revision', async () => {
    await get().commit([put(1, { id: 'a' }), put(2, { id: 'b' })], {}, META);
    await get().commit([put(2, { id: 'a' }), put(1, { id: 'b', wiretap: true })], {}, META);
    await get().commit([remove('a')], {}, META);
    await get().commit([put(5, { id: 'a' })], {}, META);
    expect(await contentAt(get(), 0)).toEqual([]);
    expect(await contentAt(get(), 1)).toEqual(['a 1 1', 'b 2 1']);
    expect(await contentAt(get(), 2)).toEqual(['a 2 2', 'b 1 2']);
    expect(await contentAt(get(), 3)).toEqual(['b 1 2']);
    expect(await contentAt(get(), 4)).toEqual(['a 5 4', 'b 1 2']);
    expect((await get().at(3)).endpoints[0]?.endpoint).toEqual(put(1, { id: 'b', wiretap: true }).endpoint);
    for (const revision of [5, -1, 1.5, Number.NaN]) expect(await kindOf(get().at(revision))).toBe('not-found');
  });
}

function describePending(get: () => EndpointStore, kindOf: KindOf): void {
  const pending = async () => (await get().load()).pending;

  test('lists a change as pending until it is confirmed', async () => {
    const until = Date.now() + 30_000;
    await get().commit([put(1)], {}, META, { confirmUntil: until });
    await get().commit([put(2)], {}, META);
    await get().commit([put(3)], {}, META, { confirmUntil: until + 1 });
    expect(await pending()).toEqual([
      { revision: 1, until },
      { revision: 3, until: until + 1 },
    ]);
    await get().confirm(1);
    expect(await pending()).toEqual([{ revision: 3, until: until + 1 }]);
    for (const revision of [1, 2, 4]) expect(await kindOf(get().confirm(revision))).toBe('not-found');
    expect((await get().load()).revision).toBe(3);
  });

  test('undoes a pending change once, and not after its confirmation', async () => {
    await get().commit([put(1)], {}, META, { confirmUntil: 1 });
    await get().commit([put(2)], {}, META, { confirmUntil: 2 });
    await get().confirm(2);
    expect(await kindOf(get().commit([remove('mqtt-2')], {}, META, { settles: 2 }))).toBe('not-found');
    expect(await get().commit([remove('mqtt-1')], {}, META, { settles: 1 })).toBe(3);
    expect(await pending()).toEqual([]);
    expect(await kindOf(get().commit([remove('mqtt-2')], {}, META, { settles: 1 }))).toBe('not-found');
    expect(await contentAt(get(), 3)).toEqual(['mqtt-2 2 2']);
    expect((await get().load()).revision).toBe(3);
  });

  test('leaves no trace of a commit that fails', async () => {
    await get().commit([put(1)], {}, META, { confirmUntil: 1 });
    expect(await kindOf(get().commit([put(1, { id: 'b' })], {}, META, { confirmUntil: 2, settles: 1 }))).toBe('exists');
    expect(await pending()).toEqual([{ revision: 1, until: 1 }]);
    const both = [get().confirm(1), get().commit([remove('mqtt-1')], {}, META, { settles: 1 })];
    expect((await Promise.all(both.map(kindOf))).sort()).toEqual(['not-found', 'resolved']);
  });
}

function describeAdopt(get: () => EndpointStore, kindOf: KindOf): void {
  /** Three revisions: a on 1 and b on 2; swapped; a removed. */
  const history = (): HistoryRow[] => {
    const [a, b, a2, b2] = [put(1, { id: 'a' }), put(2, { id: 'b' }), put(2, { id: 'a' }), put(1, { id: 'b' })].map((one) => one.endpoint);
    const row = (revision: number, id: string, before = a, after = a): HistoryRow => {
      return { ...META, at: revision * 1000, revision, id, port: after!.port, before: before ?? null, after: after ?? null };
    };
    return [
      { ...row(1, 'a', a, a), before: null },
      { ...row(1, 'b', b, b), before: null },
      row(2, 'a', a, a2),
      row(2, 'b', b, b2),
      { ...row(3, 'a', a2, a2), after: null },
    ];
  };

  test('adopts a whole history, and continues from it', async () => {
    const rows = history();
    expect(await get().adopt(pastOf(rows))).toBe(3);
    expect(await get().history({ limit: 10 })).toEqual(rows.toReversed());
    expect(await contentAt(get(), 2)).toEqual(['a 2 2', 'b 1 2']);
    const { revision, endpoints, pending } = await get().load();
    expect([revision, endpoints, pending]).toEqual([3, [{ revision: 2, endpoint: put(1, { id: 'b' }).endpoint }], []]);
    expect(
      await get()
        .commit([put(2)], { b: 2 }, META)
        .catch((error) => error),
    ).toEqual(expect.any(Number));
    expect(await get().commit([put(4)], {}, META)).toBe(5);
  });

  test('adopts only into an empty store', async () => {
    await get().commit([put(9)], {}, META);
    expect(await kindOf(get().adopt(pastOf(history())))).toBe('exists');
    expect(await contentAt(get(), 1)).toEqual(['mqtt-9 9 1']);
    expect(await get().history({ limit: 10 })).toHaveLength(1);
  });

  test('refuses an inconsistent history', async () => {
    const [a1, b1, a2, b2, end] = history() as [HistoryRow, HistoryRow, HistoryRow, HistoryRow, HistoryRow];
    const broken: HistoryRow[][] = [
      [a2, b2],
      [a1, b1, end],
      [a1, b1, { ...a2, before: null }],
      [a1, { ...b1, revision: 2 }, { ...a2, revision: 2 }],
      [a1, { ...a1, before: a1.after }],
      [a1, { ...b1, before: null, after: null }],
      [a1, { ...b1, port: 7 }],
      [a1, { ...b1, id: 'c' }],
      [a1, b1, { ...b2, revision: 1.5 }],
    ];
    for (const rows of broken)
      expect([rows.map((row) => row.id), await kindOf(get().adopt(pastOf(rows)))]).toEqual([expect.anything(), 'invalid']);
    expect(await get().load()).toEqual({ revision: 0, endpoints: [], pending: [] });
    expect(await get().adopt(pastOf([]))).toBe(0);
    expect(await get().adopt(pastOf(history()))).toBe(3);
  });
}

const NO_LIMIT = { keep: 1_000_000, since: 0, waiting: Number.MAX_SAFE_INTEGER };

/** All rows, oldest first, read in pages. */
async function allRows(store: EndpointStore, limit: number): Promise<HistoryRow[]> {
  const rows: HistoryRow[] = [];
  for (let place: { revision: number; seq: number } | null = { revision: 0, seq: -1 }; place !== null; ) {
    const page: RowPage = await store.rows(place, limit);
    expect(page.rows.length).toBeLessThanOrEqual(limit);
    rows.push(...page.rows);
    place = page.next;
  }
  return rows;
}

/** Revision 1 adds a, b, c; 2..6 change a and, in even revisions, b; 7 adds d, and 8 removes d. */
async function fill(store: EndpointStore): Promise<void> {
  await store.commit([put(1, { id: 'a' }), put(2, { id: 'b' }), put(3, { id: 'c' })], {}, META);
  for (let n = 2; n <= 6; n++) {
    const change = { maxConnectionSize: n };
    await store.commit([put(1, { id: 'a', ...change }), ...(n % 2 === 0 ? [put(2, { id: 'b', ...change })] : [])], {}, META);
  }
  await store.commit([put(4, { id: 'd' })], {}, META);
  await store.commit([remove('d')], {}, META);
}

const told = (rows: readonly HistoryRow[]) => rows.map(({ revision, id }) => `${revision}${id}`).join(' ');

function describePages(get: () => EndpointStore): void {
  test('returns at most the requested number of revisions per page, each whole, and misses none across pages', async () => {
    await fill(get());
    const page = async (query: object) => told(await get().history({ limit: 1000, ...query })).replaceAll(/[abcd]/g, '');
    expect(new Set((await page({ limit: 3 })).split(' '))).toEqual(new Set(['8', '7', '6']));
    expect(await page({ limit: 1, before: 7 })).toBe('6 6');
    expect(await page({ limit: 1, before: 2 })).toBe('1 1 1');
    for (const query of [{}, { actor: 'ann' }, { id: 'a' }, { port: 2 }, { since: 1 }]) {
      const seen: HistoryRow[] = [];
      for (let before: number | undefined; ; ) {
        const rows = await get().history({ limit: 2, ...query, ...(before === undefined ? {} : { before }) });
        if (rows.length === 0) break;
        expect(new Set(rows.map(({ revision }) => revision)).size).toBeLessThanOrEqual(2);
        seen.push(...rows);
        before = rows.at(-1)!.revision;
      }
      expect(seen).toEqual(await get().history({ limit: 1000, ...query }));
    }
  });

  test('gives all rows from the oldest on, in pages that may cut a revision', async () => {
    expect(await get().rows({ revision: 0, seq: -1 }, 10)).toEqual({ rows: [], next: null, floor: 0 });
    await fill(get());
    const wanted = (await get().history({ limit: 1000 })).toReversed();
    for (const limit of [1, 2, 5, 100]) expect(await allRows(get(), limit)).toEqual(wanted);
  });
}

function describeCompaction(get: () => EndpointStore, kindOf: KindOf): void {
  const compact = async (limits: object) => {
    while (await get().compact({ ...NO_LIMIT, ...limits }));
  };

  test('drops rows that are beyond both limits, never the newest one of an endpoint, and no part of a revision', async () => {
    await fill(get());
    await compact({});
    await compact({ keep: 5 });
    expect(told(await allRows(get(), 100))).toBe('1a 1b 1c 2a 2b 3a 4a 4b 5a 6a 6b 7d 8d');
    const content = await contentAt(get(), 8);
    await compact({ keep: 5, since: Date.now() + 1000 });
    // The fifth row from the end belongs to revision 5. Up to revision 5 only the newest row of each endpoint is left.
    expect(told(await allRows(get(), 2))).toBe('1c 4b 5a 6a 6b 7d 8d');
    expect(told(await get().history({ limit: 100 }))).toBe('8d 7d 6b 6a 5a 4b 1c');
    expect(told(await get().history({ limit: 1, before: 6 }))).toBe('5a');
    expect(told(await get().history({ limit: 100, id: 'b' }))).toBe('6b 4b');
    expect(await contentAt(get(), 8)).toEqual(content);
    expect(await contentAt(get(), 5)).toEqual(['a 1 5', 'b 2 4', 'c 3 1']);
    expect(await contentAt(get(), 7)).toEqual(['a 1 6', 'b 2 6', 'c 3 1', 'd 4 7']);
    for (const revision of [0, 1, 4]) expect(await kindOf(get().at(revision))).toBe('not-found');
    expect((await get().load()).revision).toBe(8);
    expect((await get().rows({ revision: 0, seq: -1 }, 1)).floor).toBe(5);
  });

  test('continues after a compaction, and drops more', async () => {
    await fill(get());
    await compact({ keep: 3, since: Date.now() + 1000 });
    expect(await get().commit([put(5, { id: 'e' }), put(1, { id: 'a', maxConnectionSize: 9 })], { a: 6 }, META)).toBe(9);
    expect(await get().commit([put(6, { id: 'f' })], {}, META)).toBe(10);
    await compact({ keep: 3, since: Date.now() + 1000 });
    // d was removed and leaves no row. The rows up to the floor that a newer one replaced are gone too.
    expect(told(await allRows(get(), 100))).toBe('1c 6b 9e 9a 10f');
    expect(await contentAt(get(), 9)).toEqual(['a 1 9', 'b 2 6', 'c 3 1', 'e 5 9']);
    await compact({ keep: 0, since: Date.now() + 1000 });
    expect([...new Set((await allRows(get(), 100)).map(({ id }) => id))].sort()).toEqual(['a', 'b', 'c', 'e', 'f']);
    expect(await contentAt(get(), 10)).toEqual(['a 1 9', 'b 2 6', 'c 3 1', 'e 5 9', 'f 6 10']);
  });

  test('keeps a revision that waits for a confirmation, and all later ones', async () => {
    await fill(get());
    await compact({ keep: 1, since: Date.now() + 1000, waiting: 3 });
    expect(told(await allRows(get(), 100))).toBe('1c 2a 2b 3a 4a 4b 5a 6a 6b 7d 8d');
  });

  test('adopts a compacted history unchanged, and refuses an inconsistent one', async () => {
    const [a, b, c] = [put(1, { id: 'a' }), put(2, { id: 'b' }), put(3, { id: 'c' })].map(({ endpoint }) => endpoint);
    const row = (revision: number, after: typeof a, before: typeof a | null = null): HistoryRow => {
      return { ...META, at: revision, revision, id: after!.id, port: after!.port, before: before ?? null, after: after! };
    };
    const rows = [row(3, c), row(7, a), row(7, b), row(11, { ...a!, wiretap: true }, a)];
    for (const broken of [[rows[0]!, rows[1]!, rows[1]!], [rows[1]!, rows[0]!], [row(3, { ...c!, port: 1 }), rows[1]!], [row(12, a)]])
      expect(await kindOf(get().adopt(pastOf(broken, 10)))).toBe('invalid');
    expect(await kindOf(get().adopt({ ...pastOf(rows, 10), revision: 12 }))).toBe('invalid');
    expect((await get().load()).revision).toBe(0);
    expect(await get().adopt(pastOf(rows, 10))).toBe(11);
    expect(await allRows(get(), 3)).toEqual(rows);
    expect(await contentAt(get(), 10)).toEqual(['a 1 7', 'b 2 7', 'c 3 3']);
    expect(await contentAt(get(), 11)).toEqual(['a 1 11', 'b 2 7', 'c 3 3']);
    expect(await kindOf(get().at(9))).toBe('not-found');
    expect(await get().commit([put(9)], {}, META)).toBe(12);
    expect(told(await get().history({ limit: 2 }))).toBe('12mqtt-9 11a');
  });

  test('reports its size', async () => {
    await fill(get());
    const { bytes, historyRows } = await get().size();
    expect(bytes === null || bytes > 0).toBe(true);
    expect(historyRows === null || historyRows === 13).toBe(true);
  });
}
