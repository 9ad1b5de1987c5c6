/** MQTT over WebSocket with TLS: node's TLS and `ws`, which know client certificates, revocation and the exchange of a certificate; uWS does not. */

import type http from 'node:http';
import type net from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { WebSocket, WebSocketServer } from 'ws';
import type { Connection, ConnectionClient, Listener, ListenerHost } from '../connection.ts';
import { acceptTcp, toListener } from './accept.ts';
import { plainAddress } from './address.ts';
import { SecureServer } from './secure-server.ts';
import {
  END_DEADLINE_MS,
  FRAME_BYTES_MAX,
  HELD_BYTES_MAX,
  NORMAL_CLOSURE,
  pathOf,
  SUBPROTOCOLS,
  subprotocolOf,
  UNSUPPORTED_DATA,
  UPGRADE_MS,
} from './ws-rules.ts';

/** RFC 6455 section 7.1.5: the connection ended without a close frame. */
const ABNORMAL_CLOSURE = 1006;
const BINARY = { binary: true, compress: false } as const;

class WssConnection implements Connection {
  readonly address: string;
  readonly #ws: WebSocket;
  readonly #socket: Duplex;
  client: ConnectionClient | null = null;
  #isEnding = false;

  constructor(ws: WebSocket, socket: Duplex, address: string) {
    this.#ws = ws;
    this.#socket = socket;
    this.address = address;
  }

  send(bytes: Buffer): boolean {
    const ws = this.#ws;
    if (ws.readyState !== ws.OPEN) return true;
    const held = this.#socket.writableLength;
    if (held >= HELD_BYTES_MAX) {
      ws.send(bytes, BINARY, (error) => {
        if (!error) this.client?.onDrain();
      });
      return false;
    }
    // With no write under way the bytes are encrypted during this call; else they wait, and the buffer must be free again.
    ws.send(held === 0 ? bytes : Buffer.from(bytes), BINARY);
    return true;
  }

  onMessage(data: Buffer, isBinary: boolean): void {
    if (this.#isEnding) return;
    // [MQTT-6.0.0-1]: MQTT control packets come in binary frames only.
    if (isBinary) this.client?.onData(data, 0, data.length);
    else this.#end(UNSUPPORTED_DATA);
  }

  pause(): void {
    this.#ws.pause();
  }

  resume(): void {
    this.#ws.resume();
  }

  end(): void {
    if (!this.#isEnding) this.#end(NORMAL_CLOSURE);
  }

  #end(code: number): void {
    this.#isEnding = true;
    this.#ws.resume();
    this.#ws.close(code);
    const timer = setTimeout(() => this.#ws.terminate(), END_DEADLINE_MS);
    timer.unref();
    this.#ws.once('close', () => clearTimeout(timer));
  }

  destroy(): void {
    this.#ws.terminate();
  }

  onClose(code: number): void {
    this.client?.onClose(code === ABNORMAL_CLOSURE && !this.#isEnding);
  }
}

/** A secure connection that has not become a WebSocket yet. */
interface Waiting {
  timer: NodeJS.Timeout;
  onClose(): void;
}

/** Loaded only where an endpoint needs them: a worker without them is 4 MiB smaller. */
interface Libraries {
  createServer: typeof http.createServer;
  Server: typeof WebSocketServer;
}

class Upgrades {
  readonly #host: ListenerHost;
  readonly #http: http.Server;
  readonly #ws: WebSocketServer;
  readonly #waiting = new Map<Duplex, Waiting>();

  constructor(host: ListenerHost, { createServer, Server }: Libraries) {
    this.#host = host;
    this.#http = createServer();
    this.#ws = new Server({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: FRAME_BYTES_MAX,
      handleProtocols: (offered) => [...offered].find((name) => SUBPROTOCOLS.includes(name)) ?? false,
    });
    this.#http.on('request', (request, response) => {
      const isPath = pathOf(request.url) === host.endpoint.path;
      response.writeHead(isPath ? 426 : 404, { connection: 'close' }).end();
    });
    this.#http.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
    this.#http.on('clientError', (_error, socket) => socket.destroy());
  }

  /** A socket whose handshake is done. It must ask for its WebSocket soon. */
  take(socket: TLSSocket): void {
    const onClose = (): void => {
      this.#waiting.delete(socket);
      clearTimeout(timer);
      this.#host.leave(null, '');
    };
    const timer = setTimeout(() => socket.destroy(), UPGRADE_MS);
    socket.on('error', () => socket.destroy());
    socket.once('close', onClose);
    this.#waiting.set(socket, { timer, onClose });
    this.#http.emit('connection', socket);
  }

  close(): void {
    for (const socket of [...this.#waiting.keys()]) socket.destroy();
  }

  #upgrade(request: http.IncomingMessage, socket: Duplex, head: Buffer): void {
    const refuse = (status: string, body = ''): void => {
      socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    };
    if (pathOf(request.url) !== this.#host.endpoint.path) refuse('404 Not Found');
    // [MQTT-6.0.0-3]: the client MUST include "mqtt" in the list of subprotocols it offers.
    else if (subprotocolOf(request.headers['sec-websocket-protocol'] ?? '') === undefined) {
      refuse('400 Bad Request', 'the WebSocket subprotocol must be mqtt');
    } else {
      const address = plainAddress(request.socket.remoteAddress);
      this.#ws.handleUpgrade(request, socket, head, (ws) => this.#open(ws, socket, address));
    }
  }

  #open(ws: WebSocket, socket: Duplex, address: string): void {
    const waiting = this.#waiting.get(socket);
    // From now on the client holds the place.
    this.#waiting.delete(socket);
    clearTimeout(waiting?.timer);
    if (waiting !== undefined) socket.off('close', waiting.onClose);
    const connection = new WssConnection(ws, socket, address);
    ws.on('error', () => ws.terminate());
    const client = this.#host.welcome(connection);
    if (client === null) {
      ws.terminate();
      return;
    }
    connection.client = client;
    ws.on('message', (data: Buffer, isBinary) => connection.onMessage(data, isBinary));
    ws.on('close', (code) => connection.onClose(code));
  }
}

/** Binds and accepts. @throws FluxError `port-in-use`, `unprocessable` */
export async function openWssListener(host: ListenerHost): Promise<Listener> {
  const [{ createServer }, { WebSocketServer: Server }] = await Promise.all([import('node:http'), import('ws')]);
  const upgrades = new Upgrades(host, { createServer, Server });
  const secure = new SecureServer({
    onSecure: (socket) => upgrades.take(socket),
    onFailure: (failure, detail) => host.leave(failure, detail),
  });
  secure.use(host.tls);
  const acceptor = await acceptTcp(
    host,
    () => false,
    (socket: net.Socket) => {
      if (host.admit()) secure.take(socket);
      // A client over a limit costs no handshake.
      else socket.on('error', () => undefined).destroy();
    },
  );
  return toListener(acceptor, secure, () => {
    secure.close();
    upgrades.close();
  });
}
