/** One endpoint in one worker: its listener, its clients and their limits, from open to closed. */

import { isDeepStrictEqual } from 'node:util';
import type { Endpoint } from '../../../src/endpoint/endpoint.ts';
import { steadyNow } from '../../../src/kernel/clock.ts';
import { Pace } from '../../../src/kernel/turns/pace.ts';
import { CONNECTION_ERRORS, SLOT } from '../../../src/metrics/counters.ts';
import { loopDelay } from '../../../src/metrics/loop-delay.ts';
import { Unlogged } from '../../../src/metrics/unlogged.ts';
import { REASON } from '../../../src/mqtt/reason-codes.ts';
import type { Drain, Drained, EndpointMemory, EndpointRuntimeConfig } from '../../../src/thread/commands.ts';
import type { TlsMaterial } from '../../../src/thread/tls-material.ts';
import type { EndpointRules } from '../../shared/wire/controls.ts';
import { Client, type ClientHooks } from '../client/client.ts';
import { EndpointContext, type WorkerContext } from '../client/context/context.ts';
import { HOLD } from '../client/input/packet-reader.ts';
import { withdrawRights } from '../client/online/withdraw-rights.ts';
import type {
  Admission,
  Connection,
  ConnectionClient,
  HandshakeFailure,
  Listener,
  ListenerHost,
  ListeningSocket,
} from '../connection/connection.ts';
import { dispatch } from '../handlers/dispatch.ts';
import { openTcpListener } from '../listener/tcp.ts';
import { drainClients } from './disconnect-clients.ts';
import { Gate } from './gate.ts';

/** Deadline for the answer to CONNECT. A later client is refused with "server unavailable". */
const HANDSHAKE_MS = 10_000;
/** A connection that was in the accept queue or in a handshake when WebSocket was switched may speak the former protocol this long. */
const EITHER_MS = 5_000;
/** Longest wait for an empty accept queue before accepting ends. */
const RETIRE_MS = 5_000;
/**
 * A thread may get more connections than it can take. After this time its backlog becomes 0: the kernel queues one connection and does not
 * answer the others, which try again.
 */
const DOOR_MS = 250;
/** Longest time in which clients are not read for an empty accept queue. */
const HELD_MS = 20;
/** An event-loop pass shorter than this accepted nobody (ms). */
const SHORT_PASS_MS = 0.03;
/** The limit for a short pass grows by this share of the waiting time. */
const PASS_PART = 0.01;

export class EndpointRuntime implements ListenerHost {
  /** context of new clients */
  context: EndpointContext;
  readonly clients = new Set<Client>();
  readonly #worker: WorkerContext;
  readonly #hooks: ClientHooks = { dispatch, onClosed: (client) => this.#onClosed(client) };
  readonly #gate: Gate;
  /** contexts of clients that came under a former namespace, which they keep */
  #formerContexts: EndpointContext[] = [];
  /** clients that were connected at the last rebind on the present socket */
  #former = new Set<Client>();
  #draining: AbortController | null = null;
  #listener: Listener | null = null;
  /** sockets to accept from once accepting begins */
  #bound: readonly ListeningSocket[] = [];
  /** steady milliseconds until which connections may speak either protocol; 0: never */
  #eitherUntil = 0;
  /** failed handshakes that are not logged yet */
  readonly #unloggedFailures = new Unlogged();
  /** refused client certificates by reason: each reason is logged by itself, so that one does not hide another */
  readonly #unloggedCertificates = new Map<string, Unlogged>();
  /** connections closed for lack of file descriptors that are not logged yet */
  #withoutDescriptor = 0;
  #isClosing = false;

  constructor(worker: WorkerContext, config: EndpointRuntimeConfig, memory: EndpointMemory) {
    this.#worker = worker;
    const namespace = worker.mesh.namespace(config.endpoint.namespace);
    this.#gate = new Gate(memory, worker.bans);
    this.context = new EndpointContext(config, namespace, new Float64Array(memory.counters), this.#gate.limits);
  }

  /** Prepares everything that can fail before clients are let in. @throws FluxError `unprocessable` */
  open(sockets: readonly ListeningSocket[]): void {
    this.#listener = openTcpListener(this);
    this.#bound = sockets;
  }

  /** Starts to accept clients. @throws FluxError `port-in-use`, `unprocessable`; no client is let in */
  async startAccepting(): Promise<void> {
    const sockets = this.#bound;
    this.#bound = [];
    try {
      await this.#listener?.acceptFrom(sockets);
    } catch (error) {
      this.stopAccepting();
      throw error;
    }
  }

  /** Accepts from these sockets too. @throws FluxError `port-in-use`, `unprocessable` */
  async acceptFrom(sockets: readonly ListeningSocket[]): Promise<void> {
    if (this.#listener === null) for (const { handle } of sockets) handle.close();
    await this.#listener?.acceptFrom(sockets);
  }

  /** Stops accepting from these sockets and leaves them to other workers. */
  drop(keys: readonly number[]): void {
    this.#listener?.drop(keys);
    this.#unbind(({ key }) => keys.includes(key));
  }

  #unbind(isMeant: (socket: ListeningSocket) => boolean): void {
    for (const socket of this.#bound) if (isMeant(socket)) socket.handle.close();
    this.#bound = this.#bound.filter((socket) => !isMeant(socket));
  }

  // ---- calls by the listener

  get endpoint(): Endpoint {
    return this.context.config.endpoint;
  }

  get rules(): EndpointRules {
    const { enableAcl, namespace } = this.endpoint;
    return { namespace, enableAcl, acl: this.context.config.acl };
  }

  get mayChangeProtocol(): boolean {
    return this.#eitherUntil > 0 && steadyNow() < this.#eitherUntil;
  }

  get tls(): TlsMaterial | null {
    return this.context.config.tls;
  }

  allowsDescriptor(descriptor: number): boolean {
    if (this.#worker.memory.allowsDescriptor(descriptor)) return true;
    this.context.count('refusedConnectionLimit');
    this.#withoutDescriptor++;
    return false;
  }

  accept(connection: Connection): ConnectionClient | null {
    const admission = this.admit(connection.address, true);
    return admission === null ? null : this.#makeClient(connection, admission);
  }

  admit(address: string, canLearnWhy: boolean): Admission | null {
    loopDelay.touch();
    return this.#gate.admit(this.context, address, canLearnWhy);
  }

  welcome(connection: Connection, admission: Admission): ConnectionClient | null {
    if (!this.#isClosing) return this.#makeClient(connection, admission);
    this.#release(admission);
    return null;
  }

  leave(admission: Admission, failure: HandshakeFailure | null, detail: string, reason = ''): void {
    this.#release(admission);
    if (failure === null) return;
    this.context.count(CONNECTION_ERRORS[failure]);
    if (failure === 'bad_connect') this.context.strangers.note(detail);
    else if (failure === 'tls_client_certificate') this.#noteCertificate(reason, detail);
    else if (failure !== 'connect_timeout') this.#unloggedFailures.note(detail);
  }

  /** Notes a refused certificate. OpenSSL defines the reasons, so their number is bounded. */
  #noteCertificate(reason: string, detail: string): void {
    let unlogged = this.#unloggedCertificates.get(reason);
    if (unlogged === undefined) {
      unlogged = new Unlogged();
      this.#unloggedCertificates.set(reason, unlogged);
    }
    unlogged.note(detail);
  }

  #release(admission: Admission): void {
    this.#gate.release(this.context, admission);
  }

  #makeClient(connection: Connection, admission: Admission): Client {
    const client = new Client(connection, this.context, this.#worker, admission, this.#hooks);
    this.clients.add(client);
    return client;
  }

  #onClosed(client: Client): void {
    this.clients.delete(client);
    if (this.#former.delete(client)) this.context.slots[SLOT.formerCurrent]!--;
    this.#release(client.admission);
  }

  /**
   * Applies a new configuration to all clients at once, except for the namespace, TLS and WebSocket, which only new connections get. TLS is
   * switched at a moment with an empty accept queue: connections in the queue would still speak the former protocol.
   * @param isRebind makes the clients connected now the former ones, for drainFormer()
   * @throws FluxError `unprocessable`; nothing has changed
   */
  async update(config: EndpointRuntimeConfig, isRebind: boolean): Promise<void> {
    const listener = this.#listener;
    const isSwitch = listener !== null && (this.tls === null) !== (config.tls === null);
    const before = this.rules;
    if (isSwitch) await this.#whenNobodyWaits(listener, () => this.#update(config, isRebind));
    else this.#update(config, isRebind);
    if (!isDeepStrictEqual(before, this.rules)) await this.#obeyRules();
  }

  #update(config: EndpointRuntimeConfig, isRebind: boolean): void {
    this.#listener?.setTls(config.tls);
    const { endpoint } = config;
    const before = this.context;
    if (before.config.endpoint.serverOptions.soBacklog !== endpoint.serverOptions.soBacklog)
      this.#listener?.setBacklog(endpoint.serverOptions.soBacklog);
    if (before.config.endpoint.useWebsocket !== endpoint.useWebsocket) this.#eitherUntil = steadyNow() + EITHER_MS;
    if (before.namespace.name !== endpoint.namespace) {
      const contexts = [...this.#formerContexts, before];
      const known = contexts.find((each) => each.namespace.name === endpoint.namespace);
      this.context = known ?? new EndpointContext(config, this.#worker.mesh.namespace(endpoint.namespace), before.slots, this.#gate.limits);
      this.#formerContexts = contexts.filter((each) => each !== known);
    }
    if (isRebind) {
      this.#former = new Set([...this.clients].filter((client) => client.admission.refusal === null));
      before.slots[SLOT.formerCurrent] = this.#former.size;
    }
    this.context.update(config);
    for (const former of this.#formerContexts) former.update({ ...config, endpoint: { ...endpoint, namespace: former.namespace.name } });
  }

  /** Withdraws subscriptions and messages of all connected clients that the new rules no longer allow. */
  async #obeyRules(): Promise<void> {
    const pace = new Pace();
    for (const client of [...this.clients]) {
      if (pace.isOver) await pace.next();
      if (client.session !== null) await withdrawRights(client, client.session, pace);
    }
  }

  stopAccepting(): void {
    this.#listener?.stopAccepting();
    this.#unbind(() => true);
  }

  /**
   * Stops accepting at a moment with an empty accept queue: the kernel resets the connections in the queue when their socket closes, unless
   * another thread has the socket too.
   */
  async retire(isShared: boolean): Promise<void> {
    const listener = this.#listener;
    if (listener === null) return;
    if (isShared) this.stopAccepting();
    else await this.#whenNobodyWaits(listener, () => this.stopAccepting());
  }

  /**
   * Acts when an event-loop pass has accepted nobody and took next to no time: the accept queue is then empty. Until then no client is read,
   * so that such a pass comes soon.
   */
  async #whenNobodyWaits(listener: Listener, act: () => void): Promise<void> {
    const held = [...this.clients].filter((client) => client.state === 'online');
    for (const client of held) client.hold(HOLD.retire);
    const release = () => {
      for (const client of held) client.release(HOLD.retire);
    };
    const timer = setTimeout(release, HELD_MS);
    await quietMoment(listener);
    try {
      act();
    } finally {
      clearTimeout(timer);
      release();
      listener.setBacklog(this.endpoint.serverOptions.soBacklog);
    }
  }

  /**
   * Ends clients that sent no CONNECT in time, got no answer to it in time, sent nothing for one and a half Keep Alive [MQTT-3.1.2-24], or
   * do not complete a packet.
   * @returns bytes that the clients hold
   */
  sweep(tick: number): number {
    const now = steadyNow();
    this.#listener?.sweep(now);
    const overdue: Client[] = [];
    let held = 0;
    for (const client of this.clients) {
      held += client.heldBytes;
      if (overdueOf(client, tick, now) !== null) overdue.push(client);
    }
    this.#gate.setHeld(this.context, held, this.#worker.memory.budgetBytes);
    if (overdue.length > 0) void this.#endOverdue(overdue, tick);
    this.#gate.logRefusals(this.context, this.#worker.logger);
    if (tick % 2 === 0) this.#logFailures();
    if (this.#formerContexts.length > 0) this.#forgetContexts();
    return held;
  }

  /** Ends overdue clients in slices: when a network fails, thousands of clients are overdue at once. */
  async #endOverdue(clients: readonly Client[], tick: number): Promise<void> {
    const pace = new Pace();
    for (const client of clients) {
      if (pace.isOver) await pace.next();
      // Input may have arrived since the sweep.
      switch (overdueOf(client, tick, steadyNow())) {
        case 'keep-alive':
          this.context.count('keepAliveTimeout');
          client.close(REASON.keepAliveTimeout, 'Keep alive timeout');
          break;
        case 'packet':
          this.context.count('packetTimeout');
          client.close(REASON.unspecifiedError, 'A packet was not complete in time');
          break;
        case 'connect':
          this.context.count('connectTimeout');
          // A silent peer gets no orderly end, which would hold its place for longer.
          client.connection.destroy();
          break;
        case 'login':
          this.context.count('loginExpired');
          client.close(REASON.notAuthorized, 'The login has expired');
          break;
        case 'answer':
          client.refuse(REASON.serverUnavailable, 'The server could not answer in time');
          break;
        case null:
      }
    }
  }

  /** Drops contexts without clients. */
  #forgetContexts(): void {
    const used = new Set([...this.clients].map((client) => client.endpoint));
    this.#formerContexts = this.#formerContexts.filter((context) => used.has(context));
  }

  /** Logs failed connections. The caller limits this to once a second. */
  #logFailures(): void {
    const { port } = this.endpoint;
    if (this.#withoutDescriptor > 0) {
      const refused = this.#withoutDescriptor;
      this.#withoutDescriptor = 0;
      this.#worker.logger.warn(`Endpoint ${port}: Connection limit reached: the process may open no more files (ulimit -n)`, { refused });
    }
    const failures = this.#unloggedFailures.take();
    if (failures !== null) this.#worker.logger.warn(`Endpoint ${port}: TLS handshakes failed`, failures);
    for (const [reason, unlogged] of this.#unloggedCertificates) {
      this.#worker.logger.warn(`Endpoint ${port}: TLS handshakes failed: client certificate refused: ${reason}`, unlogged.take() ?? {});
    }
    this.#unloggedCertificates.clear();
    for (const { strangers, banned } of [this.context, ...this.#formerContexts]) {
      for (const { cause, ...noted } of banned.take())
        this.#worker.logger.warn(`Endpoint ${port}: clients were refused or disconnected: ${cause}`, noted);
      const unlogged = strangers.take();
      if (unlogged !== null) this.#worker.logger.warn(`Endpoint ${port}: connections did not begin with CONNECT and were closed`, unlogged);
    }
  }

  /** Stops accepting and ends all clients. Connections still in a handshake are refused. */
  async drain(drain: Drain): Promise<Drained> {
    this.stopAccepting();
    this.#isClosing = true;
    const drained = await this.#drain([...this.clients], drain);
    // When a newer drain has replaced this one, that drain continues to close the endpoint.
    if (this.#draining === null) this.#isClosing = drained.done;
    return drained;
  }

  /** Ends the clients that were connected at the last rebind. */
  async drainFormer(drain: Drain): Promise<Drained> {
    return this.#drain([...this.#former], drain);
  }

  /** Aborts a drain under way: the clients that are still connected stay. */
  cancelDrain(): void {
    this.#draining?.abort();
  }

  /** Runs one drain at a time: a new drain replaces the previous one. */
  async #drain(clients: Client[], drain: Drain): Promise<Drained> {
    this.cancelDrain();
    const draining = new AbortController();
    this.#draining = draining;
    const drained = await drainClients(clients, drain, draining.signal);
    if (this.#draining === draining) this.#draining = null;
    return drained;
  }

  close(): void {
    this.stopAccepting();
    this.#listener?.close();
    this.#listener = null;
    this.#gate.setHeld(this.context, 0, this.#worker.memory.budgetBytes);
  }
}

/** The deadline that a client, or its answer, has missed; null: none. @param now steady milliseconds */
function overdueOf(client: Client, tick: number, now: number): 'connect' | 'answer' | 'login' | 'keep-alive' | 'packet' | null {
  switch (client.state) {
    case 'online':
      if (now >= client.identity.loginEndsAt) return 'login';
      if (client.identity.keepAlive > 0 && tick - client.lastSeen > client.identity.keepAlive * 3 + 1 && !client.isKeptWaiting)
        return 'keep-alive';
      return client.isDripping(tick) ? 'packet' : null;
    case 'new':
      // The age of the connection counts, which dripping bytes do not extend.
      return now - client.connection.acceptedAt > client.endpoint.config.endpoint.idleTimeout ? 'connect' : null;
    case 'connecting':
      if (client.exchange.isAwaited) return null;
      return now - Math.max(client.identity.connectAt, client.exchange.answeredAt) > HANDSHAKE_MS ? 'answer' : null;
    case 'closed':
      return null;
  }
}

/** Waits for a short pass. The limit grows with the waiting time, because on a busy machine no pass may ever be short. */
async function quietMoment(listener: Listener): Promise<void> {
  const begunAt = steadyNow();
  let isOpen = true;
  for (;;) {
    const { accepted } = listener;
    const passAt = steadyNow();
    await new Promise((resolve) => setImmediate(resolve));
    const now = steadyNow();
    const isShort = now - passAt < SHORT_PASS_MS + (passAt - begunAt) * PASS_PART;
    if ((isShort && listener.accepted === accepted) || now - begunAt > RETIRE_MS) return;
    if (isOpen && now - begunAt > DOOR_MS) {
      isOpen = false;
      listener.setBacklog(0);
    }
  }
}
