/** Computes the content that history rows lead to. Pure. */

import { isDeepStrictEqual } from 'node:util';
import { completeEndpoint } from '../endpoint/defaults.ts';
import type { Endpoint } from '../endpoint/endpoint.ts';
import { maskSecrets } from '../endpoint/secrets/secrets.ts';
import { FluxError } from '../kernel/errors.ts';
import type { HistoryRow, StoredEndpoint } from './endpoint-store.ts';

/** The content after all rows, by id. @param rows oldest first @param base the content right before them */
export function replay(rows: readonly HistoryRow[], base: ReadonlyMap<string, StoredEndpoint>): Map<string, StoredEndpoint> {
  const content = new Map(base);
  for (const { id, revision, after } of rows) {
    if (after === null) content.delete(id);
    else content.set(id, { endpoint: after, revision });
  }
  return content;
}

/** Replays a history piece by piece, and checks that each row starts from the content that the rows before it lead to. */
export class Replay {
  readonly #content = new Map<string, StoredEndpoint>();
  /** port → id, after the revision before the current one */
  readonly #owners = new Map<number, string>();
  readonly #floor: number;
  #revision = 0;
  #group: HistoryRow[] = [];
  #changed = new Set<string>();

  /** @param floor see Past.floor */
  constructor(floor: number) {
    this.#floor = floor;
  }

  /** The content after the rows so far. */
  get content(): ReadonlyMap<string, StoredEndpoint> {
    return this.#content;
  }

  /** @param rows the next ones, oldest first @throws FluxError `invalid`, naming the first row that does not fit */
  add(rows: readonly HistoryRow[]): void {
    for (const row of rows) {
      if (row.revision <= this.#floor) this.#addKept(row);
      else this.#addWhole(row);
    }
  }

  /** The content after all rows. @param revision the revision that the rows must lead to @throws FluxError `invalid` */
  end(revision: number): Map<string, StoredEndpoint> {
    movePorts(this.#owners, this.#group);
    const last = Math.max(this.#revision, this.#floor);
    if (last !== revision) throw new FluxError('invalid', `The history ends at revision ${last}, not at ${revision}`);
    return this.#content;
  }

  /** Adds a row up to the floor, where each endpoint has one row. */
  #addKept(row: HistoryRow): void {
    const { id, revision, port, after } = row;
    if (!Number.isInteger(revision) || revision < this.#revision || this.#content.has(id)) throw misfit(row, 'the order is wrong');
    this.#revision = revision;
    // A removal at the floor itself leaves no endpoint.
    if (after === null && revision === this.#floor) return;
    if (after === null || after.id !== id || after.port !== port) throw misfit(row, '"after" does not fit the row');
    const owner = this.#owners.get(port);
    if (owner !== undefined) throw misfit(row, `port ${port} belongs to endpoint ${owner}`);
    this.#owners.set(port, id);
    this.#content.set(id, { endpoint: after, revision });
  }

  #addWhole(row: HistoryRow): void {
    if (row.revision !== this.#revision) {
      const before = Math.max(this.#revision, this.#floor);
      movePorts(this.#owners, this.#group);
      if (row.revision !== before + 1) throw misfit(row, `it follows revision ${before}`);
      this.#revision = row.revision;
      this.#group = [];
      this.#changed = new Set();
    }
    if (this.#changed.has(row.id)) throw misfit(row, 'the endpoint is changed twice');
    this.#changed.add(row.id);
    checkRow(row, this.#content.get(row.id)?.endpoint ?? null);
    this.#group.push(row);
    if (row.after === null) this.#content.delete(row.id);
    else this.#content.set(row.id, { endpoint: row.after, revision: row.revision });
  }
}

function checkRow(row: HistoryRow, current: Endpoint | null): void {
  const { id, before, after } = row;
  if (!isSame(current, before)) throw misfit(row, '"before" is not what the earlier rows lead to');
  if ((after?.id ?? id) !== id) throw misfit(row, `"after" is endpoint ${after?.id}`);
  const port = after?.port ?? before?.port;
  if (port === undefined) throw misfit(row, 'there is neither "before" nor "after"');
  if (port !== row.port) throw misfit(row, `the port is ${port}, not ${row.port}`);
}

/** Applies the ports of one revision all at once, because ports may move between endpoints. */
function movePorts(owners: Map<number, string>, group: readonly HistoryRow[]): void {
  for (const { before } of group) if (before !== null) owners.delete(before.port);
  for (const row of group) {
    if (row.after === null) continue;
    const owner = owners.get(row.port);
    if (owner !== undefined) throw misfit(row, `port ${row.port} belongs to endpoint ${owner}`);
    owners.set(row.port, row.id);
  }
}

/**
 * Compares with defaults filled in and secrets masked: rows of older versions lack newer keys, and sealing gives another text each time.
 */
function isSame(a: Endpoint | null, b: Endpoint | null): boolean {
  if (a === null || b === null) return a === b;
  return isDeepStrictEqual(maskSecrets(completeEndpoint(a)), maskSecrets(completeEndpoint(b)));
}

function misfit(row: HistoryRow, why: string): FluxError {
  return new FluxError('invalid', `The history does not fit together at revision ${row.revision}, endpoint ${row.id}: ${why}`);
}

/** The error of `at` for a revision that the history does not reach. */
export function noSuchRevision(revision: number): FluxError {
  return new FluxError('not-found', `There is no revision ${revision}, or no history so far back`);
}
