/** The doors through which changes reach the cluster: the HTTP of one node, and NATS, where whichever node takes a request answers it. */

import { connect, headers, type NatsConnection, NatsError } from 'nats';
import type { Endpoint } from '../../admin/crash/operations.ts';
import type { ChaosNode, Field } from './field.ts';
import { type Configuration, readConfiguration } from './judge.ts';

/** The parts of an answer, equal over HTTP and NATS. */
export interface Answer {
  code: number;
  message: string;
  /** null: of a refusal that has nothing more to say */
  data: { revision: number; effect?: string; changes?: unknown[]; outcome?: string } | null;
}

export interface Door {
  readonly name: string;
  /** The endpoints that can be changed. @throws Error while no node answers */
  read(): Promise<Configuration>;
  /** @param query with its `?` @throws Error when there was no answer: see isCutOff */
  change(path: string, query: string, body: unknown): Promise<Answer>;
}

/** The longest time of a change over NATS that names none, so that the answer of a killed node is not waited for half a minute. */
const TIMEOUT = 'timeout=5s';
/** That, the time in which a request may be held up, and that in which a node still answers after its deadline. */
const REQUEST_MS = 16_000;
const READ_MS = 2_000;

export function httpDoor(node: ChaosNode): Door {
  return {
    name: node.name,
    read: () => readConfiguration(node),
    change: async (path, query, body) => {
      const { status, body: answer } = await node.broker.api('POST', `/api/endpoints/${path}${query}`, body);
      return { ...(answer as Answer), code: status };
    },
  };
}

/** Its connection is made again for ever. */
export async function natsDoor({ nats }: Field): Promise<Door & { close(): Promise<void> }> {
  const connection = await connect({
    servers: nats.urls,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 200,
    pingInterval: 1_000,
    maxPingOut: 2,
  });
  return {
    name: 'NATS',
    read: async () => {
      const { message, body } = await ask<{ data: { endpoints: Record<string, Endpoint> } }>(connection, 'list', '', '', READ_MS);
      const revision = Number((message.headers?.get('etag') ?? '').replaceAll('"', ''));
      return { endpoints: Object.values(body.data.endpoints), revision };
    },
    change: async (path, query, body) => {
      const whole = query.includes('timeout=') ? query : `${query === '' ? '?' : `${query}&`}${TIMEOUT}`;
      return (await ask<Answer>(connection, path, whole, JSON.stringify(body), REQUEST_MS)).body;
    },
    close: () => connection.close(),
  };
}

async function ask<T>(connection: NatsConnection, name: string, query: string, text: string, timeout: number) {
  const named = headers();
  if (query !== '') named.set('X-Query', query.slice(1));
  const message = await connection.request(`fluxmq.endpoints.${name}`, text, { timeout, headers: named });
  return { message, body: message.json<T>() };
}

/** The other end was gone, or is frozen. */
export function isCutOff(error: unknown): boolean {
  if (error instanceof TypeError || error instanceof NatsError) return true;
  return error instanceof DOMException && error.name === 'TimeoutError';
}
