/** One connection to NATS that is made again for ever; the servers are looked up anew each time. */

import { readFileSync } from 'node:fs';
import { connect, credsAuthenticator, type NatsConnection } from 'nats';
import type { BusState } from '../contract.ts';
import type { BusSettings } from '../settings.ts';
import { findServers } from './discovery.ts';

const CONNECT_TIMEOUT_MS = 2_000;
/** A server that is frozen is noticed after two of these. */
const PING_MS = 2_000;
const PINGS_OPEN_MAX = 2;
const PAUSE_FIRST_MS = 100;
const PAUSE_MAX_MS = 1_000;

export interface LinkHooks {
  /** A new connection, before anybody is told of it. What it throws ends the connection. */
  onConnected(connection: NatsConnection): Promise<void>;
  /** Each change of the connection, and each new reason why there is none. */
  onState(state: BusState): void;
}

export class NatsLink {
  readonly #settings: BusSettings;
  readonly #name: string;
  readonly #hooks: LinkHooks;
  readonly #running: Promise<void>;
  #connection: NatsConnection | null = null;
  #state: BusState = { connected: false, reason: 'not connected yet' };
  #isClosing = false;
  #wake: () => void = () => {};

  /** @param name shown in the server's list of connections */
  constructor(settings: BusSettings, name: string, hooks: LinkHooks) {
    this.#settings = settings;
    this.#name = name;
    this.#hooks = hooks;
    this.#running = this.#run();
  }

  get state(): BusState {
    return this.#state;
  }

  /** Null while there is none. */
  get connection(): NatsConnection | null {
    return this.#connection;
  }

  /** Sends what is left, and ends. Idempotent. */
  async close(): Promise<void> {
    if (!this.#isClosing) {
      this.#isClosing = true;
      this.#wake();
      await this.#connection?.drain().catch(() => this.#connection?.close());
    }
    await this.#running;
  }

  async #run(): Promise<void> {
    let failures = 0;
    // What is handed to the hooks belongs to an object that is complete.
    await Promise.resolve();
    while (!this.#isClosing) {
      try {
        const connection = await this.#connect();
        failures = 0;
        await this.#live(connection);
      } catch (error) {
        this.#moved({ connected: false, reason: error instanceof Error ? error.message : String(error) });
      }
      if (this.#isClosing) return;
      await this.#pause(Math.min(PAUSE_MAX_MS, PAUSE_FIRST_MS * 2 ** failures++));
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async #connect(): Promise<NatsConnection> {
    const { place, credentials } = this.#settings;
    const { user, password, token, credsFile, tls } = credentials;
    const servers = await findServers(place);
    return connect({
      servers,
      name: this.#name,
      timeout: CONNECT_TIMEOUT_MS,
      reconnect: false,
      ignoreClusterUpdates: true,
      pingInterval: PING_MS,
      maxPingOut: PINGS_OPEN_MAX,
      ...(user === null ? {} : { user, pass: password ?? '' }),
      ...(token === null ? {} : { token }),
      ...(credsFile === null ? {} : { authenticator: credsAuthenticator(readFileSync(credsFile)) }),
      ...(tls === null ? {} : { tls: { ...file('caFile', tls.ca), ...file('certFile', tls.crt), ...file('keyFile', tls.key) } }),
    });
  }

  /** From a connection's first moment to its last. */
  async #live(connection: NatsConnection): Promise<void> {
    if (this.#isClosing) return connection.close();
    const closed = connection.closed();
    this.#connection = connection;
    try {
      await this.#hooks.onConnected(connection);
    } catch (error) {
      this.#connection = null;
      await connection.close();
      throw error;
    }
    this.#moved({ connected: true, server: connection.getServer() });
    const reason = await closed;
    this.#connection = null;
    this.#moved({ connected: false, reason: reason instanceof Error ? reason.message : 'the connection was closed' });
  }

  #moved(state: BusState): void {
    const old = this.#state;
    this.#state = state;
    const isNews = state.connected || old.connected || state.reason !== old.reason;
    if (isNews && !this.#isClosing) this.#hooks.onState(state);
  }
}

function file<K extends string>(key: K, path: string | null): Partial<Record<K, string>> {
  return path === null ? {} : ({ [key]: path } as Partial<Record<K, string>>);
}
