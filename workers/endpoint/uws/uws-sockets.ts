/** The connections of one listener that uWebSockets.js carries: looks at their first bytes, then adopts their descriptors. */

import { closeSync } from 'node:fs';
import type { TcpHandle } from '../../../src/internals/tcp-handles.ts';
import type { Guard, Uws } from '../../../src/internals/uws/contract.ts';
import type { LoadedUws } from '../../../src/internals/uws/load.ts';
import { plainAddress } from '../../../src/kernel/address.ts';
import { steadyNow } from '../../../src/kernel/clock.ts';
import { reasonForBuiltin } from '../../../src/thread/websocket-transport.ts';
import type { EarlyAdmission, ListenerHost } from '../connection/connection.ts';
import { judgeHead } from '../websocket/http-upgrade.ts';
import { type Arriving, awaitArrival, peekArrived } from './arrivals.ts';
import { type AppTerms, WebSocketApp } from './uws-app.ts';

/** A WebSocket message may be longer than messageMaxSize by this, because it may hold several packets. */
const FRAME_ROOM_BYTES = 1024 * 1024;
/** The first byte of a TLS handshake record (RFC 8446 section 5.1). */
const TLS_HANDSHAKE = 0x16;
const NOTHING = Buffer.alloc(0);

/** The material and limits with which uWebSockets.js serves an endpoint. */
interface Service extends AppTerms {
  readonly uws: Uws;
  readonly guard: Guard;
}
/** Gives a connection to the built-in transport. */
type Serve = (handle: TcpHandle, early: EarlyAdmission) => void;

/** An admitted connection. */
interface Arrived {
  readonly handle: TcpHandle;
  readonly address: string;
  readonly early: EarlyAdmission;
  readonly service: Service;
  readonly serve: Serve;
}

/** An admitted connection whose first bytes have not come. */
interface Waiting extends Arrived, Arriving {}

export class UwsSockets {
  readonly #host: ListenerHost;
  readonly #load: () => LoadedUws;
  /** the oldest first */
  readonly #waiting = new Set<Waiting>();
  #apps: WebSocketApp[] = [];
  /** the endpoint and its material that #service was judged for */
  #judged: Pick<ListenerHost, 'endpoint' | 'tls'> | null = null;
  /** null: the built-in transport serves */
  #service: Service | null = null;

  constructor(host: ListenerHost, load: () => LoadedUws) {
    this.#host = host;
    this.#load = load;
  }

  /**
   * Takes an accepted connection, or refuses and closes it. False: the built-in transport serves it, and nothing has happened to it.
   * @param serve called later for a connection that uWebSockets.js does not carry after all
   */
  take(handle: TcpHandle, serve: Serve): boolean {
    const host = this.#host;
    const service = host.mayChangeProtocol ? null : this.#serviceNow();
    if (service === null) return false;
    const peer: { address?: string } = {};
    handle.getpeername(peer);
    const address = plainAddress(peer.address);
    // Behind TLS, the reason of a refusal would cost a handshake.
    const admission = host.admit(address, service.tls === null);
    if (admission === null) handle.close();
    else {
      const early = { admission, acceptedAt: steadyNow() };
      if (admission.refusal !== null) serve(handle, early);
      else this.#judgeOrWait({ handle, address, early, service, serve });
    }
    return true;
  }

  /** The first bytes of most connections have come: a client sends them right after it has connected. */
  #judgeOrWait(arrived: Arrived): void {
    const { handle, early, service, serve } = arrived;
    const bytes = peekArrived(service.guard, handle);
    if (bytes !== null) {
      this.#judgeBytes(arrived, bytes);
      return;
    }
    const waiting: Waiting = {
      ...arrived,
      onArrival: () => {
        this.#waiting.delete(waiting);
        this.#judgeBytes(arrived, peekArrived(service.guard, handle) ?? NOTHING);
      },
    };
    if (awaitArrival(handle as TcpHandle<Arriving>, waiting)) this.#waiting.add(waiting);
    else serve(handle, early);
  }

  #judgeBytes(arrived: Arrived, bytes: Buffer): void {
    const { handle, early, service, serve } = arrived;
    const app = this.#isOurs(bytes, service) ? this.#appFor(service) : null;
    const fd = app === null ? -1 : this.#duplicate(service.guard, handle);
    if (app === null || fd < 0) {
      serve(handle, early);
      return;
    }
    app.adopt(fd, arrived.address, early);
    // uWebSockets.js has switched TCP_NODELAY on.
    if (!this.#host.endpoint.childOptions.tcpNodelay) service.guard.noDelay(fd, false);
    handle.close();
  }

  /** A second descriptor of the connection, for uWebSockets.js. -1: the process, or its clients, may have no more. */
  #duplicate(guard: Guard, handle: TcpHandle): number {
    let fd = -1;
    try {
      fd = guard.dup(handle.fd);
    } catch {
      return -1;
    }
    if (this.#host.allowsDescriptor(fd)) return fd;
    closeSync(fd);
    return -1;
  }

  /** The built-in transport answers a peer that does not open a WebSocket at once, and names the foreign protocol. */
  #isOurs(bytes: Buffer, { tls }: AppTerms): boolean {
    if (tls !== null) return bytes[0] === TLS_HANDSHAKE;
    const size = bytes.indexOf('\r\n\r\n');
    return size > 0 && 'key' in judgeHead(bytes.toString('latin1', 0, size), this.#host.endpoint.path);
  }

  /** Null: no application can be made. */
  #appFor(service: Service): WebSocketApp | null {
    const known = this.#apps.find((app) => app.terms === service);
    if (known !== undefined) return known;
    try {
      const app = new WebSocketApp(service.uws, service.guard, this.#host, service);
      this.#apps.push(app);
      return app;
    } catch {
      // The library has another TLS than Node, which has accepted the material.
      if (this.#service === service) this.#service = null;
      return null;
    }
  }

  /** Judged once for each change of the endpoint or its material, and not for each connection. Null: the built-in transport serves. */
  #serviceNow(): Service | null {
    const { endpoint, tls } = this.#host;
    if (this.#judged?.endpoint !== endpoint || this.#judged.tls !== tls) {
      this.#judged = { endpoint, tls };
      this.#service = this.#judge(endpoint, tls);
    }
    return this.#service;
  }

  /** Keeps the service, with its applications, when nothing has changed that matters to it. */
  #judge(endpoint: ListenerHost['endpoint'], tls: ListenerHost['tls']): Service | null {
    // A thread without WebSocket does not load uWebSockets.js.
    if (!endpoint.useWebsocket) return null;
    const reason = reasonForBuiltin({ endpoint, tls }, () => {
      const loaded = this.#load();
      return loaded.available ? null : loaded.reason;
    });
    const loaded = reason === null ? this.#load() : null;
    if (loaded === null || !loaded.available) return null;
    const maxPayload = endpoint.messageMaxSize + FRAME_ROOM_BYTES;
    const before = this.#service;
    if (before !== null && before.tls?.digest === tls?.digest && before.maxPayload === maxPayload) return before;
    return { tls, maxPayload, uws: loaded.uws, guard: loaded.guard };
  }

  /** Ends connections that sent nothing in time, admissions of those that have gone, and applications that nobody needs. */
  sweep(now: number, timeoutMs: number): void {
    for (const waiting of this.#waiting) {
      if (now - waiting.early.acceptedAt <= timeoutMs) break;
      this.#drop(waiting);
      const { address, early, service } = waiting;
      if (service.tls !== null)
        this.#host.leave(early.admission, 'tls_timeout', `${address}: the handshake did not finish within ${timeoutMs} ms`);
      else this.#host.leave(early.admission, 'connect_timeout', `${address}: no complete WebSocket request came within ${timeoutMs} ms`);
    }
    for (const app of this.#apps) {
      app.sweep();
      if (app.connections === 0 && app.terms !== this.#service) app.close();
    }
    this.#apps = this.#apps.filter((app) => app.connections > 0 || app.terms === this.#service);
  }

  #drop(waiting: Waiting): void {
    this.#waiting.delete(waiting);
    waiting.handle.close();
  }

  /** Closes every connection. */
  close(): void {
    for (const waiting of this.#waiting) {
      this.#drop(waiting);
      this.#host.leave(waiting.early.admission, null, '');
    }
    for (const app of this.#apps) app.close();
    this.#apps = [];
  }
}
