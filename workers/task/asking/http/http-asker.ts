/** Asks a web service about a login. The one file that knows undici. */

import { readFile } from 'node:fs/promises';
import { type Dispatcher, Pool } from 'undici';
import type { HttpAuthConfig } from '../../../../src/endpoint/endpoint.ts';
import { messageOf } from '../../../../src/kernel/errors.ts';
import type { AskWho, LoginVerdict } from '../../../../src/thread/access/ask.ts';
import type { Asker } from '../contract.ts';
import { DENY, judgeStatus, readBody } from './read-answer.ts';
import { type FilledRequest, RequestTemplate } from './request-template.ts';

const ANSWER_BYTES_MAX = 64 * 1024;
const IDLE_MS = 15_000;
const IDLE_MS_MAX = 60_000;

/** @throws Error when the certificates of `ca` cannot be read */
export async function openHttpAsker(config: HttpAuthConfig): Promise<Asker> {
  const { ca, timeout, maxRequests } = config;
  const template = new RequestTemplate(config);
  const pool = new Pool(template.origin, {
    connections: maxRequests,
    pipelining: 1,
    keepAliveTimeout: IDLE_MS,
    keepAliveMaxTimeout: IDLE_MS_MAX,
    headersTimeout: timeout,
    bodyTimeout: timeout,
    connect: { timeout, ...(ca === null ? {} : { ca: await readCertificates(ca) }) },
  });
  return new HttpAsker(config, template, pool);
}

class HttpAsker implements Asker {
  readonly #config: HttpAuthConfig;
  readonly #template: RequestTemplate;
  readonly #pool: Pool;

  constructor(config: HttpAuthConfig, template: RequestTemplate, pool: Pool) {
    this.#config = config;
    this.#template = template;
    this.#pool = pool;
  }

  async ask(who: AskWho, signal: AbortSignal): Promise<LoginVerdict> {
    const request = this.#template.fill(who);
    if (request === null) return DENY;
    let response: Dispatcher.ResponseData;
    try {
      response = await this.#send(request, signal);
    } catch (error) {
      // The server may close an idle connection at the moment at which it is used again.
      if (!isStale(error) || signal.aborted) throw toReason(error);
      response = await this.#send(request, signal).catch((again: unknown) => Promise.reject(toReason(again)));
    }
    return this.#read(response);
  }

  /** Follows no redirect: another host must not see the password. */
  #send({ path, headers, body }: FilledRequest, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    return this.#pool.request({ method: this.#config.method, path, headers, body, signal });
  }

  async #read({ statusCode, headers, body }: Dispatcher.ResponseData): Promise<LoginVerdict> {
    const isRead = statusCode === 200 && this.#config.answer === 'auto';
    if (!isRead) {
      // A short body is read to its end, so that the connection can be used again.
      await body.dump({ limit: ANSWER_BYTES_MAX }).catch(() => {});
      return judgeStatus(statusCode) ?? { result: 'allow' };
    }
    const pieces: Buffer[] = [];
    let bytes = 0;
    try {
      for await (const piece of body) {
        bytes += (piece as Buffer).length;
        if (bytes > ANSWER_BYTES_MAX) break;
        pieces.push(piece as Buffer);
      }
    } catch (error) {
      throw toReason(error);
    }
    // Leaving the loop has closed the connection.
    if (bytes > ANSWER_BYTES_MAX) throw new Error(`the server answered with more than ${ANSWER_BYTES_MAX} bytes`);
    const contentType = headers['content-type'];
    return readBody(typeof contentType === 'string' ? contentType : '', Buffer.concat(pieces).toString('utf8'));
  }

  async close(): Promise<void> {
    await this.#pool.destroy();
  }
}

function codeOf(error: unknown): string {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : '';
}

function isStale(error: unknown): boolean {
  return ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'].includes(codeOf(error));
}

/** What failed, without what was sent. An AggregateError of several addresses has no message. */
function toReason(error: unknown): Error {
  const text = messageOf(error) || codeOf(error) || 'the request failed';
  return new Error(`the server cannot be asked: ${text}`, { cause: error });
}

/** PEM text, or the file with it. */
async function readCertificates(ca: string): Promise<string> {
  if (ca.includes('-----BEGIN')) return ca;
  try {
    return await readFile(ca, 'utf8');
  } catch (error) {
    throw new Error(`the certificates of ca cannot be read: ${messageOf(error)}`, { cause: error });
  }
}
