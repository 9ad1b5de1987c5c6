/** The connections of one listener that uWebSockets.js carries: waits for their first bytes, then adopts their descriptors. */

import { closeSync, fstatSync } from 'node:fs';
import type { TcpHandle } from '../../../src/internals/tcp-handles.ts';
import type { Guard, Uws } from '../../../src/internals/uws/contract.ts';
import type { LoadedUws } from '../../../src/internals/uws/load.ts';
import { addressBytes, plainAddress } from '../../../src/kernel/address.ts';
import { steadyNow } from '../../../src/kernel/clock.ts';
import { reasonForBuiltin } from '../../../src/thread/websocket-transport.ts';
import type { EarlyAdmission, ListenerHost } from '../connection/connection.ts';
import { judgeHead } from '../websocket/http-upgrade.ts';
import { awaitArrival, forgetArrival, peekArrived } from './arrivals.ts';
import { type AppTerms, WebSocketApp } from './uws-app.ts';

/**
 * Applications with the same terms. Each takes one pending connection from an address, and costs 75 kB: when all have one, further
 * connections of the address go to the built-in transport.
 */
const APPS_MAX = 64;
/** A WebSocket message may be longer than messageMaxSize by this, because it may hold several packets. */
const FRAME_ROOM_BYTES = 1024 * 1024;
/** The first byte of a TLS handshake record (RFC 8446 section 5.1). */
const TLS_HANDSHAKE = 0x16;

/** What uWebSockets.js serves an endpoint with. */
interface Service extends AppTerms {
  readonly uws: Uws;
  readonly guard: Guard;
}
/** Gives a connection to the built-in transport. */
type Serve = (handle: TcpHandle, early: EarlyAdmission) => void;

/** A connection whose first bytes have not come. */
interface Waiting {
  readonly handle: TcpHandle;
  /** a duplicate of the handle's descriptor, for uWebSockets.js */
  readonly fd: number;
  readonly address: string;
  readonly addressKey: string;
  readonly early: EarlyAdmission;
  readonly service: Service;
  readonly serve: Serve;
}

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
    const addressKey = addressBytes(address);
    if (addressKey === '') return false;
    // Behind TLS, the reason of a refusal would cost a handshake.
    const admission = host.admit(address, service.tls === null);
    if (admission === null) handle.close();
    else if (admission.refusal !== null) serve(handle, { admission, acceptedAt: steadyNow() });
    else this.#wait({ handle, address, addressKey, early: { admission, acceptedAt: steadyNow() }, service, serve });
    return true;
  }

  #wait(base: Omit<Waiting, 'fd'>): void {
    const { handle, early } = base;
    const { guard } = base.service;
    let fd = -1;
    try {
      fd = guard.dup(handle.fd);
      if (!this.#host.allowsDescriptor(fd)) throw new RangeError('the last descriptors belong to the node');
      const waiting = { ...base, fd };
      awaitArrival(guard, fd, () => {
        this.#waiting.delete(waiting);
        this.#onArrival(waiting);
      });
      this.#waiting.add(waiting);
    } catch {
      // The process has no descriptor left.
      if (fd >= 0) closeSync(fd);
      base.serve(handle, early);
    }
  }

  #onArrival({ handle, fd, address, addressKey, early, service, serve }: Waiting): void {
    const { guard } = service;
    const app = this.#isOurs(peekArrived(guard, fd), service) ? this.#appFor(addressKey, service) : null;
    if (app === null) {
      closeSync(fd);
      serve(handle, early);
      return;
    }
    app.adopt(addressKey, { ...early, address, fd, inode: fstatSync(fd).ino, wasAnswered: false, connection: null });
    // uWebSockets.js has switched it on.
    if (!this.#host.endpoint.childOptions.tcpNodelay) guard.noDelay(fd, false);
    handle.close();
  }

  /** The built-in transport answers whoever does not open a WebSocket at once, and names what came instead. */
  #isOurs(bytes: Buffer, { tls }: AppTerms): boolean {
    if (tls !== null) return bytes[0] === TLS_HANDSHAKE;
    const size = bytes.indexOf('\r\n\r\n');
    return size > 0 && 'key' in judgeHead(bytes.toString('latin1', 0, size), this.#host.endpoint.path);
  }

  /** An application without a pending connection of the address; null: none may be made. */
  #appFor(addressKey: string, service: Service): WebSocketApp | null {
    let count = 0;
    for (const app of this.#apps) {
      if (app.terms !== service) continue;
      if (!app.hasPending(addressKey)) return app;
      count++;
    }
    if (count >= APPS_MAX) return null;
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
    forgetArrival(waiting.service.guard, waiting.fd);
    closeSync(waiting.fd);
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
