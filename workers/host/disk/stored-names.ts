/**
 * Under which client name messages.db stores the rows of a session, and which rows belong to no session any more.
 *
 * A session may have 100,000 subscriptions and a million messages: to delete or write all of them at once would hold up the thread. The
 * row of the session itself goes first, in the commit that confirms the end; its other rows are leftovers, which later commits delete.
 * A session that begins under the same name before that stores its rows under another name. The rows of a session that is written in
 * pieces count as leftovers until the last piece: a start after kill -9 finds the whole session or nothing.
 */

import type Database from 'better-sqlite3';
import { sessionKey } from '../../shared/session/keys.ts';

/** No client identifier contains it [MQTT-1.5.4-2]. */
const SEPARATOR = '\0';
const PUT_LEFTOVER = 'INSERT OR REPLACE INTO leftover VALUES (?, ?)';
const DELETE_LEFTOVER = 'DELETE FROM leftover WHERE namespace = ? AND name = ?';

type Run = (sql: string, ...values: unknown[]) => number;

interface Leftover {
  readonly namespace: string;
  readonly name: string;
}

export class StoredNames {
  readonly #run: Run;
  /** sessionKey() → name, only for sessions whose rows have another name than their client identifier */
  readonly #names = new Map<string, string>();
  /** rows to be deleted, by sessionKey() of the name */
  readonly #leftovers = new Map<string, Leftover>();
  /** names of sessions that are written in pieces */
  readonly #unfinished = new Set<string>();

  /** Rows of sessions that an earlier process has not finished are leftovers. @param run writes as part of the open transaction */
  constructor(db: Database.Database, run: Run) {
    this.#run = run;
    for (const { namespace, client, name } of db
      .prepare<[], Leftover & { client: string }>('SELECT namespace, client, name FROM stored_as')
      .all())
      this.#names.set(sessionKey(namespace, client), name);
    for (const leftover of db.prepare<[], Leftover>('SELECT namespace, name FROM leftover').all())
      this.#leftovers.set(sessionKey(leftover.namespace, leftover.name), leftover);
  }

  /** The value of the column `client` in the rows of a session. */
  of(namespace: string, clientId: string): string {
    return this.#names.size === 0 ? clientId : (this.#names.get(sessionKey(namespace, clientId)) ?? clientId);
  }

  /** True when the session has rows that no session owns: an earlier process has not finished it, or it is not there. */
  isLeftover(namespace: string, clientId: string): boolean {
    return this.#leftovers.size > 0 && this.#leftovers.has(sessionKey(namespace, this.of(namespace, clientId)));
  }

  /** True between begin() and finish(). */
  isUnfinished(namespace: string, clientId: string): boolean {
    return this.#unfinished.size > 0 && this.#unfinished.has(sessionKey(namespace, this.of(namespace, clientId)));
  }

  /** Makes sure that a session that begins finds no row of an earlier one under its name. */
  claim(namespace: string, clientId: string): void {
    if (!this.isLeftover(namespace, clientId)) return;
    let name = clientId;
    for (let count = 1; this.#leftovers.has(sessionKey(namespace, name)); count++) name = clientId + SEPARATOR + count;
    this.#forget(namespace, clientId);
    if (name === clientId) return;
    this.#names.set(sessionKey(namespace, clientId), name);
    this.#run('INSERT OR REPLACE INTO stored_as VALUES (?, ?, ?)', namespace, clientId, name);
  }

  /** The session that begins is written in pieces until finish(). */
  begin(namespace: string, clientId: string): void {
    this.claim(namespace, clientId);
    const name = this.of(namespace, clientId);
    this.#unfinished.add(sessionKey(namespace, name));
    this.#run(PUT_LEFTOVER, namespace, name);
  }

  /** All pieces are written; nothing happens when the session was not written in pieces. */
  finish(namespace: string, clientId: string): void {
    const name = this.of(namespace, clientId);
    if (this.#unfinished.delete(sessionKey(namespace, name))) this.#run(DELETE_LEFTOVER, namespace, name);
  }

  /** The session has ended, and its own row is gone. @param isClean no other row is left */
  end(namespace: string, clientId: string, isClean: boolean): void {
    const name = this.of(namespace, clientId);
    const key = sessionKey(namespace, name);
    this.#forget(namespace, clientId);
    if (isClean) {
      if (this.#unfinished.delete(key)) this.#run(DELETE_LEFTOVER, namespace, name);
      return;
    }
    this.#leftovers.set(key, { namespace, name });
    if (!this.#unfinished.delete(key)) this.#run(PUT_LEFTOVER, namespace, name);
  }

  #forget(namespace: string, clientId: string): void {
    if (this.#names.delete(sessionKey(namespace, clientId)))
      this.#run('DELETE FROM stored_as WHERE namespace = ? AND client = ?', namespace, clientId);
  }

  /** A name with leftovers; undefined: nothing is left over. */
  next(): Leftover | undefined {
    return this.#leftovers.size === 0 ? undefined : this.#leftovers.values().next().value;
  }

  /** Nothing is left under the name. */
  cleaned({ namespace, name }: Leftover): void {
    this.#leftovers.delete(sessionKey(namespace, name));
    this.#run(DELETE_LEFTOVER, namespace, name);
  }
}
