/** The connections of one listener that uWebSockets.js carries: waits for their first bytes, then adopts their descriptors. */

import { closeSync, fstatSync } from 'node:fs';
import type { TcpHandle } from '../../../src/internals/tcp-handles.ts';
import type { Guard } from '../../../src/internals/uws/contract.ts';
import type { LoadedUws } from '../../../src/internals/uws/load.ts';
import { addressBytes, plainAddress } from '../../../src/kernel/address.ts';
import { steadyNow } from '../../../src/kernel/clock.ts';
import { messageOf } from '../../../src/kernel/errors.ts';
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
/** A WebSocket message may hold several packets, of which the largest is messageMaxSize. */
const FRAME_ROOM_BYTES = 1024 * 1024;
/** The first byte of a TLS handshake record (RFC 8446 section 5.1). */
const TLS_HANDSHAKE = 0x16;

type Available = LoadedUws & { available: true };
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
  readonly terms: AppTerms;
  readonly serve: Serve;
}

export class UwsSockets {
  readonly #host: ListenerHost;
  readonly #load: () => LoadedUws;
  /** the oldest first */
  readonly #waiting = new Set<Waiting>();
  #apps: WebSocketApp[] = [];
  #terms: AppTerms | null = null;
  /** why no application could be made for the terms: the library has another TLS than Node */
  #problem: string | null = null;

  constructor(host: ListenerHost, load: () => LoadedUws) {
    this.#host = host;
    this.#load = load;
  }

  readonly #lacking = (): string | null => {
    const loaded = this.#load();
    return loaded.available ? null : loaded.reason;
  };

  /**
   * Takes an accepted connection, or refuses and closes it. False: the built-in transport serves it, and nothing has happened to it.
   * @param serve called later for a connection that uWebSockets.js does not carry after all
   */
  take(handle: TcpHandle, serve: Serve): boolean {
    const host = this.#host;
    if (!host.endpoint.useWebsocket || host.mayChangeProtocol || reasonForBuiltin(host, this.#lacking) !== null) return false;
    const loaded = this.#load();
    const terms = this.#termsNow();
    if (!loaded.available || this.#problem !== null) return false;
    const peer: { address?: string } = {};
    handle.getpeername(peer);
    const address = plainAddress(peer.address);
    const addressKey = addressBytes(address);
    if (addressKey === '') return false;
    // Behind TLS, the reason of a refusal would cost a handshake.
    const admission = host.admit(address, terms.tls === null);
    if (admission === null) handle.close();
    else if (admission.refusal !== null) serve(handle, { admission, acceptedAt: steadyNow() });
    else this.#wait(loaded, { handle, address, addressKey, early: { admission, acceptedAt: steadyNow() }, terms, serve });
    return true;
  }

  #wait({ uws, guard }: Available, base: Omit<Waiting, 'fd'>): void {
    const { handle, early } = base;
    let fd = -1;
    try {
      fd = guard.dup(handle.fd);
      if (!this.#host.allowsDescriptor(fd)) throw new RangeError('the last descriptors belong to the node');
      const waiting = { ...base, fd };
      awaitArrival(guard, fd, () => {
        this.#waiting.delete(waiting);
        this.#onArrival(uws, guard, waiting);
      });
      this.#waiting.add(waiting);
    } catch {
      // The process has no descriptor left.
      if (fd >= 0) closeSync(fd);
      base.serve(handle, early);
    }
  }

  #onArrival(uws: Available['uws'], guard: Guard, waiting: Waiting): void {
    const { handle, fd, address, addressKey, early, terms, serve } = waiting;
    const app = this.#isOurs(peekArrived(guard, fd), terms) ? this.#appFor(addressKey, terms, { uws, guard }) : null;
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
  #appFor(addressKey: string, terms: AppTerms, { uws, guard }: Pick<Available, 'uws' | 'guard'>): WebSocketApp | null {
    let count = 0;
    for (const app of this.#apps) {
      if (app.terms !== terms) continue;
      if (!app.hasPending(addressKey)) return app;
      count++;
    }
    if (count >= APPS_MAX) return null;
    try {
      const app = new WebSocketApp(uws, guard, this.#host, terms);
      this.#apps.push(app);
      return app;
    } catch (error) {
      this.#problem = messageOf(error);
      return null;
    }
  }

  /** The terms of the next connection; the same object while nothing has changed. */
  #termsNow(): AppTerms {
    const { tls, endpoint } = this.#host;
    const maxPayload = endpoint.messageMaxSize + FRAME_ROOM_BYTES;
    const terms = this.#terms;
    if (terms !== null && terms.tls?.digest === tls?.digest && terms.maxPayload === maxPayload) return terms;
    this.#problem = null;
    this.#terms = { tls, maxPayload };
    return this.#terms;
  }

  /** Ends connections that sent nothing in time, admissions of those that have gone, and applications that nobody needs. */
  sweep(now: number, timeoutMs: number): void {
    for (const waiting of this.#waiting) {
      if (now - waiting.early.acceptedAt <= timeoutMs) break;
      this.#drop(waiting);
      const { address, early, terms } = waiting;
      if (terms.tls !== null)
        this.#host.leave(early.admission, 'tls_timeout', `${address}: the handshake did not finish within ${timeoutMs} ms`);
      else this.#host.leave(early.admission, 'connect_timeout', `${address}: no complete WebSocket request came within ${timeoutMs} ms`);
    }
    for (const app of this.#apps) {
      app.sweep();
      if (app.connections === 0 && app.terms !== this.#terms) app.close();
    }
    this.#apps = this.#apps.filter((app) => app.connections > 0 || app.terms === this.#terms);
  }

  #drop(waiting: Waiting): void {
    const loaded = this.#load();
    this.#waiting.delete(waiting);
    if (loaded.available) forgetArrival(loaded.guard, waiting.fd);
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
