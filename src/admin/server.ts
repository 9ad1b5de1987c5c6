/** Serves the admin API on its port: bind, limits for slow clients, graceful close. */

import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerOptions,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http';
import { createServer as createTlsServer, Server as TlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { getRequestListener } from '@hono/node-server';
import { ServerTls } from '../control/tls/server-tls.ts';
import { isLoopbackHost } from '../kernel/address.ts';
import { FluxError } from '../kernel/errors.ts';
import { bindFailure } from '../kernel/system/bind-failure.ts';
import { adminSocketsMax, descriptorLimit } from '../kernel/system/descriptors.ts';
import { type AdminApp, type AppOptions, createApp } from './app.ts';
import { BusDesk } from './bus/bus-desk.ts';
import type { BusAnswer, BusRequest } from './bus/bus-request.ts';
import { JSON_TYPE, toResponse } from './http/envelope.ts';
import { Sockets } from './http/sockets.ts';

/** Time for a client to send its headers, milliseconds. */
const HEADERS_TIMEOUT_MS = 10_000;
/** Time for a client to send the whole request. */
const REQUEST_TIMEOUT_MS = 30_000;
/** Interval of the checks of both times. */
const CHECK_INTERVAL_MS = 1000;
const KEEP_ALIVE_MS = 10_000;
/** A socket without a byte in either direction for this long is cut. The longest `?timeout=` is shorter. */
const SILENCE_MS = 330_000;
/** Sockets at once, in total and from one address; loopback is exempt from the limit by address. */
const SOCKETS_MAX = 2048;
const SOCKETS_PER_ADDRESS = 256;
const BACKLOG = 4096;
/** Time for requests under way to end when the server closes. */
const CLOSE_TIMEOUT_MS = 3000;
const CLOSE_POLL_MS = 20;
/** Retry-After of an answer before the node is up. */
const RETRY_SECONDS = 1;

export interface AdminServer {
  /** the bound port, also when the settings say 0 */
  port: number;
  /** Answers a request from the bus like an HTTP request; never fails. */
  answer(request: BusRequest): Promise<BusAnswer>;
  /** Checks its certificate files now. @returns a text for each change */
  reload(): Promise<string[]>;
  /** Stops accepting, gives requests under way 3 s to end, then cuts them. Idempotent. */
  close(): Promise<void>;
}

type TlsPlace = Pick<AppOptions, 'settings' | 'logger'>;

/** @throws FluxError `invalid`, `unprocessable` */
async function openTls({ settings: { http }, logger }: TlsPlace): Promise<ServerTls | null> {
  if (http.password === null && !isLoopbackHost(http.host)) {
    throw new FluxError('invalid', `http.host ${http.host} can be reached from other machines: set http.password`);
  }
  return http.ssl === null ? null : ServerTls.open({ ...http.ssl, logger });
}

/**
 * Tests the admin API's address and certificate before any other part of the node starts: a failed start leaves no trace.
 * @throws FluxError as openAdmin()
 */
export async function tryAdmin(place: TlsPlace): Promise<void> {
  const { host, port } = place.settings.http;
  await openTls(place);
  const server = createServer();
  await listen(server, host, port);
  await new Promise((resolve) => server.close(resolve));
}

/** The admin API's port before the node is up: every request gets 503 `starting`. */
export interface AdminPort {
  /** From now on the requests reach the application. Once. */
  serve(options: AppOptions): AdminServer;
  /** As AdminServer.close(). */
  close(): Promise<void>;
}

/**
 * Opens the admin API's port; resolves when it listens.
 * @throws FluxError `invalid` (login settings), `port-in-use`, `unprocessable` (address not local, no permission, certificate)
 */
export async function openAdmin(place: TlsPlace): Promise<AdminPort> {
  const { http } = place.settings;
  const timeouts = {
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionsCheckingInterval: CHECK_INTERVAL_MS,
    // Probes may come without a Host header; the guard refuses all other requests without one.
    requireHostHeader: false,
  };
  const tls = await openTls(place);
  let listener: RequestListener = refuseEarly;
  const server = openServer({ ...timeouts, keepAliveTimeout: KEEP_ALIVE_MS }, tls, (incoming, outgoing) => listener(incoming, outgoing));
  new Sockets({ all: adminSocketsMax(descriptorLimit(), SOCKETS_MAX), perAddress: SOCKETS_PER_ADDRESS }).watch(server);
  server.setTimeout(SILENCE_MS);
  server.on('clientError', answerBroken);
  server.on('checkExpectation', refuseExpectation);
  await listen(server, http.host, http.port);
  if (server instanceof TlsServer) tls?.follow((changed) => server.setSecureContext(changed));
  server.on('error', (error) => place.logger.error('Admin API server failed', { error: error.message }));
  let closing: Promise<void> | null = null;
  const close = () => {
    tls?.close();
    closing ??= closeGracefully(server);
    return closing;
  };
  return {
    close,
    serve(options) {
      const app = createApp(options);
      const desk = new BusDesk(app);
      listener = listenerOf(app);
      return {
        port: (server.address() as AddressInfo).port,
        answer: (request) => desk.answer(request),
        reload: async () => (await tls?.lookNow()) ?? [],
        close,
      };
    },
  };
}

/** Starts the admin API of a node that is up. @throws FluxError as openAdmin() */
export async function startAdmin(options: AppOptions): Promise<AdminServer> {
  return (await openAdmin(options)).serve(options);
}

/** Answers every request while the node starts. It reads nothing of the request: nobody is logged in yet. */
function refuseEarly(request: IncomingMessage, answer: ServerResponse): void {
  request.resume();
  const message = 'The node is starting: not every endpoint was tried yet';
  const data = { status: 'starting', reasons: [message] };
  const body = `${JSON.stringify({ code: 503, message, data, error: { kind: 'unavailable', issues: [] } })}\n`;
  const length = Buffer.byteLength(body);
  answer.writeHead(503, { 'content-type': JSON_TYPE, 'content-length': length, 'retry-after': String(RETRY_SECONDS) }).end(body);
}

/**
 * The application behind Node's server. The library refuses a request when it cannot make a URL from its Host (missing, underscores,
 * blanks). No route needs the host of that URL, and the guard checks the header as sent, so the library gets a fixed Host.
 */
function listenerOf(app: AdminApp): RequestListener {
  const listener = getRequestListener(app.fetch, {
    overrideGlobalObjects: false,
    errorHandler: () => toResponse({ status: 400, message: 'Bad Request', data: null, error: { kind: 'invalid', issues: [] } }),
  });
  return (incoming, outgoing) => {
    incoming.headers.host = 'localhost';
    void listener(incoming, outgoing);
  };
}

/** Answers an unknown expectation in the envelope, which Node would not. */
function refuseExpectation(_request: IncomingMessage, answer: ServerResponse): void {
  const body = `${JSON.stringify({ code: 417, message: STATUS_CODES[417], data: null, error: { kind: 'invalid', issues: [] } })}\n`;
  answer.writeHead(417, { 'content-type': JSON_TYPE, connection: 'close' }).end(body);
}

function openServer(timeouts: ServerOptions, tls: ServerTls | null, listener: RequestListener): Server {
  if (tls === null) return createServer(timeouts, listener);
  const server = createTlsServer({ ...timeouts, ...tls.options, ...tls.clientOptions, handshakeTimeout: HEADERS_TIMEOUT_MS }, listener);
  // Node reports a handshake that takes too long, and continues to wait. This closes the socket.
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  return server;
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException): void => reject(bindError(error, host, port));
    server.once('error', failed);
    server.listen({ host, port, backlog: BACKLOG }, () => {
      server.off('error', failed);
      resolve();
    });
  });
}

function bindError(error: NodeJS.ErrnoException, host: string, port: number): FluxError {
  const { kind, message } = bindFailure(host, port, error);
  return new FluxError(kind, `Admin API: ${message}`, { cause: error });
}

async function closeGracefully(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  // A connection becomes idle when its answer is sent. Without this poll, keep-alive would hold it open.
  const poll = setInterval(() => server.closeIdleConnections(), CLOSE_POLL_MS);
  const deadline = setTimeout(() => server.closeAllConnections(), CLOSE_TIMEOUT_MS);
  await closed;
  clearInterval(poll);
  clearTimeout(deadline);
}

/** Answers requests that are not HTTP or came too slowly in the envelope, and closes their connection. */
function answerBroken(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const statuses: Record<string, number> = { HPE_HEADER_OVERFLOW: 431, ERR_HTTP_REQUEST_TIMEOUT: 408 };
  const status = statuses[error.code ?? ''] ?? 400;
  const message = STATUS_CODES[status] ?? '';
  const body = `${JSON.stringify({ code: status, message, data: null, error: { kind: 'invalid', issues: [] } })}\n`;
  socket.end(
    `HTTP/1.1 ${status} ${message}\r\nContent-Type: ${JSON_TYPE}\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
