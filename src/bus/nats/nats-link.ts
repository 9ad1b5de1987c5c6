/** One connection to NATS that reconnects for ever, and looks the servers up anew each time. */

import { type ConnectionOptions, connect, type NatsConnection } from 'nats';
import { Deadline, pause } from '../../kernel/deadline.ts';
import { FluxError, messageOf } from '../../kernel/errors.ts';
import type { BusState } from '../bus.ts';
import type { BusSettings } from '../settings.ts';
import { connectFailure } from './connect-failure.ts';
import { findServers } from './discovery.ts';
import { readLogin } from './login.ts';

const CONNECT_TIMEOUT_MS = 2_000;
/** Ping interval, ms. Three missed answers show a frozen server. */
const PING_MS = 1_000;
const PINGS_OPEN_MAX = 2;
const PAUSE_FIRST_MS = 100;
const PAUSE_MS_MAX = 1_000;
const CLOSE_WAIT_MS = 1_000;
/** Most servers that the reason for a missing connection names. */
const NAMED_MAX = 5;

export interface LinkHooks {
  /** Called with a new connection before its state is announced. An error thrown here closes the connection. */
  onConnected(connection: NatsConnection): Promise<void>;
  /** Called at each change of the connection, and for each new reason why there is none. */
  onState(state: BusState): void;
}

export class NatsLink {
  readonly #settings: BusSettings;
  readonly #name: string;
  readonly #hooks: LinkHooks;
  readonly #running: Promise<void>;
  #connection: NatsConnection | null = null;
  #state: BusState = { connected: false, reason: 'not connected yet' };
  readonly #closing = new AbortController();

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

  /** Null while there is no connection. */
  get connection(): NatsConnection | null {
    return this.#connection;
  }

  /** Sends what is queued, then closes; waits at most a second for a pending attempt to connect. Idempotent. */
  async close(): Promise<void> {
    if (!this.#isClosing) {
      this.#closing.abort();
      await this.#connection?.drain().catch(() => this.#connection?.close());
    }
    // A pending attempt ends by itself and closes what it opened, so a silent DNS server delays nothing.
    await new Deadline(CLOSE_WAIT_MS).reaches(this.#running);
  }

  async #run(): Promise<void> {
    let failures = 0;
    // The hooks must see a complete object, so the first attempt starts here.
    await Promise.resolve();
    while (!this.#isClosing) {
      try {
        const connection = await this.#connect();
        failures = 0;
        await this.#live(connection);
      } catch (error) {
        this.#moved({ connected: false, reason: messageOf(error) });
      }
      if (this.#isClosing) return;
      await pause(Math.min(PAUSE_MS_MAX, PAUSE_FIRST_MS * 2 ** failures++), this.#closing.signal);
    }
  }

  get #isClosing(): boolean {
    return this.#closing.signal.aborted;
  }

  /** Connects to the first current server that accepts this node. @throws FluxError `unavailable` with the reason of each server */
  async #connect(): Promise<NatsConnection> {
    const { place, credentials } = this.#settings;
    const failures: string[] = [];
    const login = readLogin(credentials);
    for (const server of await findServers(place)) {
      if (this.#isClosing) break;
      try {
        return await this.#connectTo(server.address, login(server.name));
      } catch (error) {
        failures.push(`${server.address}: ${connectFailure(error, credentials)}`);
      }
    }
    // Sorted, because the order of attempts is random and an unchanged reason is logged once.
    const reasons = failures.sort();
    const more = reasons.length > NAMED_MAX ? `; and ${reasons.length - NAMED_MAX} more` : '';
    throw new FluxError('unavailable', `${reasons.slice(0, NAMED_MAX).join('; ')}${more}`);
  }

  #connectTo(address: string, login: Partial<ConnectionOptions>): Promise<NatsConnection> {
    return connect({
      servers: address,
      name: this.#name,
      timeout: CONNECT_TIMEOUT_MS,
      reconnect: false,
      ignoreClusterUpdates: true,
      pingInterval: PING_MS,
      maxPingOut: PINGS_OPEN_MAX,
      ...login,
    });
  }

  /** Watches one connection from start to end. */
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
