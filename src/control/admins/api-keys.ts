/** Changes API keys in the store, reports them, and writes down when they were used. */

import { randomBytes, timingSafeEqual } from 'node:crypto';
import type { ApiKeyChangeAnswer, KeysAnswer, KeyView, NewKeyAnswer } from '../../answers/admins.ts';
import { API_KEYS_MAX, type ApiKey, apiKeyHash, apiKeyText, readApiKey, readApiKeyText, readName } from '../../endpoint/admins/admin.ts';
import { isObject, Problems } from '../../endpoint/problems.ts';
import { wallNow } from '../../kernel/clock.ts';
import { pause } from '../../kernel/deadline.ts';
import { FluxError } from '../../kernel/errors.ts';
import type { DocumentStore } from '../../storage/documents/document-store.ts';
import type { KeyRequests } from '../contract/access/admin-requests.ts';
import type { RequestContext } from '../contract/request-parts.ts';
import type { DocumentChanges } from '../documents/document-changes.ts';
import type { DocumentFollower } from '../documents/follower.ts';
import type { NamedDocuments } from './named-documents.ts';

export interface ApiKeysOptions {
  stored: NamedDocuments<ApiKey>;
  store: DocumentStore;
  follower: DocumentFollower;
  documents: DocumentChanges;
  node: string;
}

const SECRET_BYTES = 32;
/** A use is written down when the one that was written is older. */
const USED_EVERY_MS = 3_600_000;
const LOOK_EVERY_MS = 60_000;

export class ApiKeys implements KeyRequests {
  readonly #options: ApiKeysOptions;
  /** by name of the key: wall milliseconds of its last use on this node, since it was written down */
  readonly #uses = new Map<string, number>();
  readonly #closing = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(options: ApiKeysOptions) {
    this.#options = options;
  }

  list(): KeysAnswer {
    return { keys: this.#options.stored.list().map(({ value }) => this.#toView(value)) };
  }

  async add(body: unknown, context: RequestContext): Promise<NewKeyAnswer> {
    const { stored, documents } = this.#options;
    const problems = new Problems();
    const { reason, ...rest } = isObject(body) ? body : {};
    const given = readApiKey(rest, problems, context.actor, wallNow());
    problems.throwIfAny('key');
    if (given === null) throw new Error('a key without problems must be readable');
    if (stored.total >= API_KEYS_MAX) throw new FluxError('too-large', `A cluster keeps at most ${API_KEYS_MAX} keys`);
    const secret = randomBytes(SECRET_BYTES).toString('base64url');
    const value: ApiKey = { ...given, hash: apiKeyHash(secret) };
    try {
      const done = await documents.commit([stored.put(value, 0)], 'add', context);
      return { key: apiKeyText(value.name, secret), about: this.#toView(value), ...done };
    } catch (error) {
      if (!(error instanceof FluxError) || error.kind !== 'exists') throw error;
      throw new FluxError('exists', `There is a key ${value.name} already`, { issues: [{ path: 'name', message: 'exists already' }] });
    }
  }

  async remove(body: unknown, context: RequestContext): Promise<ApiKeyChangeAnswer> {
    const { stored, documents } = this.#options;
    const problems = new Problems();
    const name = readName(isObject(body) ? body['name'] : undefined, 'name', problems) ?? '';
    problems.throwIfAny('key');
    // A use that another node writes down at the same time must not keep the key alive.
    return documents.attempt({ ...context, expectedRevision: null }, async () => {
      const known = stored.get(name);
      if (known === null) throw new FluxError('not-found', `There is no key ${name}`);
      this.#uses.delete(name);
      return documents.commit([stored.removal(name, known.revision)], 'remove', context);
    });
  }

  /** See AdminLogins.useKey(). */
  use(text: string): Pick<ApiKey, 'name' | 'role'> | null {
    const given = readApiKeyText(text);
    const known = given === null ? null : this.#options.stored.get(given.name);
    if (given === null || known === null) return null;
    const { hash, until, name, role } = known.value;
    const isRight = timingSafeEqual(Buffer.from(apiKeyHash(given.secret)), Buffer.from(hash));
    const now = wallNow();
    if (!isRight || (until !== null && until <= now)) return null;
    this.#uses.set(name, now);
    return { name, role };
  }

  /** Begins to write down uses. */
  start(): void {
    this.#running = this.#writeUses();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
  }

  #toView({ name, role, comment, until, author, at, usedAt }: ApiKey): KeyView {
    const used = Math.max(usedAt ?? 0, this.#uses.get(name) ?? 0);
    const text = (moment: number) => new Date(moment).toISOString();
    return {
      name,
      role,
      comment,
      until: until === null ? null : text(until),
      author,
      at: text(at),
      usedAt: used === 0 ? null : text(used),
    };
  }

  async #writeUses(): Promise<void> {
    const { stored, store, follower, node } = this.#options;
    const { signal } = this.#closing;
    while (!signal.aborted) {
      await pause(LOOK_EVERY_MS, signal);
      for (const [name, usedAt] of this.#uses) {
        if (signal.aborted) return;
        try {
          const known = stored.get(name);
          if (known === null || usedAt - (known.value.usedAt ?? 0) < USED_EVERY_MS) continue;
          const meta = { action: 'update', actor: 'system', source: 'node', node, requestId: '', reason: 'the key was used' } as const;
          await store.commit([stored.put({ ...known.value, usedAt }, known.revision)], meta);
          this.#uses.delete(name);
          await follower.follow();
        } catch {
          // The store is away, or another node was first: the next look tries again.
        }
      }
    }
  }
}
