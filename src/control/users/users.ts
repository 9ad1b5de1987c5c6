/** Changes users in the store, and reports them. */

import type { ImportUsersAnswer, UserAnswer, UserChangeAnswer, UserHistoryAnswer, UsersAnswer, UserView } from '../../answers/users.ts';
import { isObject, Problems } from '../../endpoint/problems.ts';
import {
  type DirectoryUser,
  type GivenUser,
  readUser,
  readUserId,
  toPublicUser,
  toUserBody,
  USER_KIND,
  USERS_MAX,
  type UserId,
  userIdOf,
  userKey,
} from '../../endpoint/users/user.ts';
import { FluxError, messageOf } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import { makeHash } from '../../kernel/logins/make-hash.ts';
import { Pace } from '../../kernel/turns/pace.ts';
import {
  DOCUMENT_CHANGES_MAX,
  type DocumentChange,
  type DocumentStep,
  type DocumentStore,
} from '../../storage/documents/document-store.ts';
import type { ListPlace } from '../../storage/local/document-copy.ts';
import type { UserRequests, UsersQuery } from '../contract/access/user-requests.ts';
import type { ClientRequests } from '../contract/client-requests.ts';
import type { RequestContext } from '../contract/request-parts.ts';
import type { DocumentChanges } from '../documents/document-changes.ts';
import type { DocumentFollower } from '../documents/follower.ts';
import { readPlace, writePlace } from '../documents/words.ts';
import type { KnownUser, UserDirectory } from './directory.ts';

export interface UsersOptions {
  store: DocumentStore;
  directory: UserDirectory;
  follower: DocumentFollower;
  documents: DocumentChanges;
  clients: Pick<ClientRequests, 'disconnectUser'>;
  /** name of this node */
  node: string;
  logger: Logger;
}

/** Passwords in clear that one import may hold: each is hashed. */
const IMPORT_PASSWORDS_MAX = 1_000;
/** Hashes under way at one time during an import. */
const HASHES_AT_ONCE = 2;
const PROBLEMS_MAX = 20;
/** Changes of a revision that the history shows. */
const STEPS_SHOWN = 20;
const PAGE_ROWS = 1_000;

export class Users implements UserRequests {
  readonly #options: UsersOptions;

  constructor(options: UsersOptions) {
    this.#options = options;
  }

  list(query: UsersQuery): UsersAnswer {
    return this.#list(query, ({ user, revision }) => ({ ...toPublicUser(user), revision }));
  }

  exportPage(query: UsersQuery): UsersAnswer {
    return this.#list(query, ({ user, revision }) => ({ ...toPublicUser(user), revision, hash: user.hash }));
  }

  #list({ search = '', namespace, after, limit }: UsersQuery, show: (known: KnownUser) => UserView): UsersAnswer {
    const { directory } = this.#options;
    const { users, last } = directory.list(search, namespace, after === undefined ? null : readPlace(after), limit);
    return {
      users: users.map(show),
      total: directory.total,
      next: last === null ? null : writePlace(last),
      revision: directory.place.revision,
    };
  }

  get(given: unknown): UserAnswer {
    const known = this.#known(this.#readId(given));
    return { user: shown(known), revision: known.revision };
  }

  async add(body: unknown, context: RequestContext): Promise<UserChangeAnswer> {
    const given = this.#read(body, null);
    this.#checkRoom(1);
    return this.#change(await hashed(given), 0, 'add', context);
  }

  async update(body: unknown, context: RequestContext): Promise<UserChangeAnswer> {
    const id = this.#readId(body);
    const { isKicking, keys } = readKick(body);
    let hash: string | null = null;
    const done = await this.#options.documents.attempt(context, async () => {
      const known = this.#known(id);
      checkExpected(known, context);
      const given = this.#read(keys, known.user);
      // One hash serves all attempts.
      hash ??= given.password === null ? null : (await hashed(given)).hash;
      const user = { ...given.user, ...(hash === null ? {} : { hash }) };
      return this.#change(user, known.revision, 'update', context);
    });
    return isKicking ? { ...done, ...(await this.#kick(id)) } : done;
  }

  async remove(body: unknown, context: RequestContext): Promise<UserChangeAnswer> {
    const id = this.#readId(body);
    const { isKicking } = readKick(body);
    const done = await this.#options.documents.attempt(context, async () => {
      const known = this.#known(id);
      checkExpected(known, context);
      const change = { kind: USER_KIND, key: userKey(id), body: null, expected: known.revision };
      const { revision, nodes } = await this.#options.documents.commit([change], 'remove', context);
      return { user: null, revision, nodes };
    });
    return isKicking ? { ...done, ...(await this.#kick(id)) } : done;
  }

  /** Disconnects the clients of a user, after the change, which stands even when this fails. */
  async #kick(id: UserId): Promise<Pick<UserChangeAnswer, 'kicked' | 'unreachable'>> {
    const { clients, node, logger } = this.#options;
    try {
      const { answer, unreachable } = await clients.disconnectUser(id);
      return { kicked: answer, ...(unreachable.length === 0 ? {} : { unreachable }) };
    } catch (error) {
      logger.warn('Users: the clients of a changed user were not all disconnected', { reason: messageOf(error) });
      return { kicked: 0, unreachable: [{ node, reason: messageOf(error) }] };
    }
  }

  async importAll(body: unknown, context: RequestContext): Promise<ImportUsersAnswer> {
    const { given, isReplacing, isDryRun } = await this.#readImport(body);
    await this.#options.follower.follow();
    const { directory } = this.#options;
    const counts = { added: 0, updated: 0, removed: 0, unchanged: 0 };
    const changes: DocumentChange[] = [];
    const pace = new Pace();
    for (const [key, one] of given) {
      if (pace.isOver) await pace.next();
      const known = directory.get(one.user);
      const isSame = known !== null && one.password === null && toUserBody(known.user) === toUserBody(one.user);
      if (isSame) counts.unchanged++;
      else changes.push({ kind: USER_KIND, key, body: '' });
      if (!isSame) counts[known === null ? 'added' : 'updated']++;
    }
    if (isReplacing) {
      for (const { key } of await this.#all()) if (!given.has(key)) changes.push({ kind: USER_KIND, key, body: null });
      counts.removed = changes.length - counts.added - counts.updated;
    }
    if (isDryRun) return { ...counts, revision: null, nodes: [] };
    if (changes.length === 0) return { ...counts, revision: directory.place.revision, nodes: [] };
    this.#checkRoom(counts.added - counts.removed);
    if (changes.length > DOCUMENT_CHANGES_MAX)
      throw new FluxError(
        'too-large',
        `One import changes at most ${DOCUMENT_CHANGES_MAX} users, and this one would change ${changes.length}`,
      );
    await this.#fill(changes, given);
    return { ...counts, ...(await this.#options.documents.commit(changes, 'import', context)) };
  }

  async history(limit: number, before: number | undefined): Promise<UserHistoryAnswer> {
    const { store } = this.#options;
    const commits = await store.commits(limit, before, USER_KIND);
    const answer: UserHistoryAnswer = [];
    for (const { at, ...commit } of commits) {
      const steps = (await store.steps(commit.revision, -1, STEPS_SHOWN)).filter(({ kind }) => kind === USER_KIND);
      answer.push({ ...commit, at: new Date(at).toISOString(), changes: steps.map((step) => this.#shownStep(step)) });
    }
    return answer;
  }

  async rollback(body: unknown, context: RequestContext): Promise<ImportUsersAnswer> {
    const { revision, isDryRun } = readRollback(body);
    const { store, directory, follower } = this.#options;
    await follower.follow();
    const counts = { added: 0, updated: 0, removed: 0, unchanged: 0 };
    const changes: DocumentChange[] = [];
    // The store gives documents in the order of their kinds.
    let after: Pick<DocumentChange, 'kind' | 'key'> | null = { kind: USER_KIND, key: '' };
    do {
      const page: DocumentChange[] = await store.former(revision, after, PAGE_ROWS);
      for (const { kind, key, body: former } of page) {
        if (kind !== USER_KIND) break;
        const known = directory.get(userIdOf(key));
        const old = former === null ? null : directory.unseal(key, former);
        if (old === null && known === null) continue;
        if (old !== null && known !== null && toUserBody(old) === toUserBody(known.user)) continue;
        counts[old === null ? 'removed' : known === null ? 'added' : 'updated']++;
        changes.push({ kind, key, body: former, expected: known?.revision ?? 0 });
      }
      after = page.length < PAGE_ROWS || page.at(-1)!.kind !== USER_KIND ? null : page.at(-1)!;
    } while (after !== null);
    if (isDryRun) return { ...counts, revision: null, nodes: [] };
    if (changes.length === 0) return { ...counts, revision: directory.place.revision, nodes: [] };
    if (changes.length > DOCUMENT_CHANGES_MAX)
      throw new FluxError(
        'too-large',
        `One change is about at most ${DOCUMENT_CHANGES_MAX} users, and this one would be about ${changes.length}`,
      );
    return { ...counts, ...(await this.#options.documents.commit(changes, 'rollback', context)) };
  }

  async #change(user: DirectoryUser, expected: number, action: 'add' | 'update', context: RequestContext): Promise<UserChangeAnswer> {
    const change = { kind: USER_KIND, key: userKey(user), body: this.#options.directory.seal(toUserBody(user)), expected };
    const { revision, nodes } = await this.#options.documents.commit([change], action, context).catch((error: unknown) => {
      if (!(error instanceof FluxError) || error.kind !== 'exists') throw error;
      const message = `There is a user ${user.name} already`;
      throw new FluxError('exists', message, { issues: [{ path: user.by, message: 'exists already' }] });
    });
    return { user: { ...toPublicUser(user), revision }, revision, nodes };
  }

  #readId(given: unknown): UserId {
    const problems = new Problems();
    const id = isObject(given) ? readUserId(given, '', problems) : null;
    problems.throwIfAny('user');
    if (id === null) throw new FluxError('invalid', 'Invalid user: expected an object');
    return id;
  }

  #read(body: unknown, old: DirectoryUser | null): GivenUser {
    const problems = new Problems();
    const given = readUser(isObject(body) ? withoutOptions(body) : body, '', problems, old);
    problems.throwIfAny('user');
    if (given === null) throw new Error('a user without problems must be readable');
    return given;
  }

  #known(id: UserId): KnownUser {
    const known = this.#options.directory.get(id);
    if (known === null) throw new FluxError('not-found', `There is no user ${id.name} in namespace ${id.namespace}`);
    return known;
  }

  #checkRoom(more: number): void {
    const total = this.#options.directory.total + more;
    if (more > 0 && total > USERS_MAX)
      throw new FluxError('too-large', `There would be ${total} users; a cluster keeps at most ${USERS_MAX}`);
  }

  async #readImport(body: unknown): Promise<{ given: Map<string, GivenUser>; isReplacing: boolean; isDryRun: boolean }> {
    const { users, mode = 'merge', dryRun = false, reason, ...unknown } = isObject(body) ? body : {};
    const problems = new Problems();
    for (const key of Object.keys(unknown)) problems.addUnknownKey(key);
    if (mode !== 'merge' && mode !== 'replace') problems.add('mode', 'must be merge or replace');
    if (typeof dryRun !== 'boolean') problems.add('dryRun', 'must be true or false');
    if (!Array.isArray(users)) problems.add('users', 'must be a list');
    const given = new Map<string, GivenUser>();
    const pace = new Pace();
    let passwords = 0;
    for (const [index, entry] of (Array.isArray(users) ? users : []).entries()) {
      if (pace.isOver) await pace.next();
      const one = readUser(isObject(entry) ? withoutOptions(entry) : entry, `users.${index}`, problems, null);
      if (problems.issues.length >= PROBLEMS_MAX) break;
      if (one === null) continue;
      if (one.password !== null) passwords++;
      const key = userKey(one.user);
      if (given.has(key)) problems.add(`users.${index}`, `names ${one.user.name} for the second time`);
      given.set(key, one);
    }
    if (passwords > IMPORT_PASSWORDS_MAX)
      problems.add(
        'users',
        `has ${passwords} passwords in clear text; an import takes at most ${IMPORT_PASSWORDS_MAX}, and any number of hashes`,
      );
    problems.throwIfAny('import');
    return { given, isReplacing: mode === 'replace', isDryRun: dryRun === true };
  }

  /** Hashes passwords, and seals the bodies. */
  async #fill(changes: DocumentChange[], given: ReadonlyMap<string, GivenUser>): Promise<void> {
    const { directory } = this.#options;
    const pace = new Pace();
    const clear = changes.filter(({ key }) => given.get(key)?.password != null).values();
    const work = async (): Promise<void> => {
      for (const { key } of clear) given.get(key)!.user.hash = (await hashed(given.get(key)!)).hash;
    };
    await Promise.all(Array.from({ length: HASHES_AT_ONCE }, work));
    for (const change of changes) {
      if (pace.isOver) await pace.next();
      if (change.body !== null) change.body = directory.seal(toUserBody(given.get(change.key)!.user));
    }
  }

  async #all(): Promise<{ key: string }[]> {
    const { directory } = this.#options;
    const keys: { key: string }[] = [];
    const pace = new Pace();
    for (let place: ListPlace | null = null, isFirst = true; isFirst || place !== null; isFirst = false) {
      const { users, last } = directory.list('', undefined, place, PAGE_ROWS);
      keys.push(...users.map(({ user }) => ({ key: userKey(user) })));
      place = last;
      if (pace.isOver) await pace.next();
    }
    return keys;
  }

  #shownStep({ key, revision, body, before }: DocumentStep): UserHistoryAnswer[number]['changes'][number] {
    const { directory } = this.#options;
    const { namespace, by, name } = userIdOf(key);
    const [old, now] = [before, body].map((text) => (text === null ? null : directory.unseal(key, text)));
    const show = (user: DirectoryUser | null | undefined) => (user == null ? null : { ...toPublicUser(user), revision });
    return { id: `${namespace}/${by}/${name}`, before: show(old), after: show(now), password: now != null && now.hash !== old?.hash };
  }
}

function shown({ user, revision }: KnownUser): UserView {
  return { ...toPublicUser(user), revision };
}

/** Keys of a request, or of a file made by an export, that are no part of a user. */
function withoutOptions({ reason, revision, ...body }: Record<string, unknown>): Record<string, unknown> {
  return body;
}

/** Takes `kick` out of a request about one user. @throws FluxError `invalid` */
function readKick(body: unknown): { isKicking: boolean; keys: unknown } {
  if (!isObject(body)) return { isKicking: false, keys: body };
  const { kick = false, ...keys } = body;
  const problems = new Problems();
  if (typeof kick !== 'boolean') problems.add('kick', 'must be true or false');
  problems.throwIfAny('user');
  return { isKicking: kick === true, keys };
}

function checkExpected(known: KnownUser, { expectedRevision }: RequestContext): void {
  if (expectedRevision === null || expectedRevision === known.revision) return;
  throw new FluxError('revision-mismatch', `The user is at revision ${known.revision}, not ${expectedRevision}`, { data: shown(known) });
}

async function hashed({ user, password }: GivenUser): Promise<DirectoryUser> {
  return password === null ? user : { ...user, hash: await makeHash('argon2id', password) };
}

function readRollback(body: unknown): { revision: number; isDryRun: boolean } {
  const { revision, dryRun = false, reason, ...unknown } = isObject(body) ? body : {};
  const problems = new Problems();
  for (const key of Object.keys(unknown)) problems.addUnknownKey(key);
  if (!Number.isSafeInteger(revision) || (revision as number) < 0) problems.add('revision', 'must be a whole number, 0 or more');
  if (typeof dryRun !== 'boolean') problems.add('dryRun', 'must be true or false');
  problems.throwIfAny('rollback');
  return { revision: revision as number, isDryRun: dryRun === true };
}
