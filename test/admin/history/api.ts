/** Typed calls to the admin API of a broker under test, for what is about history, rollback and files. */

import { connectAsync, type MqttClient } from 'mqtt';
import { expect } from 'vitest';
import type { PublicRollback } from '../../../src/answers/changes.ts';
import type { PublicHistoryRow } from '../../../src/answers/endpoints.ts';
import type { Issue } from '../../../src/kernel/errors.ts';
import type { Broker } from '../../kit/broker.ts';
import { freePort } from '../../kit/free-port.ts';

export interface Answer<T> {
  status: number;
  data: T;
  message: string;
  kind: string | undefined;
  issues: Issue[];
  headers: Headers;
}

/** The outcome of a change that was made, and so has a revision. */
export type SetAnswer = PublicRollback & { revision: number };
export type Row = PublicHistoryRow;

export class Api {
  readonly broker: Broker;

  constructor(broker: Broker) {
    this.broker = broker;
  }

  async call<T>(method: string, route: string, body?: unknown, headers?: Record<string, string>): Promise<Answer<T>> {
    const answer = await this.broker.api(method, `/api/endpoints/${route}`, body, headers);
    const envelope = answer.body as { code: number; message: string; data: T; error?: { kind: string; issues: Issue[] } };
    expect(envelope.code, JSON.stringify(envelope)).toBe(answer.status);
    const { message, data, error } = envelope;
    return { status: answer.status, message, data, kind: error?.kind, issues: error?.issues ?? [], headers: answer.headers };
  }

  /** The data of a call that must succeed. */
  async ok<T = SetAnswer>(method: string, route: string, body?: unknown, headers?: Record<string, string>): Promise<T> {
    const { status, data, message, issues } = await this.call<T>(method, route, body, headers);
    expect(status, `${route}: ${message} ${JSON.stringify(issues)}`).toBe(200);
    return data;
  }

  /** An endpoint on a free port. It shares threads, whose starts would take most of a test's time. */
  async add(extra: Record<string, unknown> = {}): Promise<{ port: number; revision: number }> {
    const port = await freePort();
    const { revision } = await this.ok('POST', 'add', { port, host: '127.0.0.1', enableAuth: false, exclusivePool: false, ...extra });
    return { port, revision };
  }

  history(query: string): Promise<Row[]> {
    return this.ok<Row[]>('GET', `history?${query}`);
  }

  /** id → [port, maxConnectionSize] of everything. */
  async content(): Promise<Record<string, [number, number]>> {
    type Listed = { endpoints: Record<string, { id: string; port: number; maxConnectionSize: number }> };
    const { endpoints } = await this.ok<Listed>('GET', 'list');
    return Object.fromEntries(Object.values(endpoints).map(({ id, port, maxConnectionSize }) => [id, [port, maxConnectionSize]]));
  }

  async revision(): Promise<number> {
    const { headers } = await this.call('GET', 'list');
    return Number(headers.get('etag')?.replaceAll('"', ''));
  }
}

/** A client, or null when the port does not take one. */
export async function tryConnect(port: number): Promise<MqttClient | null> {
  try {
    return await connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0, connectTimeout: 3000 });
  } catch {
    return null;
  }
}

/** Whether a client can connect now. */
export async function canConnect(port: number): Promise<boolean> {
  const client = await tryConnect(port);
  await client?.endAsync();
  return client !== null;
}
