/** Measures pages of a history of 100,000 rows: the time from GET to answer, with each filter. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BusSettings } from '../../src/bus/settings.ts';
import { parseEndpoint } from '../../src/endpoint/schema.ts';
import { readDatabaseUrl } from '../../src/kernel/input/database-url.ts';
import type { HistoryRow } from '../../src/storage/endpoint-store.ts';
import { openStore, type StoreSettings } from '../../src/storage/open-store.ts';
import { startBroker } from '../../test/kit/broker.ts';

const ROWS = 100_000;
const ENDPOINTS = 100;
const ACTORS = 20;
const STEP_MS = 1_000;
const PAGES = 20;
const START = Date.parse('2026-01-01T00:00:00Z');

/** One row per revision: each endpoint is added and then changed in turn; the very first change has an actor of its own. */
function* rows(): Generator<HistoryRow> {
  const current = new Map<string, HistoryRow['after']>();
  for (let revision = 1; revision <= ROWS; revision++) {
    const n = revision % ENDPOINTS;
    const id = `e${n}`;
    const before = current.get(id) ?? null;
    const { endpoint: after } = parseEndpoint({ id, port: 33_000 + n, enabled: false, maxConnectionSize: revision });
    current.set(id, after);
    yield {
      revision,
      at: START + revision * STEP_MS,
      action: before === null ? 'add' : 'update',
      actor: revision === 1 ? 'rare' : `actor-${revision % ACTORS}`,
      source: 'http',
      node: 'bench',
      requestId: `r-${revision}`,
      reason: null,
      id,
      port: after.port,
      before,
      after,
    };
  }
}

const day = (n: number) => new Date(START + n * 86_400_000).toISOString();

/** Name of the request → its query. */
const QUERIES: Record<string, string> = {
  'newest page': '',
  'deep page': `before=${ROWS / 2}`,
  'oldest page': 'before=51',
  'page of 1,000': 'limit=1000',
  'one endpoint by id': 'id=e7',
  'one endpoint by port': 'port=33007',
  'id that is not there': 'id=nobody',
  'port that is not there': 'port=1',
  'one actor': 'actor=actor-3',
  'actor of one old row': 'actor=rare',
  'actor that is not there': 'actor=nobody',
  'an old hour': `since=${day(0)}&until=${new Date(START + 3_600_000).toISOString()}`,
  'a time before all': `until=${day(-1)}`,
  'all at once': `id=e7&port=33007&actor=actor-7&since=${day(0)}&until=${day(1)}&before=${ROWS / 2}`,
};

/** @param section of a configuration; null: LOCAL @param say prints a line of the report */
export async function measureHistory(section: Record<string, unknown> | null, say: (line: string) => void): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'fluxmq-bench-history-'));
  const store = { ...(section ?? { storeType: 'LOCAL' }), local: { dataPath: folder } };
  const bus: BusSettings | null = null;
  const opened = await openStore(toSettings(store), { bus, name: 'bench', node: 'bench', onFailure: (reason) => say(reason) });
  const all = [...rows()];
  await opened.adopt({
    revision: all.at(-1)?.revision ?? 0,
    floor: 0,
    pieces: async function* () {
      for (let from = 0; from < all.length; from += 100) yield all.slice(from, from + 100);
    },
  });
  await opened.close();
  const broker = await startBroker({ config: { store }, endpoints: [] });
  try {
    for (const [what, query] of Object.entries(QUERIES)) {
      const times: number[] = [];
      let count = 0;
      for (let page = 0; page < PAGES; page++) {
        const startedAt = performance.now();
        const { status, body } = await broker.api('GET', `/api/endpoints/history?${query}`);
        times.push(performance.now() - startedAt);
        if (status !== 200) throw new Error(JSON.stringify(body));
        count = (body as { data: unknown[] }).data.length;
      }
      times.sort((a, b) => a - b);
      const at = (share: number) => times[Math.floor((times.length - 1) * share)]!.toFixed(1);
      say(`  history, ${what} (${count} rows): fastest ${at(0)} ms, p50 ${at(0.5)} ms, longest ${at(1)} ms`);
    }
  } finally {
    await broker.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The section in the form of the settings. */
function toSettings(store: Record<string, unknown>): StoreSettings {
  const { datasource, ...rest } = store as { datasource?: { url: string; username: string; password: string } };
  if (datasource === undefined) return rest as unknown as StoreSettings;
  const { address } = readDatabaseUrl(datasource.url);
  if (address === null) throw new Error(`not a database URL: ${datasource.url}`);
  const { username, password } = datasource;
  return { ...rest, datasource: { ...address, username, password, maxPoolSize: 5 } } as unknown as StoreSettings;
}
