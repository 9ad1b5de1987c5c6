/** A web service that decides about logins: the user name names the answer. */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Asked {
  method: string;
  /** path and query as they came */
  url: string;
  headers: IncomingMessage['headers'];
  body: string;
}

/** Writes the answer to a question. */
export type Answer = (response: ServerResponse, asked: Asked) => void;

export interface AuthServer {
  readonly port: number;
  /** questions since the start, in their order */
  readonly asked: Asked[];
  /** connections that clients have opened */
  readonly connections: number;
  close(): Promise<void>;
}

/** @param answer decides each question @param port 0: any */
export async function startAuthServer(answer: Answer, port = 0): Promise<AuthServer> {
  const asked: Asked[] = [];
  let connections = 0;
  const server: Server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      const question = { method, url, headers, body: Buffer.concat(pieces).toString('utf8') };
      asked.push(question);
      answer(response, question);
    });
  });
  server.on('connection', () => connections++);
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    asked,
    get connections() {
      return connections;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export function json(response: ServerResponse, value: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}
