/** The LOCAL store: one SQLite file in the data folder, durable at each commit. */

import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { completeEndpoint } from '../../endpoint/defaults.ts';
import type { Endpoint } from '../../endpoint/endpoint.ts';
import { FluxError } from '../../kernel/errors.ts';
import { applyChanges, checkHistoryLimit } from '../apply-changes.ts';
import type { ChangeMeta, EndpointStore, HistoryQuery, HistoryRow, StoreChange, StoredEndpoint, StoreSnapshot } from '../contract.ts';
import { type FolderLock, lockFolder } from './folder-lock.ts';
import { migrate } from './migrations.ts';

const FILE = 'config.db';

/**
 * Opens `config.db` in the folder, which is made when it is missing. The folder belongs to this process until `close` or its end.
 * @throws FluxError `unavailable`: used by another broker, not writable, damaged, or written by a newer version
 */
export async function openLocalStore(options: { dataPath: string }): Promise<EndpointStore> {
  const { dataPath } = options;
  let lock: FolderLock | null = null;
  let database: Database.Database | null = null;
  try {
    mkdirSync(dataPath, { recursive: true, mode: 0o700 });
    lock = lockFolder(dataPath);
    const path = join(dataPath, FILE);
    // The file holds password hashes; SQLite gives its companions (WAL) the same mode.
    closeSync(openSync(path, 'a', 0o600));
    database = new Database(path);
    database.pragma('journal_mode = WAL');
    database.pragma('synchronous = FULL');
    migrate(database);
    return new LocalStore(database, lock);
  } catch (error) {
    database?.close();
    lock?.release();
    throw toUnavailable(error, `Cannot open the store in ${dataPath}`);
  }
}

interface HistoryRecord {
  revision: number;
  at: number;
  action: HistoryRow['action'];
  actor: string;
  source: HistoryRow['source'];
  node: string;
  request_id: string;
  reason: string | null;
  id: string;
  port: number;
  before: string | null;
  after: string | null;
}

class LocalStore implements EndpointStore {
  readonly #database: Database.Database;
  readonly #lock: FolderLock;
  readonly #commit: (changes: StoreChange[], expected: Record<string, number>, meta: ChangeMeta) => number;
  #isClosed = false;

  constructor(database: Database.Database, lock: FolderLock) {
    this.#database = database;
    this.#lock = lock;
    // IMMEDIATE: what is read and what is written are one step, also for a tool that has the file open.
    this.#commit = database.transaction((changes, expected, meta) => this.#write(changes, expected, meta)).immediate;
  }

  async load(): Promise<StoreSnapshot> {
    return this.#guard('read', () =>
      this.#database.transaction(() => ({ revision: this.#revision(), endpoints: [...this.#content().values()] }))(),
    );
  }

  async commit(changes: StoreChange[], expected: Record<string, number>, meta: ChangeMeta): Promise<number> {
    return this.#guard('written', () => this.#commit(changes, expected, meta));
  }

  async history(query: HistoryQuery): Promise<HistoryRow[]> {
    checkHistoryLimit(query.limit);
    return this.#guard('read', () => {
      const where = `revision < @before AND (@id IS NULL OR id = @id) AND (@port IS NULL OR port = @port OR old_port = @port)`;
      const values = { before: query.before ?? Number.MAX_SAFE_INTEGER, id: query.id ?? null, port: query.port ?? null };
      // A revision is never cut in two: `before` could not name its rest.
      const sql = `SELECT * FROM history WHERE ${where} AND revision >= coalesce(
          (SELECT revision FROM history WHERE ${where} ORDER BY revision DESC, seq DESC LIMIT 1 OFFSET @skip), 0)
        ORDER BY revision DESC, seq DESC`;
      const records = this.#database.prepare<[object], HistoryRecord>(sql).all({ ...values, skip: query.limit - 1 });
      return records.map(toHistoryRow);
    });
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#database.close();
    this.#lock.release();
  }

  #write(changes: StoreChange[], expected: Record<string, number>, meta: ChangeMeta): number {
    const revision = this.#revision() + 1;
    const { next, history } = applyChanges(this.#content(), changes, expected, meta, { revision, at: Date.now() });
    const remove = this.#database.prepare('DELETE FROM endpoint WHERE id = ?');
    // All old rows go before the new ones come: two endpoints may swap their ports.
    for (const row of history) remove.run(row.id);
    const insert = this.#database.prepare('INSERT INTO endpoint (id, port, revision, body) VALUES (?, ?, ?, ?)');
    for (const { id } of history) {
      const stored = next.get(id);
      if (stored !== undefined) insert.run(id, stored.endpoint.port, revision, JSON.stringify(stored.endpoint));
    }
    this.#insertHistory(history);
    this.#database.prepare('UPDATE state SET revision = ?').run(revision);
    return revision;
  }

  #insertHistory(rows: HistoryRow[]): void {
    const insert = this.#database.prepare(`INSERT INTO history
      (revision, seq, at, action, actor, source, node, request_id, reason, id, port, old_port, before, after)
      VALUES (@revision, @seq, @at, @action, @actor, @source, @node, @requestId, @reason, @id, @port, @oldPort, @before, @after)`);
    for (const [seq, row] of rows.entries()) {
      insert.run({ ...row, seq, oldPort: row.before?.port ?? null, before: toText(row.before), after: toText(row.after) });
    }
  }

  #revision(): number {
    return this.#database.prepare<[], { revision: number }>('SELECT revision FROM state').get()?.revision ?? 0;
  }

  #content(): Map<string, StoredEndpoint> {
    const sql = 'SELECT id, revision, body FROM endpoint ORDER BY port';
    const rows = this.#database.prepare<[], { id: string; revision: number; body: string }>(sql).all();
    return new Map(rows.map(({ id, revision, body }) => [id, { endpoint: fromText(body), revision }]));
  }

  #guard<T>(verb: 'read' | 'written', work: () => T): T {
    if (this.#isClosed) throw new FluxError('unavailable', 'The store is closed');
    try {
      return work();
    } catch (error) {
      throw toUnavailable(error, `The store ${this.#database.name} cannot be ${verb}`);
    }
  }
}

function toText(endpoint: Endpoint | null): string | null {
  return endpoint === null ? null : JSON.stringify(endpoint);
}

function fromText(body: string): Endpoint {
  return completeEndpoint(JSON.parse(body));
}

function toHistoryRow({ request_id, before, after, ...record }: HistoryRecord): HistoryRow {
  const { revision, at, action, actor, source, node, reason, id, port } = record;
  const [oldForm, newForm] = [before, after].map((body) => (body === null ? null : fromText(body)));
  const meta = { action, actor, source, node, requestId: request_id, reason };
  return { ...meta, revision, at, id, port, before: oldForm ?? null, after: newForm ?? null };
}

/** A FluxError passes; anything else (SQLite, file system) means that the store cannot be used. */
function toUnavailable(error: unknown, what: string): FluxError {
  if (error instanceof FluxError) return error;
  return new FluxError('unavailable', `${what}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
}
