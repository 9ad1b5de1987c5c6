/**
 * The audit of requests (docs/audit.md). Entries wait in memory and are written together, soon after their requests: a store that is slow or
 * away neither delays nor fails a request. Entries beyond the room are lost and counted.
 */

import type { AuditAnswer, AuditView } from '../../answers/audit.ts';
import { wallNow } from '../../kernel/clock.ts';
import { Deadline, pause } from '../../kernel/deadline.ts';
import { messageOf } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import { Pace } from '../../kernel/turns/pace.ts';
import type { DocumentChange, DocumentStore } from '../../storage/documents/document-store.ts';
import type { CopiedDocument, DocumentCopy, ListPlace } from '../../storage/local/document-copy.ts';
import type { AuditQuery, AuditRequests, NewAuditRecord } from '../contract/access/audit-requests.ts';
import type { DocumentFollower } from '../documents/follower.ts';
import { readPlace, writePlace } from '../documents/words.ts';
import { AUDIT_KINDS, type AuditKind, type AuditRecord, aboutOf, auditKey, auditWord, momentOfWord } from './entry.ts';
import { RefusalWindow, WINDOW_MS } from './refusal-window.ts';

export interface AuditOptions {
  store: DocumentStore;
  copy: DocumentCopy;
  follower: DocumentFollower;
  /** 0: nothing is audited */
  keepDays: number;
  node: string;
  logger: Logger;
}

/** Time in which entries come together. */
const GATHER_MS = 300;
const RETRY_MS = 5_000;
const WRITTEN_AT_ONCE = 500;
/** Entries that wait for the store. */
const WAITING_MAX = 10_000;
/** Longest wait of a stop for the last entries. */
const LAST_MS = 2_000;
/** Entries of a cluster. */
const KEPT_MAX: Record<AuditKind, number> = { done: 100_000, refused: 10_000 };
const DAY_MS = 86_400_000;
/** Times between two looks for old entries. They differ, so that the nodes of a cluster do not all write at once. */
const TRIM_EVERY_MS = { least: 300_000, spread: 600_000 };
const PAGE = 500;
/** Entries that one list looks at. */
const LOOKED_AT_MAX = 20_000;

export class Audit implements AuditRequests {
  readonly #options: AuditOptions;
  readonly #waiting: { kind: AuditKind; record: AuditRecord }[] = [];
  readonly #refusals = new RefusalWindow((record) => this.#add('refused', record));
  readonly #closing = new AbortController();
  #writing: Promise<void> | null = null;
  #running: Promise<unknown> = Promise.resolve();
  #sequence = 0;
  #lost = 0;
  #isAway = false;

  constructor(options: AuditOptions) {
    this.#options = options;
  }

  /** Entries that were lost since the start. */
  get lost(): number {
    return this.#lost;
  }

  note({ given, ...request }: NewAuditRecord): void {
    if (this.#options.keepDays === 0) return;
    const record: AuditRecord = { ...request, at: wallNow(), node: this.#options.node, about: aboutOf(given), count: 1 };
    if (record.error === null) this.#add('done', record);
    else this.#refusals.note(record);
  }

  async list(query: AuditQuery): Promise<AuditAnswer> {
    const { copy, follower } = this.#options;
    // Other nodes do not announce their entries. Without the store, the copy shows what is known.
    await follower.follow().catch(() => {});
    const { since = 0, until, after, limit } = query;
    let place: ListPlace | null = null;
    if (after !== undefined) place = readPlace(after);
    else if (until !== undefined) place = { word: auditWord(until), key: '' };
    const entries: AuditView[] = [];
    let isOver = false;
    for (let looked = 0; entries.length < limit && !isOver && looked < LOOKED_AT_MAX; looked += PAGE) {
      const page = newestOf(copy, place);
      for (const document of page) {
        if (momentOfWord(document.word) < since) isOver = true;
        if (isOver || entries.length === limit) break;
        place = { word: document.word, key: document.key };
        const record = JSON.parse(document.body) as AuditRecord;
        if (isMeant(record, query)) entries.push({ ...record, at: new Date(record.at).toISOString() });
      }
      if (page.length < PAGE && entries.length < limit) isOver = true;
    }
    return { entries, next: isOver || place === null ? null : writePlace(place), lost: this.#lost };
  }

  /** Begins to remove old entries, and to write down repeated refusals. */
  start(): void {
    if (this.#options.keepDays > 0) this.#running = Promise.all([this.#flushRefusals(), this.#trimNowAndThen()]);
  }

  async close(): Promise<void> {
    this.#refusals.flush();
    this.#closing.abort();
    await this.#running;
    if (this.#waiting.length > 0 || this.#writing !== null) await new Deadline(LAST_MS).reaches(this.#writing ?? this.#write());
  }

  #add(kind: AuditKind, record: AuditRecord): void {
    if (this.#waiting.length >= WAITING_MAX) {
      if (this.#lost++ === 0)
        this.#options.logger.error('Audit: entries are lost, because the store does not take them', { node: record.node });
      return;
    }
    this.#waiting.push({ kind, record });
    this.#writing ??= this.#write().finally(() => {
      this.#writing = null;
    });
  }

  async #write(): Promise<void> {
    const { store, follower, node, logger } = this.#options;
    const { signal } = this.#closing;
    while (this.#waiting.length > 0) {
      await pause(GATHER_MS, signal);
      const some = this.#waiting.slice(0, WRITTEN_AT_ONCE);
      const changes = some.map(({ kind, record }): DocumentChange => {
        return { kind: AUDIT_KINDS[kind], key: auditKey(record, this.#sequence++), body: JSON.stringify(record) };
      });
      try {
        await store.commit(changes, { action: 'add', actor: 'audit', source: 'node', node, requestId: '', reason: null });
        this.#waiting.splice(0, some.length);
        if (this.#isAway) logger.info('Audit: the store takes entries again', { waiting: this.#waiting.length });
        this.#isAway = false;
        if (!signal.aborted) await follower.follow().catch(() => {});
      } catch (error) {
        if (!this.#isAway) logger.warn('Audit: the store takes no entries, and they wait', { reason: messageOf(error) });
        this.#isAway = true;
        if (signal.aborted) return;
        await pause(RETRY_MS, signal);
      }
    }
  }

  async #flushRefusals(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      await pause(WINDOW_MS, signal);
      this.#refusals.flush();
    }
  }

  async #trimNowAndThen(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      await pause(TRIM_EVERY_MS.least + Math.random() * TRIM_EVERY_MS.spread, signal);
      try {
        for (const kind of ['done', 'refused'] as const) if (!signal.aborted) await this.#trim(kind);
      } catch {
        // Another node was first, or the store is away: the next look finds what is left.
      }
    }
  }

  /** Removes entries that are too old, and the oldest of too many. */
  async #trim(which: AuditKind): Promise<void> {
    const { copy, store, follower, node, keepDays } = this.#options;
    const kind = AUDIT_KINDS[which];
    const pace = new Pace();
    const oldest: ListPlace = { word: auditWord(wallNow() - keepDays * DAY_MS), key: '' };
    let place: ListPlace | null = oldest;
    if (copy.count(kind) > KEPT_MAX[which]) {
      place = null;
      for (let kept = 0; kept < KEPT_MAX[which]; kept += PAGE) {
        place = copy.list(kind, '', place, PAGE).at(-1) ?? place;
        if (pace.isOver) await pace.next();
      }
      if (place !== null && place.word > oldest.word) place = oldest;
    }
    for (;;) {
      const old: CopiedDocument[] = copy.list(kind, '', place, PAGE);
      if (old.length === 0 || this.#closing.signal.aborted) return;
      const changes = old.map(({ key }): DocumentChange => ({ kind, key, body: null }));
      try {
        await store.commit(changes, { action: 'remove', actor: 'audit', source: 'node', node, requestId: '', reason: 'old entries' });
      } finally {
        await follower.follow();
      }
    }
  }
}

/** The next entries of both kinds, newest first. */
function newestOf(copy: DocumentCopy, place: ListPlace | null): CopiedDocument[] {
  const both = Object.values(AUDIT_KINDS).flatMap((kind) => copy.list(kind, '', place, PAGE));
  return both.sort((one, other) => (one.word < other.word ? -1 : 1)).slice(0, PAGE);
}

function isMeant(record: AuditRecord, { actor, action, refused }: AuditQuery): boolean {
  if (actor !== undefined && actor !== record.actor) return false;
  if (action !== undefined && !record.action.includes(action)) return false;
  return refused === undefined || refused === (record.error !== null);
}
