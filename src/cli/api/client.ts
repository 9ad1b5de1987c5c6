/** The admin API as the command line uses it: one request at a time, and every failure in words. */

import { type ClientRequest, request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { isObject } from '../../endpoint/problems.ts';
import type { Issue } from '../../kernel/errors.ts';
import { CommandFailure, EXIT, type ExitCode, issueLines } from '../failure.ts';
import { KEY_PATHS } from '../input/endpoint-keys.ts';
import { hint } from '../suggest.ts';
import type { Target } from './target.ts';

/** Longest answer, bytes: a backup of a long history is one. */
const ANSWER_BYTES_MAX = 512 * 1024 * 1024;

export interface RequestDetails {
  query?: Record<string, string | undefined>;
  headers?: Record<string, string | undefined>;
  /** whether the route takes `?timeout=` */
  takesTimeout?: boolean;
}

/** An answer that is no success: what the envelope says. */
export class Refusal extends CommandFailure {
  readonly status: number;
  readonly data: unknown;

  constructor(status: number, message: string, issues: readonly Issue[], data: unknown) {
    const others = issues.length === 1 && message.endsWith(issues[0]!.message) && !isUnknownKey(issues[0]!) ? [] : issues.map(withHint);
    super(exitCodeOf(status), message, issueLines(others));
    this.status = status;
    this.data = data;
  }
}

/** Requests to one broker. */
export class Api {
  readonly #find: () => Promise<Target>;
  #target: Target | null = null;

  /** @param find says where the broker is; asked once, on the first request */
  constructor(find: () => Promise<Target>) {
    this.#find = find;
  }

  /** The envelope's data. @throws CommandFailure */
  async get(path: string, details: RequestDetails = {}): Promise<unknown> {
    return this.#send('GET', path, null, details);
  }

  /** The envelope's data. @throws CommandFailure */
  async post(path: string, body: unknown, details: RequestDetails = {}): Promise<unknown> {
    return this.#send('POST', path, JSON.stringify(body), details);
  }

  async #send(method: 'GET' | 'POST', path: string, body: string | null, details: RequestDetails): Promise<unknown> {
    this.#target ??= await this.#find();
    const target = this.#target;
    const { status, text } = await exchange(target, method, path, body, details);
    return judge(target, status, text);
  }
}

function exitCodeOf(status: number): ExitCode {
  if (status === 401 || status === 403 || status === 429) return EXIT.notAllowed;
  return status >= 502 ? EXIT.unreachable : EXIT.refused;
}

function isUnknownKey({ message }: Issue): boolean {
  return message === 'unknown key';
}

function withHint(issue: Issue): Issue {
  return isUnknownKey(issue) ? { ...issue, message: issue.message + hint(issue.path, KEY_PATHS) } : issue;
}

/** The data of a success. @throws CommandFailure */
function judge(target: Target, status: number, text: string): unknown {
  const answer = parseEnvelope(text);
  if (answer === null) throw new CommandFailure(EXIT.unreachable, `${target.url.origin} answers ${status}, but not as fluxmq does`);
  if (status >= 200 && status < 300) return answer.data;
  const message = typeof answer.message === 'string' ? answer.message : `status ${status}`;
  throw new Refusal(status, status === 401 ? `${message}${loginHint(target)}` : message, answer.error?.issues ?? [], answer.data);
}

interface Envelope {
  code: number;
  message?: unknown;
  data?: unknown;
  error?: { issues?: Issue[] };
}

/** Null when it is none: then whatever answers does not speak as fluxmq does. */
function parseEnvelope(text: string): Envelope | null {
  try {
    const parsed: unknown = JSON.parse(text);
    return isObject(parsed) && typeof parsed['code'] === 'number' ? (parsed as unknown as Envelope) : null;
  } catch {
    return null;
  }
}

function loginHint(target: Target): string {
  return target.authorization === null ? ': give --user and FLUXMQ_API_PASSWORD or --password-file' : '';
}

function urlOf(target: Target, path: string, details: RequestDetails): URL {
  const url = new URL(target.url.href);
  url.pathname = `${target.url.pathname.replace(/\/+$/, '')}${path}`;
  const query = { ...details.query, ...(details.takesTimeout === true ? { timeout: target.timeout ?? undefined } : {}) };
  for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, value);
  return url;
}

async function exchange(
  target: Target,
  method: 'GET' | 'POST',
  path: string,
  body: string | null,
  details: RequestDetails,
): Promise<{ status: number; text: string }> {
  const url = urlOf(target, path, details);
  const headers: Record<string, string> = { accept: 'application/json' };
  if (target.authorization !== null) headers['authorization'] = target.authorization;
  if (body !== null) headers['content-type'] = 'application/json; charset=utf-8';
  for (const [name, value] of Object.entries(details.headers ?? {})) if (value !== undefined) headers[name] = value;
  const open = url.protocol === 'https:' ? (await import('node:https')).request : httpRequest;
  const options: RequestOptions & { ca?: string } = { method, headers };
  if (target.ca !== null) options.ca = target.ca;
  const deadlineMs = target.deadlineMs;
  return new Promise((resolve, reject) => {
    let isSent = false;
    const fail = (error: NodeJS.ErrnoException): void => reject(toFailure(error, target, isSent && method === 'POST'));
    const request: ClientRequest = open(url, options, (response) => {
      readAll(response)
        .then((text) => resolve({ status: response.statusCode ?? 0, text }), fail)
        .finally(() => clearTimeout(timer));
    });
    const timer = setTimeout(
      () => request.destroy(Object.assign(new Error(`no answer within ${deadlineMs / 1000} s`), { code: 'LATE' })),
      deadlineMs,
    );
    request.once('finish', () => {
      isSent = true;
    });
    request.once('error', (error) => {
      clearTimeout(timer);
      fail(error);
    });
    request.end(body ?? undefined);
  });
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.byteLength;
    if (size > ANSWER_BYTES_MAX) throw new Error(`the answer is larger than ${ANSWER_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size).toString('utf8');
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there: is the broker running?',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'the name of the host could not be looked up',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no route to the host',
  ETIMEDOUT: 'no connection in time',
  EPROTO: 'it does not speak https there',
  HPE_INVALID_CONSTANT: 'it does not speak HTTP there; is it https?',
  ECONNRESET: 'the connection ended before the answer',
};

/** What the network said, as words. A change whose answer did not come may have happened. */
function toFailure(error: NodeJS.ErrnoException, target: Target, isOpen: boolean): CommandFailure {
  const code = error.code ?? '';
  // With both address families tried, the reason is inside.
  const inner = error instanceof AggregateError ? (error.errors[0] as NodeJS.ErrnoException | undefined) : undefined;
  const reason = REASONS[code] ?? REASONS[inner?.code ?? ''] ?? error.message;
  const lines: string[] = [];
  if (/CERT|SELF_SIGNED|UNABLE_TO/.test(code)) lines.push('--cacert FILE names the certificates to trust');
  const hasAnswer = !['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'].includes(code);
  if (isOpen && hasAnswer) lines.push('the change may have happened all the same: see ./fluxmq endpoint history');
  return new CommandFailure(EXIT.unreachable, `no answer from ${target.url.origin}: ${reason}`, lines);
}
