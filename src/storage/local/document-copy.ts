/**
 * This node's read copy of the documents, in an SQLite file beside the node (in memory for the store MEMORY). The copy stays over a restart,
 * so a node reads only what changed since, and works while the store is away. Reads are look-ups of some 10 µs.
 */

import { closeSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { Pace } from '../../kernel/turns/pace.ts';
import type { DocumentRow } from '../documents/document-store.ts';

const FILE = 'documents-copy.db';
const VERSION = 1;
/** Rows that are written or removed in one transaction, of a few milliseconds. */
const ROWS_AT_ONCE = 200;
/** Rows that one look at a list reads. */
const LISTED_AT_ONCE = 500;
/** The end of all texts that begin with a prefix. */
const LAST_CHARACTER = '\u{10FFFF}';

/**
 * A row belongs to a batch: a batch becomes visible as a whole, when it is the `current` one, and batches before `base` do not count any
 * more. `word`: what lists are sorted and searched by.
 */
const SCHEMA = `
  CREATE TABLE place (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    life TEXT NOT NULL,
    revision INTEGER NOT NULL,
    current INTEGER NOT NULL,
    base INTEGER NOT NULL
  ) STRICT;
  INSERT INTO place (one, life, revision, current, base) VALUES (1, '', 0, 0, 0);
  CREATE TABLE copy (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    batch INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    word TEXT NOT NULL,
    body TEXT,
    PRIMARY KEY (kind, key, batch)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX copy_batch ON copy (batch);
  CREATE INDEX copy_word ON copy (kind, word, key);
  CREATE TABLE total (kind TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT;`;

/** A document as the copy has it. */
export interface CopiedDocument {
  key: string;
  word: string;
  revision: number;
  body: string;
}

/** The state of the store that the copy shows. */
export interface CopyPlace {
  life: string;
  revision: number;
}

interface Place extends CopyPlace {
  current: number;
  base: number;
}

/** Behind which document a list continues. */
export type ListPlace = Pick<CopiedDocument, 'key' | 'word'>;

/** Opens the copy; one that cannot be used is made anew. @param dataPath null: in memory @throws Error of the file system */
export function openDocumentCopy(dataPath: string | null, wordOf: (kind: string, key: string) => string): DocumentCopy {
  if (dataPath === null) return new DocumentCopy(openFile(':memory:'), wordOf);
  const path = join(dataPath, FILE);
  try {
    return new DocumentCopy(openFile(path), wordOf);
  } catch {
    for (const end of ['', '-wal', '-shm', '-journal']) rmSync(path + end, { force: true });
    return new DocumentCopy(openFile(path), wordOf);
  }
}

function openFile(path: string): Database.Database {
  if (path !== ':memory:') closeSync(openSync(path, 'a', 0o600));
  const database = new Database(path);
  try {
    // See local-store.ts: no index of the log in a mapped file.
    database.pragma('locking_mode = EXCLUSIVE');
    database.pragma('journal_mode = WAL');
    database.pragma('synchronous = NORMAL');
    const version = Number(database.pragma('user_version', { simple: true }));
    if (version !== 0 && version !== VERSION) throw new Error('the copy has another form');
    if (version === 0) {
      database.transaction(() => {
        database.exec(SCHEMA);
        database.pragma(`user_version = ${VERSION}`);
      })();
    }
    // A batch that a crash cut off never counts.
    database.exec('DELETE FROM copy WHERE batch > (SELECT current FROM place)');
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

type Name = Pick<DocumentRow, 'kind' | 'key'>;

/** What a batch leads to. */
interface Taken {
  /** by kind: documents more than before */
  counts: Map<string, number>;
  /** documents with older rows, or with none left */
  stale: Name[];
}

export class DocumentCopy {
  readonly #database: Database.Database;
  readonly #wordOf: (kind: string, key: string) => string;
  readonly #find: Database.Statement<
    [string, string, number, number],
    { key: string; word: string; revision: number; body: string | null }
  >;
  #place: Place;

  constructor(database: Database.Database, wordOf: (kind: string, key: string) => string) {
    this.#database = database;
    this.#wordOf = wordOf;
    this.#place = database.prepare<[], Place>('SELECT life, revision, current, base FROM place').get()!;
    this.#find = database.prepare(
      'SELECT key, word, revision, body FROM copy WHERE kind = ? AND key = ? AND batch <= ? AND batch >= ? ORDER BY batch DESC LIMIT 1',
    );
  }

  get place(): CopyPlace {
    return { life: this.#place.life, revision: this.#place.revision };
  }

  /** Null: there is no such document. */
  get(kind: string, key: string): CopiedDocument | null {
    const { current, base } = this.#place;
    const row = this.#find.get(kind, key, current, base);
    return row === undefined || row.body === null ? null : { ...row, body: row.body };
  }

  /** The first document at or behind a key, else the first of all; null: the kind has no document. */
  near(kind: string, key: string): CopiedDocument | null {
    const next = this.#database.prepare<[string, string], { key: string }>(
      'SELECT key FROM copy WHERE kind = ? AND key >= ? ORDER BY key LIMIT 8',
    );
    for (const from of [key, '']) {
      for (const row of next.all(kind, from)) {
        const found = this.get(kind, row.key);
        if (found !== null) return found;
      }
    }
    return null;
  }

  /** Documents sorted by word and key. @param prefix of the word @param after behind this one; null: from the first */
  list(kind: string, prefix: string, after: ListPlace | null, limit: number): CopiedDocument[] {
    const page = this.#database.prepare<[string, string, string, string, string], { key: string; word: string }>(
      `SELECT DISTINCT word, key FROM copy WHERE kind = ? AND word >= ? AND (word, key) > (?, ?) AND word < ?
       ORDER BY word, key LIMIT ${LISTED_AT_ONCE}`,
    );
    const found: CopiedDocument[] = [];
    let place: ListPlace = after ?? { word: '', key: '' };
    while (found.length < limit) {
      const rows = page.all(kind, prefix, place.word, place.key, prefix + LAST_CHARACTER);
      for (const row of rows) {
        const document = this.get(kind, row.key);
        if (document !== null && found.length < limit) found.push(document);
      }
      const last = rows.at(-1);
      if (last === undefined || rows.length < LISTED_AT_ONCE) break;
      place = last;
    }
    return found;
  }

  /** The number of documents of a kind. */
  count(kind: string): number {
    return this.#database.prepare<[string], { count: number }>('SELECT count FROM total WHERE kind = ?').get(kind)?.count ?? 0;
  }

  /**
   * Takes pages of versions, oldest first, and makes them visible at once; works in turns of the thread. Nothing changes when `pages` fails.
   * @param isWhole true: what the pages do not hold is forgotten
   * @returns the new place, as `pages` returned it
   */
  async take(pages: AsyncGenerator<readonly DocumentRow[], CopyPlace>, isWhole: boolean): Promise<CopyPlace> {
    const { current, base } = this.#place;
    const batch = current + 1;
    const counts = new Map<string, number>();
    const stale: Name[] = [];
    const pace = new Pace();
    let next = await pages.next();
    for (; next.done !== true; next = await pages.next()) {
      for (let from = 0; from < next.value.length; from += ROWS_AT_ONCE) {
        this.#insert(next.value.slice(from, from + ROWS_AT_ONCE), batch, isWhole ? batch : base, { counts, stale });
        if (pace.isOver) await pace.next();
      }
    }
    const reached = next.value;
    const place: Place = { ...reached, current: batch, base: isWhole ? batch : base };
    this.#database.transaction(() => {
      this.#database
        .prepare('UPDATE place SET life = ?, revision = ?, current = ?, base = ?')
        .run(place.life, place.revision, place.current, place.base);
      if (isWhole) this.#database.exec('DELETE FROM total');
      const add = this.#database.prepare(
        'INSERT INTO total (kind, count) VALUES (?, ?) ON CONFLICT (kind) DO UPDATE SET count = count + excluded.count',
      );
      for (const [kind, count] of counts) add.run(kind, count);
    })();
    this.#place = place;
    await this.#clean(stale, pace);
    return reached;
  }

  /** Removes the rows of a batch that failed. */
  async undo(): Promise<void> {
    const drop = this.#database.prepare(`DELETE FROM copy WHERE (kind, key, batch) IN
      (SELECT kind, key, batch FROM copy WHERE batch > ? LIMIT ${ROWS_AT_ONCE})`);
    const pace = new Pace();
    while (drop.run(this.#place.current).changes > 0) if (pace.isOver) await pace.next();
  }

  close(): void {
    this.#database.close();
  }

  #insert(rows: readonly DocumentRow[], batch: number, base: number, { counts, stale }: Taken): void {
    const insert = this.#database.prepare('INSERT OR REPLACE INTO copy (kind, key, batch, revision, word, body) VALUES (?, ?, ?, ?, ?, ?)');
    this.#database.transaction(() => {
      for (const { kind, key, revision, body } of rows) {
        const before = this.#find.get(kind, key, batch, base);
        const change = (body === null ? 0 : 1) - (before === undefined || before.body === null ? 0 : 1);
        if (before !== undefined || body === null) stale.push({ kind, key });
        if (change !== 0) counts.set(kind, (counts.get(kind) ?? 0) + change);
        insert.run(kind, key, batch, revision, this.#wordOf(kind, key), body);
      }
    })();
  }

  /** Drops rows that the newest batch has replaced, and its removals. */
  async #clean(stale: readonly Name[], pace: Pace): Promise<void> {
    const { current, base } = this.#place;
    const older = this.#database.prepare(`DELETE FROM copy WHERE (kind, key, batch) IN
      (SELECT kind, key, batch FROM copy WHERE batch < ? LIMIT ${ROWS_AT_ONCE})`);
    while (older.run(base).changes > 0) if (pace.isOver) await pace.next();
    const drop = this.#database.prepare('DELETE FROM copy WHERE kind = ? AND key = ? AND (batch < ? OR (batch = ? AND body IS NULL))');
    for (let from = 0; from < stale.length; from += ROWS_AT_ONCE) {
      this.#database.transaction(() => {
        for (const { kind, key } of stale.slice(from, from + ROWS_AT_ONCE)) drop.run(kind, key, current, current);
      })();
      if (pace.isOver) await pace.next();
    }
  }
}
