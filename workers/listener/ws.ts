/** MQTT over WebSocket by uWebSockets.js, which is loaded only where an endpoint needs it (DESIGN.md section 6 says why). */

import type * as Uws from 'uWebSockets.js';
import { FluxError } from '../../src/kernel/errors.ts';
import type { TlsMaterial } from '../../src/thread/tls-material.ts';
import type { Connection, ConnectionClient, Listener, ListenerHost } from '../connection.ts';
import { addApp, closeApp } from './open-apps.ts';
import { END_DEADLINE_MS, FRAME_BYTES_MAX, NORMAL_CLOSURE, subprotocolOf, UNSUPPORTED_DATA } from './ws-rules.ts';

const TRY_AGAIN_LATER = 1013;
/** uWS cannot stop reading a WebSocket: what comes during a pause waits here, and a client that sends more is closed. */
const PAUSED_BYTES_MAX = 16 * 1024 * 1024;

interface UserData {
  address: string;
  connection: WsConnection | null;
}

type Socket = Uws.WebSocket<UserData>;

class WsConnection implements Connection {
  readonly address: string;
  #socket: Socket | null;
  client: ConnectionClient | null = null;
  #isPaused = false;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  isBlocked = false;
  isEnding = false;

  constructor(socket: Socket, address: string) {
    this.#socket = socket;
    this.address = address;
  }

  send(bytes: Buffer): boolean {
    const socket = this.#socket;
    if (socket === null) return true;
    socket.send(bytes, true);
    this.isBlocked = socket.getBufferedAmount() > 0;
    return !this.isBlocked;
  }

  /** `bytes` is valid during this call only. */
  onMessage(bytes: Buffer): void {
    if (!this.#isPaused) {
      this.client?.onData(bytes, 0, bytes.length);
      return;
    }
    this.#waiting.push(Buffer.from(bytes));
    this.#waitingBytes += bytes.length;
    if (this.#waitingBytes > PAUSED_BYTES_MAX && !this.isEnding) {
      this.isEnding = true;
      this.#socket?.end(TRY_AGAIN_LATER);
    }
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    for (const bytes of waiting) this.onMessage(bytes);
  }

  end(): void {
    if (this.isEnding || this.#socket === null) return;
    this.isEnding = true;
    // uWS sends what it has buffered before the close frame.
    this.#socket.end(NORMAL_CLOSURE);
    const timer = setTimeout(() => this.destroy(), END_DEADLINE_MS);
    timer.unref();
  }

  destroy(): void {
    this.#socket?.close();
  }

  onDrain(): void {
    if (!this.isBlocked || this.#socket === null || this.#socket.getBufferedAmount() > 0) return;
    this.isBlocked = false;
    this.client?.onDrain();
  }

  onClose(isReset: boolean): void {
    this.#socket = null;
    this.#waiting = [];
    this.client?.onClose(isReset);
  }
}

/** uWS cannot exchange a certificate under way, take one that is no file, or tell of failed handshakes: WebSocket over TLS is in wss.ts. */
function refuseTls(material: TlsMaterial | null): void {
  if (material !== null) throw new FluxError('internal', 'this listener has no TLS');
}

/** Everything of the request is copied here, before it becomes invalid. */
function upgrade(path: string, response: Uws.HttpResponse, request: Uws.HttpRequest, context: Uws.us_socket_context_t): void {
  if (request.getUrl() !== path) {
    response.writeStatus('404 Not Found').end();
    return;
  }
  const protocol = subprotocolOf(request.getHeader('sec-websocket-protocol'));
  if (protocol === undefined) {
    // [MQTT-6.0.0-3]: the client MUST include "mqtt" in the list of subprotocols it offers.
    response.writeStatus('400 Bad Request').end('the WebSocket subprotocol must be mqtt');
    return;
  }
  const address = Buffer.from(response.getRemoteAddressAsText()).toString('latin1');
  const key = request.getHeader('sec-websocket-key');
  const extensions = request.getHeader('sec-websocket-extensions');
  response.upgrade<UserData>({ address: shortAddress(address), connection: null }, key, protocol, extensions, context);
}

function shortAddress(address: string): string {
  const mapped = /^0000:0000:0000:0000:0000:ffff:([0-9a-f]{2})([0-9a-f]{2}):([0-9a-f]{2})([0-9a-f]{2})$/.exec(address);
  if (mapped !== null)
    return mapped
      .slice(1)
      .map((byte) => Number.parseInt(byte, 16))
      .join('.');
  return address;
}

function behaviour(host: ListenerHost): Uws.WebSocketBehavior<UserData> {
  return {
    compression: 0,
    // MQTT's keep alive rules, not the transport's.
    idleTimeout: 0,
    sendPingsAutomatically: false,
    maxPayloadLength: FRAME_BYTES_MAX,
    // The client bounds what waits for it; uWS would drop silently.
    maxBackpressure: 0,
    upgrade: (response, request, context) => upgrade(host.endpoint.path, response, request, context),
    open: (socket) => {
      const data = socket.getUserData();
      const connection = new WsConnection(socket, data.address);
      const client = host.accept(connection);
      if (client === null) {
        socket.close();
        return;
      }
      connection.client = client;
      data.connection = connection;
    },
    message: (socket, message, isBinary) => {
      const { connection } = socket.getUserData();
      if (connection === null || connection.isEnding) return;
      // [MQTT-6.0.0-1]: MQTT control packets come in binary frames only.
      if (!isBinary) {
        connection.isEnding = true;
        socket.end(UNSUPPORTED_DATA);
        return;
      }
      connection.onMessage(Buffer.from(message));
    },
    drain: (socket) => socket.getUserData().connection?.onDrain(),
    close: (socket, code) => {
      const data = socket.getUserData();
      data.connection?.onClose(code === 1006);
      data.connection = null;
    },
  };
}

/** Binds and accepts. uWS says only that it failed, so main has probed the port before. @throws FluxError `port-in-use` */
export async function openWsListener(owner: ListenerHost): Promise<Listener> {
  const uws = await import('uWebSockets.js');
  const app = uws.App();
  addApp(app);
  let accepted = 0;
  const count = (_response: Uws.HttpResponse, change: number): void => {
    if (change > 0) accepted++;
  };
  app.filter(count);
  app.ws('/*', behaviour(owner));
  app.any('/*', (response, request) => {
    const isPath = request.getUrl() === owner.endpoint.path;
    response.writeStatus(isPath ? '426 Upgrade Required' : '404 Not Found').end();
  });
  const { host, port } = owner.endpoint;
  let token: Uws.us_listen_socket | null = await new Promise((resolve) => {
    app.listen(host, port, (socket) => resolve(socket === false ? null : socket));
  });
  if (token === null || token === undefined) {
    closeApp(app);
    throw new FluxError(
      'port-in-use',
      `Failed to bind to address ${host}:${port}: Port ${port} is already in use or the address is not local`,
    );
  }
  const bound = uws.us_socket_local_port(token);
  const stopAccepting = (): void => {
    if (token !== null) uws.us_listen_socket_close(token);
    token = null;
  };
  const close = (): void => {
    stopAccepting();
    closeApp(app);
  };
  return {
    port: bound,
    get accepted() {
      return accepted;
    },
    // uWS listens with 512, always.
    setBacklog: () => undefined,
    setTls: refuseTls,
    stopAccepting,
    close,
  };
}
