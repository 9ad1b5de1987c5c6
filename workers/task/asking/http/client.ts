/** A bounded HTTP client for one origin. The one file that knows undici. */

import { type Dispatcher, Pool } from 'undici';
import { messageOf } from '../../../../src/kernel/errors.ts';
import { readTrustedPem } from '../certificates.ts';

const IDLE_MS = 15_000;
const IDLE_MS_MAX = 60_000;

export interface HttpRequest {
  readonly method: 'GET' | 'POST';
  /** path and query */
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: string | null;
}

export interface HttpAnswer {
  readonly status: number;
  /** empty: the server names none */
  readonly contentType: string;
  /** of a 200 alone; empty for every other status */
  readonly text: string;
}

export interface HttpClientOptions {
  readonly origin: string;
  /** connections at one time, each with one request */
  readonly connections: number;
  readonly timeoutMs: number;
  /** certificates that may have signed the server's: PEM text or a file with it; null: those of Node */
  readonly ca: string | null;
  /** of a body; a longer one is an error */
  readonly bytesMax: number;
}

/** @throws Error when the certificates of `ca` cannot be read */
export async function openHttpClient({ origin, connections, timeoutMs, ca, bytesMax }: HttpClientOptions): Promise<HttpClient> {
  const pool = new Pool(origin, {
    connections,
    pipelining: 1,
    keepAliveTimeout: IDLE_MS,
    keepAliveMaxTimeout: IDLE_MS_MAX,
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    connect: { timeout: timeoutMs, ...(ca === null ? {} : { ca: await readTrustedPem(ca) }) },
  });
  return new HttpClient(pool, bytesMax);
}

export class HttpClient {
  readonly #pool: Pool;
  readonly #bytesMax: number;

  constructor(pool: Pool, bytesMax: number) {
    this.#pool = pool;
    this.#bytesMax = bytesMax;
  }

  /**
   * Sends a request. Follows no redirect: another host must not see what is sent.
   * @param isBodyWanted false: the body of a 200 is not read either
   * @throws Error, whose message holds nothing of the request
   */
  async request(request: HttpRequest, signal: AbortSignal, isBodyWanted = true): Promise<HttpAnswer> {
    let response: Dispatcher.ResponseData;
    try {
      response = await this.#pool.request({ ...request, signal });
    } catch (error) {
      // The server may close an idle connection at the moment at which it is used again.
      if (!isStale(error) || signal.aborted) throw toReason(error);
      response = await this.#pool.request({ ...request, signal }).catch((again: unknown) => Promise.reject(toReason(again)));
    }
    const { statusCode: status, headers, body } = response;
    const contentType = typeof headers['content-type'] === 'string' ? headers['content-type'] : '';
    if (status === 200 && isBodyWanted) return { status, contentType, text: await this.#read(body) };
    // A short body is read to its end, so that the connection can be used again.
    await body.dump({ limit: this.#bytesMax }).catch(() => {});
    return { status, contentType, text: '' };
  }

  async #read(body: Dispatcher.ResponseData['body']): Promise<string> {
    const pieces: Buffer[] = [];
    let bytes = 0;
    try {
      for await (const piece of body) {
        bytes += (piece as Buffer).length;
        if (bytes > this.#bytesMax) break;
        pieces.push(piece as Buffer);
      }
    } catch (error) {
      throw toReason(error);
    }
    // Leaving the loop has closed the connection.
    if (bytes > this.#bytesMax) throw new Error(`the server answered with more than ${this.#bytesMax} bytes`);
    return Buffer.concat(pieces).toString('utf8');
  }

  close(): Promise<void> {
    return this.#pool.destroy();
  }
}

function codeOf(error: unknown): string {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : '';
}

function isStale(error: unknown): boolean {
  return ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'].includes(codeOf(error));
}

/** The failure, without any sent content. An AggregateError of several addresses has no message. */
function toReason(error: unknown): Error {
  const text = messageOf(error) || codeOf(error) || 'the request failed';
  return new Error(`the server cannot be asked: ${text}`, { cause: error });
}
