/** MQTT over WebSocket by uWebSockets.js, which is loaded only where an endpoint needs it (DESIGN.md section 6 says why). */

import type * as Uws from 'uWebSockets.js';
import type { Endpoint } from '../../src/endpoint/endpoint.ts';
import { FluxError } from '../../src/kernel/errors.ts';
import type { ClientFactory, Connection, ConnectionClient, Listener } from '../connection.ts';
import { addApp, closeApp } from './open-apps.ts';

/** Larger frames than any packet: the size limit is MQTT's, told with its own reason code. */
const FRAME_BYTES_MAX = 300 * 1024 * 1024;
const SUBPROTOCOLS = ['mqtt', 'mqttv3.1'];
/** A peer that does not close its side, or does not read what is left, is cut off after this time. */
const END_DEADLINE_MS = 5_000;
/** Close code of a connection that was ended by the MQTT layer (RFC 6455 section 7.4.1: normal closure). */
const NORMAL_CLOSURE = 1000;
const UNSUPPORTED_DATA = 1003;
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

  onMessage(bytes: Buffer): void {
    if (!this.#isPaused) {
      this.client?.onData(bytes);
      return;
    }
    this.#waiting.push(bytes);
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

/** Everything of the request is copied here, before it becomes invalid. */
function upgrade(path: () => string, response: Uws.HttpResponse, request: Uws.HttpRequest, context: Uws.us_socket_context_t): void {
  if (request.getUrl() !== path()) {
    response.writeStatus('404 Not Found').end();
    return;
  }
  const offered = request.getHeader('sec-websocket-protocol').split(',');
  const protocol = offered.map((name) => name.trim()).find((name) => SUBPROTOCOLS.includes(name));
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

function behaviour(path: () => string, makeClient: ClientFactory): Uws.WebSocketBehavior<UserData> {
  return {
    compression: 0,
    // MQTT's keep alive rules, not the transport's.
    idleTimeout: 0,
    sendPingsAutomatically: false,
    maxPayloadLength: FRAME_BYTES_MAX,
    // The client bounds what waits for it; uWS would drop silently.
    maxBackpressure: 0,
    upgrade: (response, request, context) => upgrade(path, response, request, context),
    open: (socket) => {
      const data = socket.getUserData();
      const connection = new WsConnection(socket, data.address);
      const client = makeClient(connection);
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
      // The bytes are valid during this call only.
      const bytes = Buffer.allocUnsafeSlow(message.byteLength);
      bytes.set(new Uint8Array(message));
      connection.onMessage(bytes);
    },
    drain: (socket) => socket.getUserData().connection?.onDrain(),
    close: (socket, code) => {
      const data = socket.getUserData();
      data.connection?.onClose(code === 1006);
      data.connection = null;
    },
  };
}

/**
 * Binds and accepts. uWS says only that it failed, so main has probed the port before. @throws FluxError `port-in-use`
 * @param path read at each upgrade: a changed path counts from the next one
 */
export async function openWsListener(endpoint: Endpoint, path: () => string, makeClient: ClientFactory): Promise<Listener> {
  const uws = await import('uWebSockets.js');
  const app = uws.App();
  addApp(app);
  let accepted = 0;
  const count = (_response: Uws.HttpResponse, change: number): void => {
    if (change > 0) accepted++;
  };
  app.filter(count);
  app.ws('/*', behaviour(path, makeClient));
  app.any('/*', (response, request) => {
    const isPath = request.getUrl() === path();
    response.writeStatus(isPath ? '426 Upgrade Required' : '404 Not Found').end();
  });
  const { host, port } = endpoint;
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
    stopAccepting,
    close,
  };
}
