/** Durable sessions, their undelivered messages and retained messages in one SQLite file, written in groups. */

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import type { QoS } from '../../src/mqtt/packet.ts';
import type { WireDelivery, WireSession, WireSubscription } from '../mesh/controls.ts';
import { Message } from '../routing/message.ts';
import type { RetainedDisk } from './retained-store.ts';
import { subscriptionKey } from './session.ts';

const SCHEMA_VERSION = 2;
const SCHEMA_1 = `
CREATE TABLE session (namespace TEXT NOT NULL, client TEXT NOT NULL, state TEXT NOT NULL, PRIMARY KEY (namespace, client)) WITHOUT ROWID;
CREATE TABLE delivery (
  row INTEGER PRIMARY KEY, namespace TEXT NOT NULL, client TEXT NOT NULL, source INTEGER NOT NULL, serial INTEGER NOT NULL,
  packet_id INTEGER NOT NULL, released INTEGER NOT NULL, qos INTEGER NOT NULL, retain INTEGER NOT NULL, identifiers TEXT NOT NULL,
  share_filter TEXT, share_name TEXT, topic TEXT NOT NULL, message_qos INTEGER NOT NULL, message_retain INTEGER NOT NULL,
  forward BLOB NOT NULL, expires_at INTEGER NOT NULL, payload BLOB NOT NULL);
CREATE UNIQUE INDEX delivery_of ON delivery (namespace, client, source, serial);
CREATE TABLE received (namespace TEXT NOT NULL, client TEXT NOT NULL, packet_id INTEGER NOT NULL, PRIMARY KEY (namespace, client, packet_id)) WITHOUT ROWID;
CREATE TABLE retained (
  namespace TEXT NOT NULL, topic TEXT NOT NULL, qos INTEGER NOT NULL, forward BLOB NOT NULL, expires_at INTEGER NOT NULL,
  sender TEXT NOT NULL, payload BLOB NOT NULL, PRIMARY KEY (namespace, topic));
`;

/** Version 1 had the subscriptions in the state of their session, which was written anew for each of them. */
const SCHEMA_2 = `
CREATE TABLE subscription (
  namespace TEXT NOT NULL, client TEXT NOT NULL, key TEXT NOT NULL, subscription TEXT NOT NULL, PRIMARY KEY (namespace, client, key)) WITHOUT ROWID;
`;
const PUT_SESSION = 'INSERT OR REPLACE INTO session VALUES (?, ?, ?)';
const PUT_SUBSCRIPTION = 'INSERT OR REPLACE INTO subscription VALUES (?, ?, ?, ?)';

/** The part of a session that changes with its client, not with each subscription or message. */
export type SessionState = Omit<WireSession, 'subscriptions' | 'deliveries' | 'received'>;

interface DeliveryRow {
  source: number;
  serial: number;
  packet_id: number;
  released: number;
  qos: 1 | 2;
  retain: number;
  identifiers: string;
  share_filter: string | null;
  share_name: string | null;
  topic: string;
  message_qos: QoS;
  message_retain: number;
  forward: Buffer;
  expires_at: number;
  payload: Buffer;
}

/** All calls are synchronous and belong to one open transaction; `commit` makes them durable. */
export class MessageDisk implements RetainedDisk {
  readonly #db: Database.Database;
  readonly #statements = new Map<string, Database.Statement<unknown[]>>();
  #isOpen = false;

  /** @param dataPath folder; made when missing. @throws when the file was written by a newer version */
  constructor(dataPath: string) {
    mkdirSync(dataPath, { recursive: true });
    this.#db = new Database(join(dataPath, 'messages.db'));
    this.#db.pragma('journal_mode = WAL');
    this.#db.pragma('synchronous = FULL');
    const version = this.#db.pragma('user_version', { simple: true }) as number;
    if (version > SCHEMA_VERSION) throw new Error(`messages.db has version ${version}, this program knows ${SCHEMA_VERSION}`);
    if (version < SCHEMA_VERSION) this.#db.transaction(() => this.#migrate(version))();
  }

  #migrate(version: number): void {
    if (version < 1) this.#db.exec(SCHEMA_1);
    this.#db.exec(SCHEMA_2);
    const rows = this.#db.prepare('SELECT namespace, client, state FROM session').all() as Record<
      'namespace' | 'client' | 'state',
      string
    >[];
    for (const { namespace, client, state } of rows) {
      const { subscriptions, ...rest } = JSON.parse(state) as SessionState & { subscriptions: WireSubscription[] };
      this.#statement(PUT_SESSION).run(namespace, client, JSON.stringify(rest));
      for (const each of subscriptions) {
        this.#statement(PUT_SUBSCRIPTION).run(namespace, client, subscriptionKey(each), JSON.stringify(each));
      }
    }
    this.#db.pragma(`user_version = ${SCHEMA_VERSION}`);
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

  putSession(state: SessionState): void {
    const text = JSON.stringify(state, (_key, value) => (value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value));
    this.#run(PUT_SESSION, state.namespace, state.clientId, text);
  }

  deleteSession(namespace: string, clientId: string): void {
    for (const table of ['session', 'subscription', 'delivery', 'received'])
      this.#run(`DELETE FROM ${table} WHERE namespace = ? AND client = ?`, namespace, clientId);
  }

  putSubscription(namespace: string, clientId: string, subscription: WireSubscription): void {
    this.#run(PUT_SUBSCRIPTION, namespace, clientId, subscriptionKey(subscription), JSON.stringify(subscription));
  }

  /** @param key see subscriptionKey() */
  deleteSubscription(namespace: string, clientId: string, key: string): void {
    this.#run('DELETE FROM subscription WHERE namespace = ? AND client = ? AND key = ?', namespace, clientId, key);
  }

  putDelivery(namespace: string, clientId: string, delivery: WireDelivery): void {
    const { message, group } = delivery;
    this.#run(
      'INSERT OR IGNORE INTO delivery VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
      namespace,
      clientId,
      message.source,
      message.serial,
      delivery.packetId,
      Number(delivery.isReleased),
      delivery.qos,
      Number(delivery.retain),
      JSON.stringify(delivery.identifiers),
      group?.filter ?? null,
      group?.name ?? null,
      message.topic,
      message.qos,
      Number(message.retain),
      message.forward,
      message.expiresAt,
      message.payload,
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
    const { topic, qos, forward, expiresAt, from, payload } = message;
    this.#run('INSERT OR REPLACE INTO retained VALUES (?, ?, ?, ?, ?, ?, ?)', namespace, topic, qos, forward, expiresAt, from, payload);
  }

  deleteRetained(namespace: string, topic: string): void {
    this.#run('DELETE FROM retained WHERE namespace = ? AND topic = ?', namespace, topic);
  }

  *retained(): IterableIterator<{ namespace: string; message: Message }> {
    const rows = this.#db.prepare('SELECT * FROM retained').all() as {
      namespace: string;
      topic: string;
      qos: QoS;
      forward: Buffer;
      expires_at: number;
      sender: string;
      payload: Buffer;
    }[];
    for (const row of rows) {
      yield {
        namespace: row.namespace,
        message: new Message(row.topic, row.payload, row.qos, true, row.forward, row.expires_at, row.sender),
      };
    }
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
    const state = JSON.parse(row.state) as SessionState;
    if (state.will !== null) {
      const { message } = state.will;
      message.payload = Buffer.from(String(message.payload), 'base64');
      message.forward = Buffer.from(String(message.forward), 'base64');
    }
    const of = 'WHERE namespace = ? AND client = ?';
    const rows = this.#statement(`SELECT * FROM delivery ${of} ORDER BY packet_id = 0, row`).all(namespace, clientId) as DeliveryRow[];
    const received = this.#statement(`SELECT packet_id FROM received ${of}`).all(namespace, clientId) as { packet_id: number }[];
    const kept = this.#statement(`SELECT subscription FROM subscription ${of}`).all(namespace, clientId) as { subscription: string }[];
    const subscriptions = kept.map((entry) => JSON.parse(entry.subscription) as WireSubscription);
    return { ...state, subscriptions, deliveries: rows.map(toDelivery), received: received.map((entry) => entry.packet_id) };
  }

  close(): void {
    this.commit();
    this.#db.close();
  }
}

function toDelivery(row: DeliveryRow): WireDelivery {
  return {
    message: {
      topic: row.topic,
      payload: row.payload,
      qos: row.message_qos,
      retain: row.message_retain === 1,
      forward: row.forward,
      expiresAt: row.expires_at,
      from: '',
      source: row.source,
      serial: row.serial,
    },
    qos: row.qos,
    retain: row.retain === 1,
    identifiers: JSON.parse(row.identifiers) as number[],
    packetId: row.packet_id,
    isReleased: row.released === 1,
    group: row.share_filter === null || row.share_name === null ? null : { filter: row.share_filter, name: row.share_name },
  };
}
