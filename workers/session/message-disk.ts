/** Durable sessions, their undelivered messages and retained messages in one SQLite file, written in groups. */

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { type ClockNote, LastingClock } from '../../src/kernel/lasting-clock.ts';
import type { WireDelivery, WireSession, WireSubscription } from '../mesh/controls.ts';
import type { Message } from '../routing/message.ts';
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
} from './disk/codec.ts';
import { migrate } from './disk/schema.ts';
import type { RetainedDisk } from './retained-store.ts';
import { subscriptionKey } from './session.ts';

const PUT_SESSION = 'INSERT OR REPLACE INTO session VALUES (?, ?, ?)';
const PUT_SUBSCRIPTION = 'INSERT OR REPLACE INTO subscription VALUES (?, ?, ?, ?)';

/**
 * All calls are synchronous and belong to one open transaction; `commit` makes them durable. Moments are those of steadyNow() to the
 * callers, and of a clock that outlives the process in the file.
 */
export class MessageDisk implements RetainedDisk {
  readonly #db: Database.Database;
  readonly #statements = new Map<string, Database.Statement<unknown[]>>();
  readonly #clock: LastingClock;
  #isOpen = false;

  /**
   * @param dataPath folder; made when missing
   * @param clockOf the clock that goes on from what was kept of it
   * @throws when the file was written by a newer version
   */
  constructor(dataPath: string, clockOf = (note: ClockNote | null) => new LastingClock(note)) {
    mkdirSync(dataPath, { recursive: true });
    this.#db = new Database(join(dataPath, 'messages.db'));
    this.#db.pragma('journal_mode = WAL');
    this.#db.pragma('synchronous = FULL');
    migrate(this.#db);
    this.#clock = clockOf(this.#db.prepare<[], ClockNote>('SELECT lasting, wall FROM clock').get() ?? null);
  }

  #run(sql: string, ...values: unknown[]): number {
    if (!this.#isOpen) {
      this.#db.exec('BEGIN IMMEDIATE');
      this.#isOpen = true;
    }
    return this.#statement(sql).run(...values).changes;
  }

  #statement(sql: string): Database.Statement<unknown[]> {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare<unknown[]>(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  /** Something was written since the last commit. */
  get isDirty(): boolean {
    return this.#isOpen;
  }

  commit(): void {
    if (!this.#isOpen) return;
    this.#db.exec('COMMIT');
    this.#isOpen = false;
  }

  /**
   * Writes what the next process needs to know how much time has passed. To be called every second or more often.
   * @returns false: there is nothing to write
   */
  keepTime(): boolean {
    const note = this.#clock.due();
    if (note === null) return false;
    this.#run('INSERT OR REPLACE INTO clock VALUES (1, ?, ?)', note.lasting, note.wall);
    this.#clock.keep(note);
    return true;
  }

  putSession(state: SessionState): void {
    const kept = { ...state, disconnectedAt: this.#clock.toLasting(state.disconnectedAt) };
    this.#run(PUT_SESSION, state.namespace, state.clientId, encodeState(kept));
  }

  deleteSession(namespace: string, clientId: string): void {
    for (const table of ['session', 'subscription', 'delivery', 'received'])
      this.#run(`DELETE FROM ${table} WHERE namespace = ? AND client = ?`, namespace, clientId);
  }

  putSubscription(namespace: string, clientId: string, subscription: WireSubscription): void {
    this.#run(PUT_SUBSCRIPTION, namespace, clientId, subscriptionKey(subscription), encodeSubscription(subscription));
  }

  /** @param key see subscriptionKey() */
  deleteSubscription(namespace: string, clientId: string, key: string): void {
    this.#run('DELETE FROM subscription WHERE namespace = ? AND client = ? AND key = ?', namespace, clientId, key);
  }

  putDelivery(namespace: string, clientId: string, delivery: WireDelivery): void {
    const row = toDeliveryRow(delivery);
    this.#run(
      'INSERT OR IGNORE INTO delivery VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
      namespace,
      clientId,
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
  }

  /** False: there was none (yet). */
  setPacketId(namespace: string, clientId: string, source: number, serial: number, packetId: number, isReleased: boolean): boolean {
    const changes = this.#run(
      'UPDATE delivery SET packet_id = ?, released = ? WHERE namespace = ? AND client = ? AND source = ? AND serial = ?',
      packetId,
      Number(isReleased),
      namespace,
      clientId,
      source,
      serial,
    );
    return changes > 0;
  }

  /** False: there was none (yet). */
  deleteDelivery(namespace: string, clientId: string, source: number, serial: number): boolean {
    return (
      this.#run(
        'DELETE FROM delivery WHERE namespace = ? AND client = ? AND source = ? AND serial = ?',
        namespace,
        clientId,
        source,
        serial,
      ) > 0
    );
  }

  putReceived(namespace: string, clientId: string, packetId: number): void {
    this.#run('INSERT OR IGNORE INTO received VALUES (?, ?, ?)', namespace, clientId, packetId);
  }

  deleteReceived(namespace: string, clientId: string, packetId: number): void {
    this.#run('DELETE FROM received WHERE namespace = ? AND client = ? AND packet_id = ?', namespace, clientId, packetId);
  }

  putRetained(namespace: string, message: Message): void {
    const { topic, qos, forward, expires_at, sender, payload } = toRetainedRow(message);
    const expiresAt = this.#clock.toLasting(expires_at);
    this.#run('INSERT OR REPLACE INTO retained VALUES (?, ?, ?, ?, ?, ?, ?)', namespace, topic, qos, forward, expiresAt, sender, payload);
  }

  deleteRetained(namespace: string, topic: string): void {
    this.#run('DELETE FROM retained WHERE namespace = ? AND topic = ?', namespace, topic);
  }

  *retained(): IterableIterator<{ namespace: string; message: Message }> {
    const rows = this.#db.prepare<[], RetainedRow & { namespace: string }>('SELECT * FROM retained').all();
    for (const row of rows) yield { namespace: row.namespace, message: fromRetainedRow(this.#inSteady(row)) };
  }

  /** Names of all durable sessions. */
  sessions(): { namespace: string; client: string }[] {
    return this.#db.prepare('SELECT namespace, client FROM session').all() as { namespace: string; client: string }[];
  }

  /** A session as it was last kept, including what this transaction has written; null: not known. */
  load(namespace: string, clientId: string): WireSession | null {
    const row = this.#statement('SELECT state FROM session WHERE namespace = ? AND client = ?').get(namespace, clientId) as
      | { state: string }
      | undefined;
    if (row === undefined) return null;
    const state = decodeState(row.state);
    state.disconnectedAt = this.#clock.toSteady(state.disconnectedAt);
    const of = 'WHERE namespace = ? AND client = ?';
    const rows = this.#statement(`SELECT * FROM delivery ${of} ORDER BY packet_id = 0, row`).all(namespace, clientId) as DeliveryRow[];
    const received = this.#statement(`SELECT packet_id FROM received ${of}`).all(namespace, clientId) as { packet_id: number }[];
    const kept = this.#statement(`SELECT subscription FROM subscription ${of}`).all(namespace, clientId) as { subscription: string }[];
    const subscriptions = kept.map((entry) => decodeSubscription(entry.subscription));
    const deliveries = rows.map((each) => fromDeliveryRow(this.#inSteady(each)));
    return { ...state, subscriptions, deliveries, received: received.map((entry) => entry.packet_id) };
  }

  /** The row, which was just read, with its moment as callers know it. */
  #inSteady<Row extends { expires_at: number }>(row: Row): Row {
    row.expires_at = this.#clock.toSteady(row.expires_at);
    return row;
  }

  close(): void {
    this.keepTime();
    this.commit();
    this.#db.close();
  }
}
