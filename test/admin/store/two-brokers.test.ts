/** Fifty writers on two brokers over one Postgres: no revision is missing or given twice, and the history is what was answered. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Broker, startBroker } from '../../kit/broker.ts';
import { startPostgres } from '../../kit/databases/postgres.ts';
import type { DatabaseServer } from '../../kit/databases/server.ts';
import { storeSection } from '../../kit/databases/store-section.ts';
import { sleep, until } from '../../kit/until.ts';

const WRITERS = 50;
const ENDPOINTS = 10;
const ROUNDS = 2;

interface Endpoint {
  id: string;
  port: number;
  maxConnectionSize: number;
  maxSessionSize: number;
}
interface Answered {
  revision: number;
  endpoint: Endpoint;
}
/** The answer that a writer got in the end. */
interface Told extends Answered {
  reason: string;
  /** an attempt before was neither made nor refused for certain: it may be the one that the answer is about */
  isRepeated: boolean;
}
interface Row {
  reason: string | null;
  revision: number;
  action: string;
  id: string;
  node: string;
  after: Endpoint;
}

let server: DatabaseServer;
let brokers: Broker[];

beforeAll(async () => {
  server = await startPostgres();
  const store = await storeSection(server, 'POSTGRESQL');
  const config = (name: string) => ({ store, node: { name }, cluster: { sync: { interval: 500 } } });
  brokers = [await startBroker({ config: config('a'), endpoints: [] }), await startBroker({ config: config('b'), endpoints: [] })];
});
afterAll(async () => {
  for (const broker of brokers) await broker.stop();
  await server.stop();
});

const idOf = (n: number) => `e${n % ENDPOINTS}`;

async function current(broker: Broker, id: string): Promise<Answered> {
  const { body } = await broker.api('GET', `/api/endpoints/get?id=${id}`);
  return (body as { data: Answered }).data;
}

/** Changes that were neither made nor refused for certain: on a busy machine the store may be given up too soon. */
const unknown = new Set<string>();

/** Changes until it was allowed to: one key of its own among those of the others, and half the time only what it has read. */
async function write(broker: Broker, n: number, round: number, refusals: Set<number>): Promise<Told> {
  const id = idOf(n + round);
  let isRepeated = false;
  for (let attempt = 0; ; attempt++) {
    const headers: Record<string, string> = {};
    if (n % 2 === 0) headers['if-match'] = `"${(await current(broker, id)).revision}"`;
    const key = n % 4 < 2 ? 'maxConnectionSize' : 'maxSessionSize';
    const reason = `${n} ${round} ${attempt}`;
    const change = { id, [key]: 2000 + n * ROUNDS + round, reason };
    const { status, body } = await broker.api('POST', '/api/endpoints/update', change, headers);
    if (status === 200) return { ...(body as { data: Answered }).data, reason, isRepeated };
    refusals.add(status);
    if (status === 503 && (body as { data?: { outcome?: string } }).data?.outcome === 'unknown') {
      unknown.add(reason);
      isRepeated = true;
    }
    if (status === 412) expect((body as { data: Answered }).data.endpoint.id).toBe(id);
    await sleep(Math.random() * 100);
  }
}

test('keeps one order of changes for both', async () => {
  const [first, second] = brokers as [Broker, Broker];
  // They do not listen: on one machine only one of the two could.
  // maxSessionSize is set: unset, it would follow maxConnectionSize.
  const fixed = { enabled: false, maxSessionSize: 100 };
  for (let n = 0; n < ENDPOINTS; n++) await first.api('POST', '/api/endpoints/add', { id: idOf(n), port: 40_000 + n, ...fixed });
  await until('both know them', async () => (await current(second, idOf(ENDPOINTS - 1))).revision === ENDPOINTS);
  const refusals = new Set<number>();
  const answers: Told[] = [];
  const writer = async (n: number) => {
    const broker = n % 3 === 0 ? second : first;
    for (let round = 0; round < ROUNDS; round++) answers.push(await write(broker, n, round, refusals));
  };
  await Promise.all(Array.from({ length: WRITERS }, (_, n) => writer(n)));
  for (const status of refusals) expect([409, 412, 503]).toContain(status);
  const { body } = await first.api('GET', '/api/endpoints/history?limit=1000');
  const rows = (body as { data: Row[] }).data.reverse();
  expect(rows.map(({ revision }) => revision)).toEqual(rows.map((_, index) => index + 1));
  const updates = rows.filter(({ action, reason }) => action === 'update' && !unknown.has(reason ?? ''));
  // Each answer is the row of its revision: the writer's own one, unless what it had attempted before was made after all.
  for (const { revision, endpoint, reason, isRepeated } of answers) {
    const row = rows[revision - 1]!;
    expect(row.after).toEqual(endpoint);
    if (!isRepeated) expect(row.reason).toBe(reason);
  }
  // And no change was made without an answer that says so.
  const told = new Set(answers.map(({ revision }) => revision));
  expect(updates.filter(({ revision }) => !told.has(revision))).toEqual([]);
  expect(answers).toHaveLength(WRITERS * ROUNDS);
  expect(new Set(updates.map(({ node }) => node))).toEqual(new Set(['a', 'b']));
  // A key that one writer did not name is what the one before had made of it.
  for (const id of Array.from({ length: ENDPOINTS }, (_, n) => idOf(n))) {
    const own = rows.filter((row) => row.id === id);
    for (const [index, { after }] of own.entries()) {
      const before = own[index - 1]?.after ?? after;
      const changed = [before.maxConnectionSize !== after.maxConnectionSize, before.maxSessionSize !== after.maxSessionSize];
      expect(changed.filter(Boolean).length).toBeLessThanOrEqual(1);
    }
  }
  const newest = rows.length;
  for (const broker of brokers) {
    await until('it knows all', async () => (await broker.api('GET', '/api/endpoints/list')).headers.get('etag') === `"${newest}"`);
    for (const { id, after } of lastOfEach(rows)) expect((await current(broker, id)).endpoint).toEqual(after);
  }
}, 60_000);

/** The last row of each endpoint. */
function lastOfEach(rows: Row[]): Row[] {
  return [...new Map(rows.map((row) => [row.id, row])).values()];
}
