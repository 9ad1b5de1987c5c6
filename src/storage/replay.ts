/** From history rows to the content that they lead to. Pure. */

import { isDeepStrictEqual } from 'node:util';
import { completeEndpoint } from '../endpoint/defaults.ts';
import type { Endpoint } from '../endpoint/endpoint.ts';
import { maskSecrets } from '../endpoint/secrets/secrets.ts';
import { FluxError } from '../kernel/errors.ts';
import type { HistoryRow, StoredEndpoint } from './contract.ts';

/** The content after all rows, by id. @param rows oldest first; `base` is the content right before them */
export function replay(rows: readonly HistoryRow[], base: ReadonlyMap<string, StoredEndpoint>): Map<string, StoredEndpoint> {
  const content = new Map(base);
  for (const { id, revision, after } of rows) {
    if (after === null) content.delete(id);
    else content.set(id, { endpoint: after, revision });
  }
  return content;
}

/**
 * Replays a whole history and checks that each row begins where the ones before it have left off, as each store has written it.
 * @param rows oldest first, of revision 1 and all that follow
 * @throws FluxError `invalid`, naming the first row that does not fit
 */
export function replayWhole(rows: readonly HistoryRow[]): Map<string, StoredEndpoint> {
  const content = new Map<string, StoredEndpoint>();
  /** port → id, as it was after the revision before */
  const owners = new Map<number, string>();
  let revision = 0;
  let group: HistoryRow[] = [];
  let changed = new Set<string>();
  for (const row of rows) {
    if (row.revision !== revision) {
      movePorts(owners, group);
      if (row.revision !== revision + 1) throw misfit(row, `it follows revision ${revision}`);
      revision = row.revision;
      group = [];
      changed = new Set();
    }
    if (changed.has(row.id)) throw misfit(row, 'the endpoint is changed twice');
    changed.add(row.id);
    checkRow(row, content.get(row.id)?.endpoint ?? null);
    group.push(row);
    if (row.after === null) content.delete(row.id);
    else content.set(row.id, { endpoint: row.after, revision });
  }
  movePorts(owners, group);
  return content;
}

function checkRow(row: HistoryRow, current: Endpoint | null): void {
  const { id, before, after } = row;
  if (!isSame(current, before)) throw misfit(row, '"before" is not what the earlier rows lead to');
  if ((after?.id ?? id) !== id) throw misfit(row, `"after" is endpoint ${after?.id}`);
  const port = after?.port ?? before?.port;
  if (port === undefined) throw misfit(row, 'there is neither "before" nor "after"');
  if (port !== row.port) throw misfit(row, `the port is ${port}, not ${row.port}`);
}

/** What the rows of one revision do to the ports, all at once: they may move between endpoints. */
function movePorts(owners: Map<number, string>, group: readonly HistoryRow[]): void {
  for (const { before } of group) if (before !== null) owners.delete(before.port);
  for (const row of group) {
    if (row.after === null) continue;
    const owner = owners.get(row.port);
    if (owner !== undefined) throw misfit(row, `port ${row.port} belongs to endpoint ${owner}`);
    owners.set(row.port, row.id);
  }
}

/** Rows of older versions do not know every key of today, and sealed secrets look different each time. */
function isSame(a: Endpoint | null, b: Endpoint | null): boolean {
  if (a === null || b === null) return a === b;
  return isDeepStrictEqual(maskSecrets(completeEndpoint(a)), maskSecrets(completeEndpoint(b)));
}

function misfit(row: HistoryRow, why: string): FluxError {
  return new FluxError('invalid', `The history does not fit together at revision ${row.revision}, endpoint ${row.id}: ${why}`);
}

/** The answer of `at` for a revision that the history does not reach. */
export function noSuchRevision(revision: number): FluxError {
  return new FluxError('not-found', `There is no revision ${revision}, or no history so far back`);
}
