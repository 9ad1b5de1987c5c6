/** One connection to NATS that reconnects for ever, and looks the servers up anew each time. */

import { type ConnectionOptions, connect, type NatsConnection } from 'nats';
import { steadyNow } from '../../kernel/clock.ts';
import { Deadline, pause } from '../../kernel/deadline.ts';
import { FluxError, messageOf } from '../../kernel/errors.ts';
import type { BusState } from '../bus.ts';
import type { BusSettings } from '../settings.ts';
import { wordOf } from '../subjects.ts';
import { connectFailure } from './connect-failure.ts';
import { type BusServer, findServers } from './discovery.ts';
import { greets } from './greeting.ts';
import { readLogin } from './login.ts';
import { ServerWatch } from './server-watch.ts';

const GREETING_TIMEOUT_MS = 1_000;
const CONNECT_TIMEOUT_MS = 2_000;
/** Interval of the pings of nats.js, ms: a second net below ServerWatch. */
const PING_MS = 10_000;
const PAUSE_FIRST_MS = 100;
const PAUSE_MS_MAX = 1_000;
/** A connection that lasted this long (ms) had succeeded: the next loss begins with the shortest pause. */
const STABLE_MS = 1_000;
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
  /** of the server of the last connection */
  #address = '';
  #state: BusState = { connected: false, reason: 'not connected yet' };
  readonly #closing = new AbortController();
  /** addresses of servers that did not answer when they were tried or used last: they are tried after the others */
  #silent: ReadonlySet<string> = new Set();

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

  /**
   * Sends what is queued, then closes. Waits at most a second for the server to take it, and a second for a pending attempt to connect.
   * Idempotent.
   */
  async close(): Promise<void> {
    if (!this.#isClosing) {
      this.#closing.abort();
      const connection = this.#connection;
      if (connection !== null) await endInTime(connection);
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
        const since = steadyNow();
        if (await this.#live(connection)) failures = 0;
        // The next attempt comes at once, unless a server lets this node in and closes the connection again and again.
        if (steadyNow() - since > STABLE_MS) continue;
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
    for (const { address, name } of this.#inOrder(await findServers(place))) {
      if (this.#isClosing) break;
      try {
        const connection = await this.#connectTo(address, login(name));
        this.#mark(address, false);
        this.#address = address;
        return connection;
      } catch (error) {
        failures.push(`${address}: ${connectFailure(error, credentials)}`);
      }
    }
    // Sorted, because the order of attempts is random and an unchanged reason is logged once.
    const reasons = failures.sort();
    const more = reasons.length > NAMED_MAX ? `; and ${reasons.length - NAMED_MAX} more` : '';
    throw new FluxError('unavailable', `${reasons.slice(0, NAMED_MAX).join('; ')}${more}`);
  }

  /** Silent servers come last. Forgets those that are no longer listed. */
  #inOrder(servers: readonly BusServer[]): BusServer[] {
    const silent = servers.filter(({ address }) => this.#silent.has(address));
    this.#silent = new Set(silent.map(({ address }) => address));
    return [...servers.filter(({ address }) => !this.#silent.has(address)), ...silent];
  }

  #mark(address: string, isSilent: boolean): void {
    const others = [...this.#silent].filter((each) => each !== address);
    this.#silent = new Set(isSilent ? [...others, address] : others);
  }

  async #connectTo(address: string, login: Partial<ConnectionOptions>): Promise<NatsConnection> {
    if (!(await greets(address, GREETING_TIMEOUT_MS))) {
      this.#mark(address, true);
      throw new FluxError('unavailable', 'it does not answer');
    }
    return connect({
      servers: address,
      name: this.#name,
      timeout: CONNECT_TIMEOUT_MS,
      reconnect: false,
      ignoreClusterUpdates: true,
      pingInterval: PING_MS,
      ...inboxOf(this.#settings.credentials.user),
      ...login,
    });
  }

  /** Watches one connection from start to end. @returns whether it was ready for use */
  async #live(connection: NatsConnection): Promise<boolean> {
    if (this.#isClosing) {
      await connection.close();
      return false;
    }
    const closed = connection.closed();
    const watch = new ServerWatch(connection);
    this.#connection = connection;
    let isReady = false;
    try {
      // nats.js leaves open what it waits for when its connection closes, so the hook alone might never end.
      const hook = this.#hooks.onConnected(connection).then(() => 'ready' as const);
      isReady = (await Promise.race([hook, closed])) === 'ready';
      if (isReady) this.#moved({ connected: true, server: connection.getServer() });
      const reason = await closed;
      this.#left(watch, reason instanceof Error ? reason.message : 'the connection was closed');
    } catch (error) {
      await connection.close();
      this.#left(watch, messageOf(error));
    }
    return isReady;
  }

  #left(watch: ServerWatch, reason: string): void {
    watch.stop();
    this.#connection = null;
    if (watch.verdict !== null) this.#mark(this.#address, true);
    this.#moved({ connected: false, reason: watch.verdict ?? reason });
  }

  #moved(state: BusState): void {
    const old = this.#state;
    this.#state = state;
    const isNews = state.connected || old.connected || state.reason !== old.reason;
    if (isNews && !this.#isClosing) this.#hooks.onState(state);
  }
}

/** Answers come to subjects that begin with the user's name, so that permissions of NATS can keep other users from reading them. */
function inboxOf(user: string | null): Partial<ConnectionOptions> {
  return user === null ? {} : { inboxPrefix: `_INBOX.${wordOf(user)}` };
}

/** Sends what is queued and closes. After a second the socket is destroyed, because a frozen server takes nothing. */
async function endInTime(connection: NatsConnection): Promise<void> {
  const drained = connection.drain().catch(() => {});
  if (!(await new Deadline(CLOSE_WAIT_MS).reaches(drained))) await connection.close();
}
