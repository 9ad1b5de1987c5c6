/** Shows and changes the node-wide `auth` and `acl` in the store. */

import type { AccessChangeAnswer, AccessHistoryAnswer, AccessView } from '../../answers/access.ts';
import { defaultEndpoint } from '../../endpoint/defaults.ts';
import { isObject, Problems } from '../../endpoint/problems.ts';
import { parseAcl, parseAuthList } from '../../endpoint/schema.ts';
import { maskSecrets } from '../../endpoint/secrets/secrets.ts';
import { unmask } from '../../endpoint/secrets/unmask.ts';
import { FluxError, messageOf } from '../../kernel/errors.ts';
import type { DocumentStep, DocumentStore } from '../../storage/documents/document-store.ts';
import type { AccessRequests } from '../contract/access/access-requests.ts';
import type { RequestContext } from '../contract/request-parts.ts';
import type { DocumentChanges } from '../documents/document-changes.ts';
import { ACCESS_KIND, type AccessPart, type AccessValues, accessKey, type NodeAccess } from './node-access.ts';

export interface AccessChangesOptions {
  access: NodeAccess;
  store: DocumentStore;
  documents: DocumentChanges;
  /** enabled endpoints that have no such value of their own */
  endpointsWithout(part: AccessPart): number;
}

const STEPS_SHOWN = 20;

export class AccessChanges implements AccessRequests {
  readonly #options: AccessChangesOptions;

  constructor(options: AccessChangesOptions) {
    this.#options = options;
  }

  get(part: AccessPart): AccessView {
    const { access } = this.#options;
    const stored = access.stored(part);
    return { [part]: shown(part, access[part]), source: stored === null ? 'configuration' : 'store', revision: stored?.revision ?? null };
  }

  async update(part: AccessPart, body: unknown, context: RequestContext): Promise<AccessChangeAnswer> {
    const { access, documents } = this.#options;
    return documents.attempt(context, async () => {
      const { value, warnings, isDryRun } = this.#readUpdate(part, body);
      const expected = this.#expected(part, context);
      const answer = { [part]: shown(part, value), source: 'store' as const, warnings, endpoints: this.#options.endpointsWithout(part) };
      if (isDryRun) return { ...answer, revision: null, nodes: [] };
      const change = { kind: ACCESS_KIND, key: accessKey(part), body: access.seal(value), expected };
      return { ...answer, ...(await documents.commit([change], expected === 0 ? 'add' : 'update', context)) };
    });
  }

  async remove(part: AccessPart, context: RequestContext): Promise<AccessChangeAnswer> {
    const { access, documents, endpointsWithout } = this.#options;
    return documents.attempt(context, async () => {
      const expected = this.#expected(part, context);
      if (expected === 0) throw new FluxError('not-found', `The store has no ${part}: that of the configuration file applies`);
      const done = await documents.commit([{ kind: ACCESS_KIND, key: accessKey(part), body: null, expected }], 'remove', context);
      const value = shown(part, access.configured[part]);
      return { [part]: value, source: 'configuration', warnings: [], endpoints: endpointsWithout(part), ...done };
    });
  }

  async history(part: AccessPart, limit: number, before: number | undefined): Promise<AccessHistoryAnswer> {
    const { store } = this.#options;
    const rows: AccessHistoryAnswer = [];
    for (const { at, count, ...commit } of await store.commits(limit, before, ACCESS_KIND)) {
      const steps = await store.steps(commit.revision, -1, STEPS_SHOWN);
      const step = steps.find(({ kind, key }) => kind === ACCESS_KIND && key === accessKey(part));
      if (step !== undefined) rows.push({ ...commit, at: new Date(at).toISOString(), ...this.#shownStep(part, step) });
    }
    return rows;
  }

  async rollback(part: AccessPart, body: unknown, context: RequestContext): Promise<AccessChangeAnswer> {
    const { access, store, documents, endpointsWithout } = this.#options;
    const { revision, isDryRun } = readRollback(body);
    return documents.attempt(context, async () => {
      const expected = this.#expected(part, context);
      const changed = await store.former(revision, null, STEPS_SHOWN);
      const found = changed.find(({ kind, key }) => kind === ACCESS_KIND && key === accessKey(part));
      const former = found?.body ?? null;
      const value = found === undefined ? access[part] : former === null ? access.configured[part] : access.unseal(part, former);
      const source = (found === undefined ? expected > 0 : former !== null) ? ('store' as const) : ('configuration' as const);
      const answer = { [part]: shown(part, value), source, warnings: [], endpoints: endpointsWithout(part) };
      if (isDryRun || found === undefined || (former === null && expected === 0))
        return { ...answer, revision: isDryRun ? null : (access.stored(part)?.revision ?? null), nodes: [] };
      const change = { kind: ACCESS_KIND, key: accessKey(part), body: former, expected };
      return { ...answer, ...(await documents.commit([change], 'rollback', context)) };
    });
  }

  /** The revision that the change replaces, 0: none. @throws FluxError `revision-mismatch` */
  #expected(part: AccessPart, { expectedRevision }: RequestContext): number {
    const revision = this.#options.access.stored(part)?.revision ?? 0;
    if (expectedRevision !== null && expectedRevision !== revision)
      throw new FluxError('revision-mismatch', `${part} is at revision ${revision}, not ${expectedRevision}`, { data: this.get(part) });
    return revision;
  }

  /** @throws FluxError `invalid` with every problem */
  #readUpdate<P extends AccessPart>(part: P, body: unknown): { value: AccessValues[P]; warnings: string[]; isDryRun: boolean } {
    const problems = new Problems();
    const { [part as string]: input, dryRun = false, reason, ...unknown } = isObject(body) ? body : {};
    for (const key of Object.keys(unknown)) problems.addUnknownKey(key);
    if (typeof dryRun !== 'boolean') problems.add('dryRun', 'must be true or false');
    if (input === undefined) problems.add(part, 'is required; DELETE returns to that of the configuration file');
    problems.throwIfAny(part);
    const warnings: string[] = [];
    const value = part === 'auth' ? this.#readAuth(input, warnings) : parseAcl(input, warnings);
    return { value: value as AccessValues[P], warnings, isDryRun: dryRun as boolean };
  }

  /** A mask means the secret in force. */
  #readAuth(input: unknown, warnings: string[]): AccessValues['auth'] {
    const { access } = this.#options;
    const old = { ...defaultEndpoint(1), authConfig: access.auth };
    const list = parseAuthList(unmask({ authConfig: input }, old)['authConfig']);
    if (list.length === 0) warnings.push('auth: is empty: nobody can log in on endpoints without authConfig whose enableAuth is on');
    return list;
  }

  #shownStep(part: AccessPart, { before, body }: DocumentStep): { before: unknown; after: unknown } {
    const view = (text: string | null): unknown => {
      if (text === null) return null;
      try {
        return shown(part, this.#options.access.unseal(part, text));
      } catch (error) {
        return messageOf(error);
      }
    };
    return { before: view(before), after: view(body) };
  }
}

/** The value as answers show it: without its secrets. */
function shown<P extends AccessPart>(part: P, value: AccessValues[P]): unknown {
  return part === 'acl' ? value : maskSecrets({ ...defaultEndpoint(1), authConfig: value as AccessValues['auth'] }).authConfig;
}

/** @throws FluxError `invalid` */
function readRollback(body: unknown): { revision: number; isDryRun: boolean } {
  const problems = new Problems();
  const { revision, dryRun = false, reason, ...unknown } = isObject(body) ? body : {};
  for (const key of Object.keys(unknown)) problems.addUnknownKey(key);
  if (!Number.isSafeInteger(revision) || (revision as number) < 0) problems.add('revision', 'must be a whole number from 0 on');
  if (typeof dryRun !== 'boolean') problems.add('dryRun', 'must be true or false');
  problems.throwIfAny('rollback');
  return { revision: revision as number, isDryRun: dryRun as boolean };
}
