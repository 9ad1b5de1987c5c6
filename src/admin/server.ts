/** Serves the admin API on its port: bind, limits on slow clients, graceful close. */

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
import { bindFailure } from '../kernel/bind-failure.ts';
import { FluxError } from '../kernel/errors.ts';
import { type AdminApp, type AppOptions, createApp } from './app.ts';
import { JSON_TYPE, toResponse } from './http/envelope.ts';
import { Sockets } from './http/sockets.ts';
import type { Message, MessageAnswer } from './messages/contract.ts';
import { MessageDesk } from './messages/message-desk.ts';

/** A client has this long to send its headers, milliseconds. */
const HEADERS_TIMEOUT_MS = 10_000;
/** And this long to send the whole request. */
const REQUEST_TIMEOUT_MS = 30_000;
/** How often the two above are checked. */
const CHECK_INTERVAL_MS = 1000;
const KEEP_ALIVE_MS = 10_000;
/** A socket without a byte either way for this long is cut: longer than the longest `?timeout=`. */
const SILENCE_MS = 330_000;
/** Sockets at once, in all and of one address; loopback is exempt from the latter. */
const SOCKETS = { all: 2048, perAddress: 256 };
const BACKLOG = 4096;
/** Requests under way have this long to end when the server closes. */
const CLOSE_TIMEOUT_MS = 3000;
const CLOSE_POLL_MS = 20;

export interface AdminServer {
  /** the port that was bound, also when the settings say 0 */
  port: number;
  /** Answers what came over a bus, as HTTP is answered; never fails. */
  answer(message: Message): Promise<MessageAnswer>;
  /** Looks at the files of its certificate now. @returns what has changed, as a text */
  reload(): Promise<string[]>;
  /** Stops accepting, lets requests under way end for 3 s, then cuts them. Idempotent. */
  close(): Promise<void>;
}

type TlsPlace = Pick<AppOptions, 'settings' | 'logger'>;

/** @throws FluxError `invalid`, `unprocessable` */
async function openTls({ settings: { http }, logger }: TlsPlace): Promise<ServerTls | null> {
  if (http.password === null && !isLoopbackHost(http.host)) {
    throw new FluxError('invalid', `http.host ${http.host} can be reached from elsewhere: it needs http.password`);
  }
  return http.ssl === null ? null : ServerTls.open({ ...http.ssl, logger });
}

/**
 * Tries what could keep the admin API from starting, before anything else of the node does: a start that fails leaves no trace.
 * @throws FluxError as startAdmin()
 */
export async function tryAdmin(place: TlsPlace): Promise<void> {
  const { host, port } = place.settings.http;
  await openTls(place);
  const server = createServer();
  await listen(server, host, port);
  await new Promise((resolve) => server.close(resolve));
}

/**
 * Starts the admin API; resolves when it is listening.
 * @throws FluxError `invalid` (login settings), `port-in-use`, `unprocessable` (address not local, no permission, certificate)
 */
export async function startAdmin(options: AppOptions): Promise<AdminServer> {
  const { http } = options.settings;
  const app = createApp(options);
  const timeouts = {
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionsCheckingInterval: CHECK_INTERVAL_MS,
    // Probes may come without one; the guard refuses what else does.
    requireHostHeader: false,
  };
  const tls = await openTls(options);
  const listener = listenerOf(app);
  const server = openServer({ ...timeouts, keepAliveTimeout: KEEP_ALIVE_MS }, tls, listener);
  new Sockets(SOCKETS).watch(server);
  server.setTimeout(SILENCE_MS);
  server.on('clientError', answerBroken);
  server.on('checkExpectation', refuseExpectation);
  await listen(server, http.host, http.port);
  if (server instanceof TlsServer) tls?.follow((changed) => server.setSecureContext(changed));
  server.on('error', (error) => options.logger.error('Admin API server failed', { error: error.message }));
  let closing: Promise<void> | null = null;
  const desk = new MessageDesk(app);
  return {
    port: (server.address() as AddressInfo).port,
    answer: (message) => desk.answer(message),
    reload: async () => (await tls?.lookNow()) ?? [],
    close: () => {
      tls?.close();
      closing ??= closeGracefully(server);
      return closing;
    },
  };
}

/**
 * The application behind Node's server. The library refuses requests whose Host it cannot make a URL of (none, underscores, blanks); no
 * route needs that URL's host, and the guard looks at the header as it was sent.
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

/** Node would answer an expectation that it does not know without the envelope. */
function refuseExpectation(_request: IncomingMessage, answer: ServerResponse): void {
  const body = `${JSON.stringify({ code: 417, message: STATUS_CODES[417], data: null, error: { kind: 'invalid', issues: [] } })}\n`;
  answer.writeHead(417, { 'content-type': JSON_TYPE, connection: 'close' }).end(body);
}

function openServer(timeouts: ServerOptions, tls: ServerTls | null, listener: RequestListener): Server {
  if (tls === null) return createServer(timeouts, listener);
  const server = createTlsServer({ ...timeouts, ...tls.options, handshakeTimeout: HEADERS_TIMEOUT_MS }, listener);
  // Node tells of a handshake that takes too long, and goes on waiting.
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
  // A connection becomes idle when its answer is out; it would otherwise be kept for the next request.
  const poll = setInterval(() => server.closeIdleConnections(), CLOSE_POLL_MS);
  const deadline = setTimeout(() => server.closeAllConnections(), CLOSE_TIMEOUT_MS);
  await closed;
  clearInterval(poll);
  clearTimeout(deadline);
}

/** What is not HTTP, or came too slowly, gets the envelope too, and the connection ends. */
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
