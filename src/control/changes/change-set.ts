/** A set of endpoint changes that is applied wholly or not at all: its form, and the checks before anything is touched. */

import { diffEndpoints, hardestEffect } from '../../endpoint/effects.ts';
import type { Effect, Endpoint, KeyChange } from '../../endpoint/endpoint.ts';
import { join } from '../../endpoint/problems.ts';
import { mapSecrets } from '../../endpoint/secrets/secrets.ts';
import { FluxError, type Issue } from '../../kernel/errors.ts';
import { ENDPOINTS_MAX } from '../../kernel/input/file-form.ts';
import { Pace } from '../../kernel/turns/pace.ts';
import type { ChangeMeta, Past, StoreChange, StoredEndpoint } from '../../storage/endpoint-store.ts';
import { isSealed } from '../../storage/sealed/sealer.ts';
import type { RequestContext } from '../contract/request-parts.ts';
import type { DesiredState } from '../state/desired-state.ts';
import { lockKeys } from '../state/waiting-changes.ts';
import type { ChangeOptions } from './change-body.ts';

/** The change of one endpoint. */
export interface EndpointChange {
  /** the present form; null when no endpoint has the id */
  before: StoredEndpoint | null;
  /** null: the endpoint is removed */
  after: Endpoint | null;
  /** place in the request (`configs[3]`), for the paths of problems; '' for a request about one endpoint */
  path: string;
}

/** The content of one revision, by a request or the undoing of a change. Each id at most once. */
export interface ChangeSet {
  action: ChangeMeta['action'];
  source: ChangeMeta['source'];
  changes: EndpointChange[];
  options: ChangeOptions;
  context: RequestContext;
  /** false: an endpoint that cannot listen is stored and tried again later; for the undoing of a change, which must not fail */
  mustListen: boolean;
  /**
   * For a set that depends on all endpoints: the newest revision known when the set was made. The commit fails when the store has a newer
   * one. null: only the endpoints of the set are compared.
   */
  whole: number | null;
  /** the waiting revision that this set undoes */
  settles: number | null;
  /** a whole history that the empty store takes instead of a new revision; it leads to the endpoints of the set */
  adopts: Past | null;
}

/** A change that has an effect, with the effect. */
export interface JudgedChange extends EndpointChange {
  id: string;
  port: number;
  kind: 'added' | 'updated' | 'removed';
  /** empty for an added or removed endpoint */
  changes: KeyChange[];
  effect: Effect;
  /** not requested: the endpoint loses isDefault to another one, and its clients notice nothing */
  isAside: boolean;
}

/**
 * The changes that do something, in the order of the set, and behind them the endpoints that lose `isDefault`. A large set is compared in
 * turns. The caller must lock the keys of the changes in the tick in which the promise resolves.
 * @throws FluxError `invalid` (a fixed key), `default-endpoint`, `exists` (ports and ids of the whole configuration afterwards); for
 *   DesiredState.onNewest() when what the set is based on has changed by now
 */
export async function judge(set: ChangeSet, desired: DesiredState): Promise<JudgedChange[]> {
  const compared = await compare(set.changes);
  desired.ensureBasis(set.changes, set.whole);
  const judged = setAside(compared, set, desired);
  if (!set.options.force) for (const change of judged) guardDefault(change);
  ensureFit(set, judged, desired);
  return judged;
}

/** As `judge`, for a plan: what would need `force` is not refused. @throws FluxError `invalid`, `exists` */
export async function foresee(set: ChangeSet, desired: DesiredState): Promise<{ judged: JudgedChange[]; warnings: string[] }> {
  const judged = setAside(await compare(set.changes), set, desired);
  ensureFit(set, judged, desired);
  const warnings = judged.filter(takesDefaultAway).map(({ id }) => `endpoint ${id} is the default endpoint: this needs force: true`);
  return { judged, warnings: set.options.force ? [] : warnings };
}

/** The changes in the form for the store. */
export function toStoreChanges(judged: JudgedChange[]): StoreChange[] {
  return judged.map(({ id, after }) => (after === null ? { kind: 'remove', id } : { kind: 'put', endpoint: after }));
}

/** The keys that no other change may touch while this one runs. */
export function keysOf(judged: JudgedChange[]): string[] {
  return [...new Set(judged.flatMap(({ id, before, after }) => lockKeys(id, before?.endpoint ?? null, after)))];
}

/** Each change by itself. @throws FluxError `invalid`: a fixed key, a sealed secret */
async function compare(changes: readonly EndpointChange[]): Promise<JudgedChange[]> {
  const pace = new Pace();
  const judged: JudgedChange[] = [];
  const sealed: Issue[] = [];
  for (const [index, change] of changes.entries()) {
    // A single change does not wait, so the second of two simultaneous changes finds the first.
    if (index > 0 && pace.isOver) await pace.next();
    for (const one of toJudged(change, false)) {
      judged.push(one);
      sealed.push(...sealedIn(one));
    }
  }
  refuseFixed(judged);
  if (sealed.length > 0) throw new FluxError('invalid', `${sealed[0]?.path} ${sealed[0]?.message}`, { issues: sealed });
  return judged;
}

/** Adds the endpoints that lose `isDefault` to an endpoint of the set. */
function setAside(judged: JudgedChange[], set: ChangeSet, desired: DesiredState): JudgedChange[] {
  const chosen = judged.find(({ before, after }) => after?.isDefault === true && before?.endpoint.isDefault !== true);
  if (chosen === undefined) return judged;
  const named = new Map(set.changes.map((change) => [change.after?.id ?? change.before?.endpoint.id, change]));
  for (const stored of desired.list()) {
    const { id, isDefault } = stored.endpoint;
    const own = named.get(id);
    const stays = own === undefined ? isDefault : own.after?.isDefault === true && isDefault;
    if (id === chosen.id || !stays) continue;
    const aside = toJudged({ before: stored, after: { ...(own?.after ?? stored.endpoint), isDefault: false }, path: chosen.path }, true);
    const index = judged.findIndex((change) => change.id === id);
    if (index >= 0) judged.splice(index, 1, ...aside.map((change) => ({ ...change, isAside: false })));
    else judged.push(...aside);
  }
  return judged;
}

function toJudged(change: EndpointChange, isAside: boolean): JudgedChange[] {
  const { before, after } = change;
  const endpoint = after ?? before?.endpoint;
  if (endpoint === undefined) return [];
  const { id, port } = endpoint;
  if (before === null) return [{ ...change, id, port, kind: 'added', changes: [], effect: 'rebind', isAside }];
  if (after === null) return [{ ...change, id, port, kind: 'removed', changes: [], effect: 'rebind', isAside }];
  const changes = diffEndpoints(before.endpoint, after);
  if (changes.length === 0) return [];
  return [{ ...change, id, port, kind: 'updated', changes, effect: hardestEffect(changes), isAside }];
}

function refuseFixed(judged: JudgedChange[]): void {
  const issues = judged.flatMap(({ changes, path }) =>
    changes.filter(({ effect }) => effect === 'fixed').map((change) => ({ path: join(path, change.path), message: 'cannot be changed' })),
  );
  if (issues.length > 0) throw new FluxError('invalid', `${issues.map(({ path }) => path).join(', ')} cannot be changed`, { issues });
}

/** On a node without a key, the next start would take such a text for a sealed secret. Sealed secrets from files are opened before this check. */
function sealedIn({ after, path }: EndpointChange): Issue[] {
  const issues: Issue[] = [];
  if (after === null) return issues;
  mapSecrets(after, (secret, at) => {
    if (isSealed(secret)) issues.push({ path: join(path, at), message: 'is a sealed secret: only an import takes one' });
    return secret;
  });
  return issues;
}

function takesDefaultAway({ before, after, isAside }: JudgedChange): boolean {
  return before?.endpoint.isDefault === true && !isAside && (after === null || (before.endpoint.enabled && !after.enabled));
}

function guardDefault(change: JudgedChange): void {
  if (!takesDefaultAway(change)) return;
  const what = change.after === null ? 'removed' : 'disabled';
  throw new FluxError('default-endpoint', `endpoint ${change.id} is the default endpoint: it is not ${what} without force: true`);
}

/** Ports may move between the endpoints of one set, so the check is about the whole resulting configuration. */
function ensureFit({ action }: ChangeSet, judged: JudgedChange[], desired: DesiredState): void {
  const issues: Issue[] = [];
  const changed = new Map(judged.map((change) => [change.id, change]));
  const owners = new Map<number, string>();
  for (const { endpoint } of desired.list()) if (!changed.has(endpoint.id)) owners.set(endpoint.port, endpoint.id);
  for (const { id, before, after, path } of judged) {
    if (after === null) continue;
    const owner = owners.get(after.port);
    if (owner === undefined) owners.set(after.port, id);
    else {
      const isForeign = action === 'import' && !changed.has(owner);
      const remedy = isForeign ? ', which this import does not name: mode replace would remove it' : '';
      issues.push({ path: join(path, 'port'), message: `port ${after.port} belongs to endpoint ${owner}${remedy}` });
    }
    if (before === null && desired.byId(id) !== undefined) {
      issues.push({ path: join(path, 'id'), message: `endpoint ${id} exists already` });
    }
  }
  if (issues.length > 0) throw new FluxError('exists', issues.map((issue) => issue.message).join('; '), { issues });
  const isMore = judged.some(({ kind }) => kind === 'added');
  if (isMore && owners.size > ENDPOINTS_MAX)
    throw new FluxError('unprocessable', `There would be ${owners.size} endpoints: a node has at most ${ENDPOINTS_MAX}`);
}
