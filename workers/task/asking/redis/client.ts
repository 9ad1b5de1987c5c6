/** Connections to Redis: one server, a cluster, or the master that sentinels name. The one file that knows the client library. */

import { ClientClosedError, createClient, createCluster, createSentinel, DisconnectsClientError, ErrorReply } from '@redis/client';
import type { RedisServers } from '../../../../src/endpoint/endpoint.ts';
import { within } from '../../../../src/kernel/deadline.ts';
import { readTrustedPem } from '../certificates.ts';

/** An idle connection is asked in this time whether it still works. */
const PING_EVERY_MS = 30_000;

/** Redis has answered with an error. The message holds the first word of it only, because the rest may repeat a user name. */
export class RedisRefusal extends Error {
  readonly code: string;

  constructor(text: string) {
    const code = /^[A-Z][A-Z0-9_]{0,31}(?= |$)/.exec(text)?.[0] ?? 'an error';
    super(`Redis answers ${code}`);
    this.code = code;
  }
}

export interface RedisConnection {
  /** False after an end: the connection does not come back by itself. */
  readonly isOpen: boolean;
  /** Sends a command. Redis gets each argument as one value. @throws RedisRefusal, Error */
  send(name: string, key: string, others: readonly string[]): Promise<unknown>;
  destroy(): void;
}

/** Connects and logs in. @throws RedisRefusal, Error, also when that is not done within `timeoutMs` */
export async function connectRedis(config: RedisServers, timeoutMs: number): Promise<RedisConnection> {
  const options = await optionsOf(config, timeoutMs);
  const opened = OPENERS[config.mode](config, options);
  try {
    // The library's own deadline ends with the TCP handshake.
    await within(timeoutMs, opened.connect(), () => new Error(`no login within ${timeoutMs} ms`));
  } catch (error) {
    destroyQuietly(opened);
    throw explain(error);
  }
  return {
    get isOpen() {
      return opened.isOpen();
    },
    async send(name, key, others) {
      try {
        return await opened.send(key, [name, key, ...others]);
      } catch (error) {
        throw explain(error);
      }
    },
    destroy: () => destroyQuietly(opened),
  };
}

interface Opened {
  connect(): Promise<unknown>;
  isOpen(): boolean;
  send(key: string, words: string[]): Promise<unknown>;
  destroy(): unknown;
}

type ClientOptions = Awaited<ReturnType<typeof optionsOf>>;

const OPENERS: Readonly<Record<RedisServers['mode'], (config: RedisServers, options: ClientOptions) => Opened>> = {
  single: ({ servers }, options) => {
    const client = createClient({ ...options, socket: { ...options.socket, ...addressOf(servers[0]!) } });
    client.on('error', ignore);
    return {
      connect: () => client.connect(),
      isOpen: () => client.isReady,
      send: (_key, words) => client.sendCommand(words),
      destroy: () => client.destroy(),
    };
  },
  cluster: ({ servers }, options) => {
    const rootNodes = servers.map((server) => ({ socket: { ...options.socket, ...addressOf(server) } }));
    const cluster = createCluster({ RESP: 2, rootNodes, defaults: options });
    cluster.on('error', ignore);
    return {
      connect: () => cluster.connect(),
      isOpen: () => cluster.isOpen,
      send: (key, words) => cluster.sendCommand(key, true, words),
      destroy: () => cluster.destroy(),
    };
  },
  sentinel: ({ servers, master, sentinelPassword }, options) => {
    const { username: _name, password: _word, database: _number, ...bare } = options;
    const sentinel = createSentinel({
      RESP: 2,
      name: master!,
      sentinelRootNodes: servers.map(addressOf),
      nodeClientOptions: options,
      sentinelClientOptions: { ...bare, ...(sentinelPassword === '' ? {} : { password: sentinelPassword }) },
      maxCommandRediscovers: 1,
    });
    sentinel.on('error', ignore);
    return {
      connect: () => sentinel.connect(),
      isOpen: () => sentinel.isOpen,
      send: (_key, words) => sentinel.sendCommand(false, words),
      destroy: () => sentinel.destroy(),
    };
  },
};

/** Each question reports its own error. Without a listener the library's event would end the thread. */
function ignore(): void {}

/** A lost connection is opened again by the next question, and so within the limits of asking. */
async function optionsOf({ username, password, database, tls, ca }: RedisServers, timeoutMs: number) {
  const trusted = ca === null ? {} : { ca: await readTrustedPem(ca) };
  return {
    RESP: 2 as const,
    ...(username === '' ? {} : { username }),
    ...(password === '' ? {} : { password }),
    database,
    disableOfflineQueue: true,
    pingInterval: PING_EVERY_MS,
    socket: { connectTimeout: timeoutMs, reconnectStrategy: false as const, ...(tls ? { tls: true as const, ...trusted } : {}) },
  };
}

function addressOf(server: string): { host: string; port: number } {
  const at = server.lastIndexOf(':');
  return { host: server.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(server.slice(at + 1)) };
}

function destroyQuietly(opened: Opened): void {
  try {
    // A sentinel's end is a promise.
    Promise.resolve(opened.destroy()).catch(ignore);
  } catch {
    // It is closed already.
  }
}

function explain(error: unknown): Error {
  if (error instanceof ErrorReply) return new RedisRefusal(error.message);
  if (error instanceof ClientClosedError || error instanceof DisconnectsClientError) return new Error('the connection was closed');
  const known = error as NodeJS.ErrnoException;
  const text = known instanceof AggregateError ? known.errors.map(String).join('; ') : known.message;
  return new Error(text || known.code || 'the connection failed', { cause: error });
}
