/** One endpoint in one worker: its listener, its clients and their limits, from open to closed. */

import { isDeepStrictEqual } from 'node:util';
import type { Endpoint } from '../src/endpoint/endpoint.ts';
import { steadyNow } from '../src/kernel/clock.ts';
import { Pace } from '../src/kernel/pace.ts';
import { CONNECTION_ERRORS, SLOT } from '../src/metrics/counters.ts';
import { loopDelay } from '../src/metrics/loop-delay.ts';
import { Untold } from '../src/metrics/untold.ts';
import { REASON } from '../src/mqtt/reason-codes.ts';
import type { Drain, Drained, EndpointMemory, EndpointRuntimeConfig } from '../src/thread/messages.ts';
import type { TlsMaterial } from '../src/thread/tls-material.ts';
import { Client, type ClientHooks } from './client/client.ts';
import { EndpointContext, type WorkerContext } from './client/context.ts';
import { HOLD } from './client/packet-reader.ts';
import type { Admission, Connection, ConnectionClient, HandshakeFailure, Listener, ListenerHost, ListeningSocket } from './connection.ts';
import { drainClients } from './drain.ts';
import { Gate } from './gate.ts';
import { dispatch } from './handlers/dispatch.ts';
import { openTcpListener } from './listener/tcp.ts';
import type { EndpointRules } from './mesh/controls.ts';

/** CONNECT must be answered by then, else the client is refused with "server unavailable". */
const HANDSHAKE_MS = 10_000;
/** Who connected before WebSocket went on or off, and waited to be accepted or shook hands meanwhile, speaks what was true before. */
const EITHER_MS = 5_000;
/** How long an end of accepting may wait for its moment. */
const RETIRE_MS = 5_000;
/** Of a thread that more connect to than it can take, the kernel then lets one wait: to the others it does not answer, and they try again. */
const DOOR_MS = 250;
/** How long clients are not read for that. */
const HELD_MS = 20;
/** A pass of the event loop in which hardly anybody can have come, milliseconds, */
const SHORT_PASS_MS = 0.03;
/** and this part of the time that such a pass has been waited for. */
const PASS_PART = 0.01;

export class EndpointRuntime implements ListenerHost {
  /** of the clients that come now */
  context: EndpointContext;
  readonly clients = new Set<Client>();
  readonly #worker: WorkerContext;
  readonly #hooks: ClientHooks = { dispatch, onClosed: (client) => this.#onClosed(client) };
  readonly #gate: Gate;
  /** of clients that came when the endpoint had another namespace: they stay in it */
  #formerContexts: EndpointContext[] = [];
  /** clients that were there when it was last rebound on the socket that it has */
  #former = new Set<Client>();
  #draining: AbortController | null = null;
  #listener: Listener | null = null;
  /** what it accepts from when it begins to */
  #bound: readonly ListeningSocket[] = [];
  /** steady milliseconds until which connections may speak WebSocket or not; 0: they may not */
  #eitherUntil = 0;
  /** handshakes that failed and that the log has not been told of */
  readonly #untoldFailures = new Untold();
  /** client certificates that were refused, by reason: what is told of one must not hide another */
  readonly #untoldCertificates = new Map<string, Untold>();
  #isClosing = false;

  constructor(worker: WorkerContext, config: EndpointRuntimeConfig, memory: EndpointMemory) {
    this.#worker = worker;
    const namespace = worker.mesh.namespace(config.endpoint.namespace);
    this.#gate = new Gate(memory);
    this.context = new EndpointContext(config, namespace, new Float64Array(memory.counters), this.#gate.limits);
  }

  /** Everything that can fail before anybody is let in. @throws FluxError `unprocessable` */
  open(sockets: readonly ListeningSocket[]): void {
    this.#listener = openTcpListener(this);
    this.#bound = sockets;
  }

  /** Lets clients in. @throws FluxError `port-in-use`, `unprocessable`: nobody comes in */
  async begin(): Promise<void> {
    const sockets = this.#bound;
    this.#bound = [];
    try {
      await this.#listener?.adopt(sockets);
    } catch (error) {
      this.stopAccepting();
      throw error;
    }
  }

  /** Accepts from these too. @throws FluxError `port-in-use`, `unprocessable` */
  async adopt(sockets: readonly ListeningSocket[]): Promise<void> {
    if (this.#listener === null) for (const { handle } of sockets) handle.close();
    await this.#listener?.adopt(sockets);
  }

  /** Leaves these to others. */
  drop(keys: readonly number[]): void {
    this.#listener?.drop(keys);
    this.#unbind(({ key }) => keys.includes(key));
  }

  #unbind(isMeant: (socket: ListeningSocket) => boolean): void {
    for (const socket of this.#bound) if (isMeant(socket)) socket.handle.close();
    this.#bound = this.#bound.filter((socket) => !isMeant(socket));
  }

  // ---- what the listener asks

  get endpoint(): Endpoint {
    return this.context.config.endpoint;
  }

  get rules(): EndpointRules {
    return { enableAcl: this.endpoint.enableAcl, acl: this.context.config.acl };
  }

  get mayChangeProtocol(): boolean {
    return this.#eitherUntil > 0 && steadyNow() < this.#eitherUntil;
  }

  get tls(): TlsMaterial | null {
    return this.context.config.tls;
  }

  accept(connection: Connection): ConnectionClient | null {
    const admission = this.admit(connection.address, true);
    return admission === null ? null : this.#makeClient(connection, admission);
  }

  admit(address: string, canBeTold: boolean): Admission | null {
    loopDelay.touch();
    return this.#gate.admit(this.context, address, canBeTold);
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
    else if (failure !== 'connect_timeout') this.#untoldFailures.note(detail);
  }

  /** Reasons are OpenSSL's: there are not many. */
  #noteCertificate(reason: string, detail: string): void {
    let untold = this.#untoldCertificates.get(reason);
    if (untold === undefined) {
      untold = new Untold();
      this.#untoldCertificates.set(reason, untold);
    }
    untold.note(detail);
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
   * A new configuration: for everybody at once, but for the namespace, TLS and WebSocket, which are those of the next connections.
   * TLS goes on or off in a moment in which nobody waits to be accepted, who would then speak what was true before.
   * @param isRebind who is connected now is meant by drainFormer()
   * @throws FluxError `unprocessable`: nothing has changed
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

  /** Takes back from everybody who is connected what the rules no longer allow. */
  async #obeyRules(): Promise<void> {
    const pace = new Pace();
    for (const client of [...this.clients]) {
      if (pace.isOver) await pace.next();
      if (client.session !== null) client.withdraw(client.session);
    }
  }

  stopAccepting(): void {
    this.#listener?.stopAccepting();
    this.#unbind(() => true);
  }

  /**
   * Stops accepting in a moment in which nobody waits to be accepted: what is in the accept queue when its socket closes is reset by
   * the kernel, unless others have the socket too.
   */
  async retire(isShared: boolean): Promise<void> {
    const listener = this.#listener;
    if (listener === null) return;
    if (isShared) this.stopAccepting();
    else await this.#whenNobodyWaits(listener, () => this.stopAccepting());
  }

  /**
   * A pass of the event loop that took nobody from the accept queue and lasted next to nothing is such a moment; so that there is one soon,
   * nobody is read meanwhile.
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
   * Ends clients that sent no CONNECT in time, have got no answer to it in time, sent nothing for one and a half Keep Alive [MQTT-3.1.2-24],
   * or have begun a packet that does not come.
   * @returns bytes that its clients hold
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
    this.#gate.tellHeld(this.context, held, this.#worker.memory.budgetBytes);
    if (overdue.length > 0) void this.#endOverdue(overdue, tick);
    this.#gate.tellRefusals(this.context, this.#worker.logger);
    if (tick % 2 === 0) this.#tellFailures();
    if (this.#formerContexts.length > 0) this.#forgetContexts();
    return held;
  }

  /** Thousands that lose their network at once are overdue at once. */
  async #endOverdue(clients: readonly Client[], tick: number): Promise<void> {
    const pace = new Pace();
    for (const client of clients) {
      if (pace.isOver) await pace.next();
      // It may have been heard of meanwhile.
      switch (overdueOf(client, tick, steadyNow())) {
        case 'keep-alive':
          this.context.count('keepAliveTimeout');
          client.close(REASON.keepAliveTimeout, 'Keep alive timeout');
          break;
        case 'packet':
          this.context.count('packetTimeout');
          client.close(REASON.unspecifiedError, 'A packet did not come whole in time');
          break;
        case 'connect':
          this.context.count('connectTimeout');
          // A peer that was never heard is owed no orderly end, which would hold its place for longer.
          client.connection.destroy();
          break;
        case 'answer':
          client.refuse(REASON.serverUnavailable, 'The server could not answer in time');
          break;
        case null:
      }
    }
  }

  /** Contexts that nobody is in any more. */
  #forgetContexts(): void {
    const used = new Set([...this.clients].map((client) => client.endpoint));
    this.#formerContexts = this.#formerContexts.filter((context) => used.has(context));
  }

  /** One line a second at most. */
  #tellFailures(): void {
    const { port } = this.endpoint;
    const failures = this.#untoldFailures.take();
    if (failures !== null) this.#worker.logger.warn(`Endpoint ${port}: TLS handshakes failed`, failures);
    for (const [reason, untold] of this.#untoldCertificates) {
      this.#worker.logger.warn(`Endpoint ${port}: TLS handshakes failed: client certificate refused: ${reason}`, untold.take() ?? {});
    }
    this.#untoldCertificates.clear();
    for (const { strangers } of [this.context, ...this.#formerContexts]) {
      const told = strangers.take();
      if (told !== null) this.#worker.logger.warn(`Endpoint ${port}: connections did not begin with CONNECT and were closed`, told);
    }
  }

  /** Stops accepting and ends all clients; who is still shaking hands comes too late. */
  async drain(drain: Drain): Promise<Drained> {
    this.stopAccepting();
    this.#isClosing = true;
    const drained = await this.#drain([...this.clients], drain);
    // Where a newer drain has taken its place, that one goes on closing.
    if (this.#draining === null) this.#isClosing = drained.done;
    return drained;
  }

  /** Ends the clients that were there at the last rebind. */
  async drainFormer(drain: Drain): Promise<Drained> {
    return this.#drain([...this.#former], drain);
  }

  /** Ends a drain under way: who is still connected stays. */
  cancelDrain(): void {
    this.#draining?.abort();
  }

  /** One at a time: a new one takes the place of the one before. */
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
    this.#gate.tellHeld(this.context, 0, this.#worker.memory.budgetBytes);
  }
}

/** What a client has not done, or not been answered, in time; null: nothing. @param now steady milliseconds */
function overdueOf(client: Client, tick: number, now: number): 'connect' | 'answer' | 'keep-alive' | 'packet' | null {
  switch (client.state) {
    case 'online':
      if (client.keepAlive > 0 && tick - client.lastSeen > client.keepAlive * 3 + 1 && !client.isKeptWaiting) return 'keep-alive';
      return client.isDripping(tick) ? 'packet' : null;
    case 'new':
      // By the age of the connection: no byte that drips makes it younger.
      return now - client.connection.acceptedAt > client.endpoint.config.endpoint.idleTimeout ? 'connect' : null;
    case 'connecting':
      return now - client.connectAt > HANDSHAKE_MS ? 'answer' : null;
    case 'closed':
      return null;
  }
}

/** The longer it takes, the longer a pass may be: a machine may be so busy that none is short. */
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
