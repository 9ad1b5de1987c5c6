/** One application of uWebSockets.js: the WebSockets of an endpoint with one TLS material and one limit of a frame. */

import type { Guard, Uws, UwsApp, UwsRequest, UwsResponse, UwsSocket, UwsSocketContext } from '../../../src/internals/uws/contract.ts';
import { FluxError, messageOf } from '../../../src/kernel/errors.ts';
import { type MemoryFile, makeMemoryFile } from '../../../src/thread/memory-file.ts';
import type { TlsMaterial } from '../../../src/thread/tls-material.ts';
import type { EarlyAdmission, ListenerHost } from '../connection/connection.ts';
import { judgeUpgrade, type UpgradeRefusal } from '../websocket/http-upgrade.ts';
import { type Admitted, UwsConnection } from './uws-connection.ts';

/** Connections that a sweep samples in turn, beside those that have sent no message. A sample takes about a microsecond. */
const SAMPLES_MAX = 2000;

/** The settings of an application; other settings need another application. */
export interface AppTerms {
  /** null: no TLS */
  tls: TlsMaterial | null;
  /** longest WebSocket message, bytes */
  maxPayload: number;
}

/** Adopted connections are pending until their WebSocket opens. */
export class WebSocketApp {
  readonly #host: ListenerHost;
  readonly #guard: Guard;
  readonly terms: AppTerms;
  readonly #app: UwsApp;
  /** by descriptor: the guard knows whose event brings a request */
  readonly #pending = new Map<number, Admitted>();
  /** pending connections that have ended outside of their events, and are not known by name yet */
  #lost = 0;
  #isClosing = false;
  readonly #open = new Set<UwsConnection>();
  /** open connections without a message: each sweep samples them */
  readonly #silent = new Set<UwsConnection>();
  /** where the next sweep continues */
  #next = this.#open.values();

  /** @throws FluxError `unprocessable`: the TLS material cannot be used */
  constructor(uws: Uws, guard: Guard, host: ListenerHost, terms: AppTerms) {
    this.#host = host;
    this.#guard = guard;
    this.terms = terms;
    this.#app = terms.tls === null ? uws.App() : secureApp(uws, terms.tls);
    this.#app
      .filter(this.#onCount)
      .ws<Admitted>('/*', {
        compression: 0,
        // MQTT's Keep Alive replaces the idle timeout of uWebSockets.js.
        idleTimeout: 0,
        sendPingsAutomatically: false,
        maxPayloadLength: terms.maxPayload,
        // The client stops at its own limits.
        maxBackpressure: 0,
        upgrade: (response, request, context) => this.#onUpgrade(response, request, context),
        open: (socket) => this.#onOpen(socket),
        message: (socket, message, isBinary) => socket.getUserData().connection?.onMessage(message, isBinary),
        ping: (socket, message) => socket.getUserData().connection?.onControl(message.byteLength),
        pong: (socket, message) => socket.getUserData().connection?.onControl(message.byteLength),
        drain: (socket) => socket.getUserData().connection?.onDrain(),
        close: (socket, code) => this.#onClose(socket.getUserData(), code),
      })
      .any('/*', (response, request) => {
        const admitted = this.#pending.get(this.#guard.current());
        if (admitted !== undefined) admitted.wasAnswered = true;
        const judged = judgeUpgrade(readRequest(request), this.#host.endpoint.path);
        if ('status' in judged) refuse(response, judged);
        else response.close();
      });
  }

  /** Called for each adopted connection, and for each that ends before its WebSocket opens: in an event of its own, or by a timer. */
  readonly #onCount = (_response: UwsResponse, change: number): void => {
    if (change > 0) return;
    const admitted = this.#isClosing ? undefined : this.#pending.get(this.#guard.current());
    if (admitted === undefined) this.#lost++;
    else this.#forget(admitted);
  };

  /** Takes over a descriptor. */
  adopt(fd: number, address: string, early: EarlyAdmission): void {
    const before = this.#pending.get(fd);
    if (before !== undefined) {
      // The descriptor of an older connection was closed outside of its events, and the number is in use again.
      this.#lost--;
      this.#forget(before);
    }
    this.#pending.set(fd, { ...early, address, fd, cookie: this.#guard.cookie(fd), wasAnswered: false, connection: null });
    this.#app.adoptSocket(fd);
    this.#guard.trace(fd);
  }

  #onUpgrade(response: UwsResponse, request: UwsRequest, context: UwsSocketContext): void {
    const admitted = this.#pending.get(this.#guard.current());
    if (admitted === undefined) {
      response.close();
      return;
    }
    const judged = judgeUpgrade(readRequest(request), this.#host.endpoint.path);
    if ('status' in judged) {
      admitted.wasAnswered = true;
      refuse(response, judged);
      return;
    }
    this.#pending.delete(admitted.fd);
    response.upgrade(admitted, judged.key, judged.protocol, '', context);
  }

  #onOpen(socket: UwsSocket<Admitted>): void {
    const admitted = socket.getUserData();
    const connection = new UwsConnection(socket, admitted, this.#guard);
    admitted.connection = connection;
    connection.client = this.#host.welcome(connection, admitted.admission);
    if (connection.client === null) connection.destroy();
    else {
      this.#open.add(connection);
      this.#silent.add(connection);
    }
  }

  #onClose({ connection }: Admitted, code: number): void {
    if (connection === null) return;
    this.#open.delete(connection);
    this.#silent.delete(connection);
    connection.onClose(code);
  }

  /** Number of all connections, pending ones included. */
  get connections(): number {
    return this.#pending.size + this.#open.size;
  }

  /** Runs twice a second. */
  sweep(): void {
    this.#forgetLost();
    for (const connection of this.#silent) {
      if (connection.isSilent) connection.sample();
      else this.#silent.delete(connection);
    }
    for (let count = 0; count < SAMPLES_MAX; count++) {
      const { done, value } = this.#next.next();
      if (done) {
        this.#next = this.#open.values();
        return;
      }
      value.sample();
    }
  }

  /** Ends the admissions of connections that have gone before their WebSocket opened. */
  #forgetLost(): void {
    for (const admitted of this.#pending.values()) {
      if (this.#lost === 0) return;
      if (this.#guard.cookie(admitted.fd) === admitted.cookie) continue;
      this.#lost--;
      this.#forget(admitted);
    }
    this.#lost = 0;
  }

  #forget(admitted: Admitted): void {
    this.#pending.delete(admitted.fd);
    this.#leave(admitted);
  }

  #leave({ admission, address, wasAnswered }: Admitted): void {
    if (wasAnswered) this.#host.leave(admission, null, '');
    else if (this.terms.tls === null)
      this.#host.leave(admission, 'bad_connect', `${address}: the connection ended without a WebSocket request`);
    else this.#host.leave(admission, 'tls_handshake', `${address}: the connection ended before its WebSocket request`);
  }

  /** Closes every connection, pending ones too. */
  close(): void {
    this.#isClosing = true;
    this.#app.close();
    for (const admitted of this.#pending.values()) this.#forget(admitted);
  }
}

function readRequest(request: UwsRequest) {
  const headers = new Map<string, string>();
  request.forEach((name, value) => {
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : `${before}, ${value}`);
  });
  return { method: request.getMethod().toUpperCase(), target: request.getUrl(), headers };
}

/** Writes the answer; uWebSockets.js adds Content-Length. */
function refuse(response: UwsResponse, { status, body, headers, connection }: UpgradeRefusal): void {
  response.writeStatus(status);
  for (const [name, value] of headers) response.writeHeader(name, value);
  // uWebSockets.js adds `Connection: close` by itself.
  if (connection !== 'close') response.writeHeader('Connection', connection);
  response.end(body, true);
}

/** uWebSockets.js reads its certificate and key from files. @throws FluxError `unprocessable` */
function secureApp(uws: Uws, { cert, key }: TlsMaterial): UwsApp {
  const files: MemoryFile[] = [];
  const pathOf = (text: string | null): string => {
    const file = makeMemoryFile(text ?? '');
    files.push(file);
    return file.path;
  };
  try {
    return uws.SSLApp({ cert_file_name: pathOf(cert), key_file_name: pathOf(key), ssl_prefer_low_memory_usage: true });
  } catch (error) {
    const message = messageOf(error);
    throw new FluxError('unprocessable', `TLS cannot be used: ${message}`, { cause: error, issues: [{ path: 'sslConfig', message }] });
  } finally {
    for (const file of files) file.close();
  }
}
