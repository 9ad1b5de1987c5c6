/** The meaning of a commit, shared by all stores: the content that it leads to, or the reason why nothing changes. Pure. */

import type { Endpoint } from '../endpoint/endpoint.ts';
import { FluxError } from '../kernel/errors.ts';
import { type ChangeMeta, type HistoryRow, type StoreChange, type StoredEndpoint, WHOLE } from './endpoint-store.ts';

/** Longest actor name. Every supported database compares and indexes a text of this length exactly. */
const ACTOR_MAX = 255;

/** The endpoint that has a port. */
export type Owner = Pick<Endpoint, 'id' | 'port'>;

export interface AppliedChanges {
  /** the content after the commit, by id, as far as it was given */
  next: Map<string, StoredEndpoint>;
  /** one row per change, in the order of the changes */
  history: HistoryRow[];
}

/**
 * Applies all changes at once, so that ports may move between endpoints in one commit. Does not modify `current`. The result shares its
 * endpoints with the arguments: a store that keeps objects takes copies.
 * @param others the endpoints that `current` lacks, because neither `changes` nor `expected` names them
 * @throws FluxError `invalid` (no change, one id twice, an actor name that is too long), `revision-mismatch`, `exists`, `not-found`
 */
export function applyChanges(
  current: ReadonlyMap<string, StoredEndpoint>,
  changes: StoreChange[],
  expected: Record<string, number>,
  meta: ChangeMeta,
  stamp: { revision: number; at: number },
  others: Iterable<Owner> = [],
): AppliedChanges {
  if (meta.actor.length > ACTOR_MAX) throw new FluxError('invalid', `The name of an actor must have at most ${ACTOR_MAX} characters`);
  if (changes.length === 0) throw new FluxError('invalid', 'A commit needs at least one change');
  checkWhole(stamp.revision - 1, expected[WHOLE]);
  checkExpected(current, expected);
  const next = new Map(current);
  const seen = new Set<string>();
  const history: HistoryRow[] = [];
  for (const change of changes) {
    const id = change.kind === 'put' ? change.endpoint.id : change.id;
    if (seen.has(id)) throw new FluxError('invalid', `Endpoint ${id} is changed twice in one commit`);
    seen.add(id);
    const before = current.get(id)?.endpoint ?? null;
    const after = change.kind === 'put' ? change.endpoint : null;
    if (after === null) next.delete(id);
    else next.set(id, { endpoint: after, revision: stamp.revision });
    const port = after?.port ?? before?.port;
    if (port === undefined) throw new FluxError('not-found', `There is no endpoint ${id}`);
    history.push({ ...pickMeta(meta), ...stamp, id, port, before, after });
  }
  checkPorts([...others, ...[...next.values()].map(({ endpoint }) => endpoint)]);
  return { next, history };
}

function checkWhole(newest: number, wanted: number | undefined): void {
  if (wanted === undefined || wanted === newest) return;
  throw new FluxError('revision-mismatch', `The configuration is at revision ${newest}, not ${wanted}`);
}

function checkExpected(current: ReadonlyMap<string, StoredEndpoint>, expected: Record<string, number>): void {
  for (const [id, wanted] of Object.entries(expected)) {
    if (id === WHOLE) continue;
    const stored = current.get(id);
    const revision = stored?.revision ?? 0;
    if (revision === wanted) continue;
    if (wanted === 0)
      throw new FluxError('exists', `Endpoint ${id} exists already`, { issues: [{ path: 'id', message: 'exists already' }] });
    throw new FluxError('revision-mismatch', `Endpoint ${id} is at revision ${revision}, not ${wanted}`, {
      data: stored === undefined ? null : structuredClone(stored),
    });
  }
}

function checkPorts(endpoints: readonly Owner[]): void {
  const owners = new Map<number, Owner>();
  for (const endpoint of endpoints) {
    const owner = owners.get(endpoint.port);
    if (owner !== undefined) {
      const message = `Port ${endpoint.port} belongs to both endpoint ${owner.id} and endpoint ${endpoint.id}`;
      throw new FluxError('exists', message, { issues: [{ path: 'port', message: 'belongs to another endpoint' }] });
    }
    owners.set(endpoint.port, endpoint);
  }
}

/** Only the contract's fields: a caller's richer object must not leak into the history. */
function pickMeta({ action, actor, source, node, requestId, reason }: ChangeMeta): ChangeMeta {
  return { action, actor, source, node, requestId, reason };
}

/** @throws FluxError `invalid` when the limit is not 1..1000 */
export function checkHistoryLimit(limit: number): void {
  if (!Number.isInteger(limit) || limit < 1 || limit > 1000) {
    throw new FluxError('invalid', 'limit must be a whole number, 1..1000', { issues: [{ path: 'limit', message: 'must be 1..1000' }] });
  }
}

/** The error for a confirmation, or an undo, of a revision that does not wait for one, or waits no longer. */
export function notWaiting(revision: number): FluxError {
  return new FluxError('not-found', `Revision ${revision} does not wait for confirmation`);
}
