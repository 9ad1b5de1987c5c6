/** Durable sessions, their undelivered messages, and retained messages in one SQLite file, written in groups. */

import { mkdirSync } from 'node:fs';
import type Database from 'better-sqlite3';
import { type ClockNote, LastingClock, NOTE_AGE_MS } from '../../../src/kernel/lasting-clock.ts';
import { beat } from '../../../src/thread/heartbeat.ts';
import type { StoreCause } from '../../../src/thread/store-state.ts';
import type { Message } from '../../shared/messages/message.ts';
import type { Stamp } from '../../shared/messages/stamp.ts';
import { subscriptionKey } from '../../shared/session/session.ts';
import type { DeliveryName, WireDelivery, WireSession, WireSubscription } from '../../shared/wire/controls.ts';
import type { RetainedDisk } from '../retained/store.ts';
import {
  type DeliveryRow,
  decodeState,
  decodeSubscription,
  encodeState,
  encodeSubscription,
  fromDeliveryRow,
  fromRetainedRow,
  type RetainedRow,
  type SessionState,
  toDeliveryRow,
  toRetainedRow,
} from './codec.ts';
import { openMessages } from './open.ts';
import type { Recoverable } from './recovery.ts';
import { Reserve } from './reserve.ts';
import { claimStart, nextStart, PUT_START } from './start-counter.ts';
import { StoredNames } from './stored-names.ts';
import { type GroupOutcome, WriteGroup } from './write-group.ts';

/** The columns of the unique index `delivery_of`. */
const ONE_DELIVERY = `WHERE namespace = ? AND client = ? AND source = ? AND serial = ?
  AND ifnull(share_filter, '') = ? AND ifnull(share_name, '') = ?`;
/** The peer number of a message that the disk has numbered itself. */
const NUMBERED_BY_DISK = -1;
/** Age of the stored time (ms) from which other writes renew it. */
const BUSY_NOTE_AGE_MS = 1_000;
/** Deliveries that are read between two heartbeats. */
const ROWS_PER_BEAT = 1_000;
/** Rows of an ended session that one step deletes, within a millisecond. */
const ROWS_AT_ONCE = 250;
/** The tables with the rows of a session, and the column that tells these apart. */
const ROWS = [
  ['subscription', 'key'],
  ['delivery', 'row'],
  ['received', 'packet_id'],
] as const;
const PUT_SESSION = 'INSERT OR REPLACE INTO session VALUES (?, ?, ?)';
const PUT_SUBSCRIPTION = 'INSERT OR REPLACE INTO subscription VALUES (?, ?, ?, ?)';

/**
 * All calls are synchronous and belong to one open transaction, which `commit` makes durable. Callers use steadyNow() for moments; the file
 * uses a clock that outlives the process.
 */
export class MessageDisk implements RetainedDisk, Recoverable {
  readonly #db: Database.Database;
  readonly #group: WriteGroup;
  readonly #clock: LastingClock;
  readonly #names: StoredNames;
  /** disk space reserved for a full disk */
  readonly reserve: Reserve;
  /** Called when writes start to fail. */
  onFailed: (cause: StoreCause) => void = () => {};
  /** Called for each change that is dropped because too many wait. */
  onLost: () => void = () => {};
  /** Called for a message whose number belongs to a different stored message. */
  onConflict: (namespace: string, clientId: string, topic: string) => void = () => {};

  /**
   * @param dataPath folder; made when missing
   * @param clockOf makes the clock that continues from the stored note
   * @throws when a newer version wrote the file
   */
  constructor(dataPath: string, clockOf = (note: ClockNote | null) => new LastingClock(note)) {
    mkdirSync(dataPath, { recursive: true, mode: 0o700 });
    this.reserve = new Reserve(dataPath);
    this.#db = openMessages(dataPath, this.reserve);
    this.#group = new WriteGroup(this.#db, { onFailed: (cause) => this.onFailed(cause), onLost: () => this.onLost() });
    this.#clock = clockOf(this.#db.prepare<[], ClockNote>('SELECT lasting, wall FROM clock').get() ?? null);
    this.#names = new StoredNames(this.#db, (sql, ...values) => this.#run(sql, ...values));
  }

  /**
   * Counts this start of the program durably. When the file cannot be written, the count is stored together with the first message that is.
   * @returns the number of this start; no message on disk carries a number of this start
   */
  claimStart(): number {
    try {
      return claimStart(this.#db);
    } catch (error) {
      const start = nextStart(this.#db);
      this.#group.fail(error);
      this.#group.run(PUT_START, [start]);
      return start;
    }
  }

  #run(sql: string, ...values: unknown[]): number {
    return this.#group.run(sql, values);
  }

  #statement(sql: string): Database.Statement<unknown[]> {
    return this.#group.statement(sql);
  }

  /** True when something was written since the last commit. */
  get isDirty(): boolean {
    return this.#group.isDirty;
  }

  commit(): GroupOutcome {
    // Together with another write the note costs almost nothing.
    if (this.#group.isDirty) this.#keepTime(BUSY_NOTE_AGE_MS);
    return this.#group.commit();
  }

  /** True: later writes are given up when they cannot be stored, and their publisher gets an error. */
  set isRefusable(isRefusable: boolean) {
    this.#group.isRefusable = isRefusable;
  }

  /** Separates later writes from earlier ones. */
  endPart(): void {
    this.#group.endPart();
  }

  retry(): StoreCause | null {
    return this.#group.retry(() => this.checkpoint());
  }

  suspend(): void {
    this.#group.suspend();
  }

  resume(): void {
    this.#group.resume();
  }

  checkpoint(): void {
    try {
      this.#db.pragma('wal_checkpoint(TRUNCATE)');
    } catch {
      // The next write reports the error.
    }
  }

  get freeBytes(): number {
    const pages = (name: string) => this.#db.pragma(name, { simple: true }) as number;
    return pages('freelist_count') * pages('page_size');
  }

  /**
   * Writes the note from which the next process computes the elapsed time. Call it every second or more often.
   * @returns false when there is nothing to write
   */
  keepTime(): boolean {
    return this.#keepTime(NOTE_AGE_MS);
  }

  #keepTime(ageMs: number): boolean {
    // While writes fail, notes would only accumulate.
    const note = this.#group.isFailing ? null : this.#clock.due(ageMs);
    if (note === null) return false;
    this.#run('INSERT OR REPLACE INTO clock VALUES (1, ?, ?)', note.lasting, note.wall);
    this.#clock.keep(note);
    return true;
  }

  putSession(state: SessionState): void {
    this.#names.claim(state.namespace, state.clientId);
    const kept = { ...state, disconnectedAt: this.#clock.toLasting(state.disconnectedAt) };
    this.#run(PUT_SESSION, state.namespace, state.clientId, encodeState(kept));
  }

  /** The session that begins comes in pieces, in several commits. A start before finishSession() does not find it. */
  beginSession(namespace: string, clientId: string): void {
    this.#names.begin(namespace, clientId);
  }

  /** All pieces of the session are written. */
  finishSession(namespace: string, clientId: string): void {
    this.#names.finish(namespace, clientId);
  }

  /** Deletes a session: some of its rows at once, the others with cleanSome(). No session has these rows any more. */
  deleteSession(namespace: string, clientId: string): void {
    this.#run('DELETE FROM session WHERE namespace = ? AND client = ?', namespace, clientId);
    this.#names.end(namespace, clientId, this.#deleteSome(namespace, this.#names.of(namespace, clientId)));
  }

  /** Deletes some rows of sessions that have ended. @returns true when more are left */
  cleanSome(): boolean {
    const leftover = this.#names.next();
    if (leftover === undefined) return false;
    if (this.#deleteSome(leftover.namespace, leftover.name)) this.#names.cleaned(leftover);
    return this.hasLeftovers;
  }

  /** True when rows of ended sessions wait for cleanSome(). */
  get hasLeftovers(): boolean {
    return this.#names.next() !== undefined;
  }

  /** @returns true when no row is left under the name */
  #deleteSome(namespace: string, name: string): boolean {
    // Rows that wait for their deletion keep room that a full disk needs.
    const most = this.#group.isFailing ? -1 : ROWS_AT_ONCE;
    let room = most;
    for (const [table, key] of ROWS) {
      const some = `SELECT ${key} FROM ${table} WHERE namespace = ? AND client = ? LIMIT ?`;
      const sql = `DELETE FROM ${table} WHERE namespace = ? AND client = ? AND ${key} IN (${some})`;
      const count = this.#run(sql, namespace, name, namespace, name, room);
      if (most === -1) continue;
      room -= count;
      // The number of changed rows is meaningless when the change could not be made.
      if (room <= 0 || this.#group.isFailing) return false;
    }
    return true;
  }

  putSubscription(namespace: string, clientId: string, subscription: WireSubscription): void {
    this.#run(
      PUT_SUBSCRIPTION,
      namespace,
      this.#names.of(namespace, clientId),
      subscriptionKey(subscription),
      encodeSubscription(subscription),
    );
  }

  /** @param key result of subscriptionKey() */
  deleteSubscription(namespace: string, clientId: string, key: string): void {
    this.#run(
      'DELETE FROM subscription WHERE namespace = ? AND client = ? AND key = ?',
      namespace,
      this.#names.of(namespace, clientId),
      key,
    );
  }

  /** Stores a delivery. A repeated delivery, already stored, stays unchanged. */
  putDelivery(namespace: string, clientId: string, delivery: WireDelivery): void {
    const row = toDeliveryRow(delivery);
    const name = this.#names.of(namespace, clientId);
    if (this.#insert(namespace, name, row)) return;
    const known = this.#statement(`SELECT * FROM delivery ${ONE_DELIVERY}`).get(...nameOf(namespace, name, row)) as DeliveryRow;
    if (isSameMessage(known, row)) return;
    this.onConflict(namespace, clientId, delivery.message.topic);
    // No settlement names the new number, so a restart delivers the message once more, but does not lose it.
    const { next } = this.#statement('SELECT coalesce(max(row), 0) + 1 AS next FROM delivery').get() as { next: number };
    this.#insert(namespace, name, { ...row, source: NUMBERED_BY_DISK, serial: next });
  }

  /** False when a delivery of this name exists. */
  #insert(namespace: string, name: string, row: DeliveryRow): boolean {
    const changes = this.#run(
      'INSERT INTO delivery VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING',
      namespace,
      name,
      row.source,
      row.serial,
      row.packet_id,
      row.released,
      row.qos,
      row.retain,
      row.identifiers,
      row.share_filter,
      row.share_name,
      row.topic,
      row.message_qos,
      row.message_retain,
      row.forward,
      this.#clock.toLasting(row.expires_at),
      row.payload,
    );
    return changes > 0;
  }

  /** False when the delivery does not exist (yet). */
  setPacketId(namespace: string, clientId: string, name: DeliveryName, packetId: number, isReleased: boolean): boolean {
    const sql = `UPDATE delivery SET packet_id = ?, released = ? ${ONE_DELIVERY}`;
    return this.#run(sql, packetId, Number(isReleased), ...this.#nameOf(namespace, clientId, name)) > 0;
  }

  /** False when the delivery does not exist (yet). */
  deleteDelivery(namespace: string, clientId: string, name: DeliveryName): boolean {
    return this.#run(`DELETE FROM delivery ${ONE_DELIVERY}`, ...this.#nameOf(namespace, clientId, name)) > 0;
  }

  putReceived(namespace: string, clientId: string, packetId: number): void {
    this.#run('INSERT INTO received VALUES (?, ?, ?) ON CONFLICT DO NOTHING', namespace, this.#names.of(namespace, clientId), packetId);
  }

  deleteReceived(namespace: string, clientId: string, packetId: number): void {
    this.#run(
      'DELETE FROM received WHERE namespace = ? AND client = ? AND packet_id = ?',
      namespace,
      this.#names.of(namespace, clientId),
      packetId,
    );
  }

  deleteAllReceived(namespace: string, clientId: string): void {
    this.#run('DELETE FROM received WHERE namespace = ? AND client = ?', namespace, this.#names.of(namespace, clientId));
  }

  putRetained(namespace: string, message: Message): void {
    const { topic, qos, forward, expires_at, sender, payload, endpoint, stamp, stamped_by } = toRetainedRow(message);
    const expiresAt = this.#clock.toLasting(expires_at);
    const sql = 'INSERT OR REPLACE INTO retained VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)';
    this.#run(sql, namespace, topic, qos, forward, expiresAt, sender, payload, endpoint, stamp, stamped_by);
  }

  deleteRetained(namespace: string, topic: string): void {
    this.#run('DELETE FROM retained WHERE namespace = ? AND topic = ?', namespace, topic);
  }

  putDeletion(namespace: string, topic: string, { at, by }: Stamp): void {
    this.#run('INSERT OR REPLACE INTO retained_deletion VALUES (?, ?, ?, ?)', namespace, topic, at, by);
  }

  dropDeletion(namespace: string, topic: string): void {
    this.#run('DELETE FROM retained_deletion WHERE namespace = ? AND topic = ?', namespace, topic);
  }

  /** Topics that have lost their messages. */
  *deletions(): IterableIterator<{ namespace: string; topic: string; stamp: Stamp }> {
    const all = this.#db.prepare<[], { namespace: string; topic: string; stamp: number; stamped_by: number }>(
      'SELECT * FROM retained_deletion',
    );
    for (const { namespace, topic, stamp, stamped_by } of all.iterate()) yield { namespace, topic, stamp: { at: stamp, by: stamped_by } };
  }

  *retained(): IterableIterator<{ namespace: string; message: Message }> {
    // Rows are read one by one: otherwise all messages would be in memory twice.
    for (const row of this.#db.prepare<[], RetainedRow & { namespace: string }>('SELECT * FROM retained').iterate())
      yield { namespace: row.namespace, message: fromRetainedRow(this.#inSteady(row)) };
  }

  /** Names of all durable sessions. Deletes sessions that an earlier process has not finished, so call it before the first session begins. */
  sessions(): { namespace: string; client: string }[] {
    const all = this.#db.prepare<[], { namespace: string; client: string }>('SELECT namespace, client FROM session').all();
    return all.filter(({ namespace, client }) => {
      if (!this.#names.isLeftover(namespace, client)) return true;
      this.deleteSession(namespace, client);
      return false;
    });
  }

  /** True between beginSession() and finishSession(). */
  isUnfinished(namespace: string, clientId: string): boolean {
    return this.#names.isUnfinished(namespace, clientId);
  }

  /** A session in its stored state, including the writes of the open transaction; null when unknown. */
  load(namespace: string, clientId: string): WireSession | null {
    const name = this.#names.of(namespace, clientId);
    const row = this.#statement('SELECT state FROM session WHERE namespace = ? AND client = ?').get(namespace, clientId) as
      | { state: string }
      | undefined;
    if (row === undefined) return null;
    const state = decodeState(row.state);
    state.disconnectedAt = this.#clock.toSteady(state.disconnectedAt);
    const of = 'WHERE namespace = ? AND client = ?';
    const deliveries: WireDelivery[] = [];
    const rows = this.#statement(`SELECT * FROM delivery ${of} ORDER BY packet_id = 0, row`).iterate(namespace, name);
    for (const row of rows as IterableIterator<DeliveryRow>) {
      // One session may have a million deliveries. Main waits for a start as long as heartbeats come.
      if (deliveries.push(fromDeliveryRow(this.#inSteady(row))) % ROWS_PER_BEAT === 0) beat();
    }
    const received = this.#statement(`SELECT packet_id FROM received ${of}`).all(namespace, name) as { packet_id: number }[];
    const kept = this.#statement(`SELECT subscription FROM subscription ${of}`).all(namespace, name) as { subscription: string }[];
    const subscriptions = kept.map((entry) => decodeSubscription(entry.subscription));
    return { ...state, subscriptions, deliveries, received: received.map((entry) => entry.packet_id) };
  }

  /** Values for ONE_DELIVERY. */
  #nameOf(namespace: string, clientId: string, delivery: DeliveryName): unknown[] {
    return nameOf(namespace, this.#names.of(namespace, clientId), toNameRow(delivery));
  }

  /** Converts the moment in a row that was just read to steady milliseconds. */
  #inSteady<Row extends { expires_at: number }>(row: Row): Row {
    row.expires_at = this.#clock.toSteady(row.expires_at);
    return row;
  }

  close(): void {
    this.keepTime();
    this.commit();
    // Failed writes get one more chance.
    if (this.#group.isFailing) this.retry();
    this.#db.close();
  }
}

type NameRow = Pick<DeliveryRow, 'source' | 'serial' | 'share_filter' | 'share_name'>;

function toNameRow({ source, serial, group }: DeliveryName): NameRow {
  return { source, serial, share_filter: group?.filter ?? null, share_name: group?.name ?? null };
}

/** Values for ONE_DELIVERY. @param client value of the column */
function nameOf(namespace: string, client: string, row: NameRow): unknown[] {
  return [namespace, client, row.source, row.serial, row.share_filter ?? '', row.share_name ?? ''];
}

function isSameMessage(known: DeliveryRow, row: DeliveryRow): boolean {
  return (
    known.topic === row.topic &&
    known.message_qos === row.message_qos &&
    Buffer.compare(known.payload, row.payload) === 0 &&
    Buffer.compare(known.forward, row.forward) === 0
  );
}
