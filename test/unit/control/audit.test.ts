/** The audit: what it keeps of a request, floods of refusals, a store that is away, order and pages. */

import { afterEach, expect, test } from 'vitest';
import { Audit } from '../../../src/control/audit/audit.ts';
import { aboutOf } from '../../../src/control/audit/entry.ts';
import type { NewAuditRecord } from '../../../src/control/contract/access/audit-requests.ts';
import { DocumentFollower } from '../../../src/control/documents/follower.ts';
import { wordOfDocument } from '../../../src/control/documents/words.ts';
import { FluxError } from '../../../src/kernel/errors.ts';
import { silentLogger } from '../../../src/kernel/logger.ts';
import type { DocumentStore } from '../../../src/storage/documents/document-store.ts';
import { openDocumentCopy } from '../../../src/storage/local/document-copy.ts';
import { openMemoryDocuments } from '../../../src/storage/local/documents.ts';
import { until } from '../../kit/until.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** An audit over a store in memory, which is away while `isAway` is true. */
function open(keepDays = 90) {
  const inner = openMemoryDocuments();
  const state = { isAway: false, commits: 0 };
  const store: DocumentStore = {
    state: () => inner.state(),
    since: (...args) => inner.since(...args),
    former: (...args) => inner.former(...args),
    commits: (...args) => inner.commits(...args),
    steps: (...args) => inner.steps(...args),
    compactDocuments: (limits) => inner.compactDocuments(limits),
    commit: async (...args) => {
      if (state.isAway) throw new FluxError('unavailable', 'away');
      state.commits++;
      return inner.commit(...args);
    },
  };
  const copy = openDocumentCopy(null, wordOfDocument);
  const follower = new DocumentFollower({ store, copy, logger: silentLogger, intervalMs: null, reported: new Set() });
  const audit = new Audit({ store, copy, follower, keepDays, node: 'n1', logger: silentLogger });
  closers.push(
    () => inner.closeDocuments(),
    () => copy.close(),
    () => follower.close(),
    () => audit.close(),
  );
  return { audit, state };
}

function request(more: Partial<NewAuditRecord> = {}): NewAuditRecord {
  const done = { status: 200, error: null, revision: 7, requestId: 'r', given: {} };
  return { actor: 'ann', role: 'admin', address: '10.0.0.1', source: 'http', action: 'POST /api/users', ...done, ...more };
}

const count = async (audit: Audit): Promise<number> => (await audit.list({ limit: 1000 })).entries.length;

test('names what a request is about, and no secret', () => {
  const given = {
    username: 'u',
    password: 'pw',
    hash: '$h',
    authConfig: { users: [] },
    port: 1883,
    reason: 'x'.repeat(500),
    users: [1, 2],
    ids: ['a', 'b'],
  };
  expect(aboutOf(given)).toEqual({ username: 'u', port: 1883, reason: `${'x'.repeat(200)}…`, users: 2, ids: 'a, b' });
});

test('newest first, in pages, by filters', async () => {
  const { audit } = open();
  for (let index = 0; index < 30; index++) audit.note(request({ requestId: String(index), actor: index % 3 === 0 ? 'bob' : 'ann' }));
  await until('written', async () => (await count(audit)) === 30);
  const first = await audit.list({ limit: 20 });
  const second = await audit.list({ limit: 20, after: first.next! });
  expect([...first.entries, ...second.entries].map(({ requestId }) => Number(requestId))).toEqual(
    Array.from({ length: 30 }, (_, at) => 29 - at),
  );
  expect(second.next).toBeNull();
  expect((await audit.list({ limit: 50, actor: 'bob' })).entries).toHaveLength(10);
  expect((await audit.list({ limit: 50, action: '/api/bans' })).entries).toHaveLength(0);
  expect((await audit.list({ limit: 50, refused: true })).entries).toHaveLength(0);
  const at = first.entries[0]!.at;
  expect((await audit.list({ limit: 50, since: Date.parse(at) + 1 })).entries).toHaveLength(0);
  expect((await audit.list({ limit: 50, until: Date.parse(at) - 60_000 })).entries).toHaveLength(0);
});

test('a flood of refusals makes few entries, and evicts nothing else', async () => {
  const { audit, state } = open();
  audit.note(request());
  for (let index = 0; index < 5_000; index++)
    audit.note(request({ actor: null, status: 401, error: 'unauthorized', revision: null, address: `10.0.${index % 100}.1` }));
  await until('written', async () => (await count(audit)) === 21);
  expect(state.commits).toBeLessThanOrEqual(2);
  await audit.close();
  const { entries } = await audit.list({ limit: 1000 });
  expect(entries.reduce((sum, entry) => sum + entry.count, 0)).toBe(5_001);
  expect(entries.length).toBe(42);
});

test('a store that is away delays nothing: entries wait, and those beyond the room are counted', async () => {
  const { audit, state } = open();
  state.isAway = true;
  const started = performance.now();
  for (let index = 0; index < 10_050; index++) audit.note(request());
  expect(performance.now() - started).toBeLessThan(1_000);
  expect(await audit.list({ limit: 10 })).toMatchObject({ entries: [], lost: 50 });
  state.isAway = false;
  await until('the store has what waited', async () => (await count(audit)) === 1000, 15_000, 200);
}, 20_000);

test('keepDays 0 keeps nothing', async () => {
  const { audit, state } = open(0);
  audit.note(request());
  await audit.close();
  expect([await count(audit), state.commits]).toEqual([0, 0]);
});
