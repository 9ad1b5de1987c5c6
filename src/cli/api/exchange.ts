/** One HTTP request to the broker: sends it, waits for the answer within the deadline, and puts network errors into words. */

import { type ClientRequest, request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { CommandFailure, EXIT } from '../failure.ts';
import type { ApiTarget } from './target.ts';

/** Longest answer that is read into memory, bytes. */
const ANSWER_BYTES_MAX = 512 * 1024 * 1024;

/** Added to the wait for a change, milliseconds: the broker ends a change by the deadline and then still has to answer. */
const GRACE_MS = 7000;

/** A body that is never in memory as a whole. */
export interface StreamedBody {
  /** bytes */
  size: number;
  chunks(): AsyncIterable<Uint8Array>;
}

export interface RequestDetails {
  query?: Record<string, string | undefined>;
  headers?: Record<string, string | undefined>;
  /** whether the request changes something: it then takes `?timeout=`, and after a lost answer the outcome is unknown */
  isChange?: boolean;
}

function urlOf(target: ApiTarget, path: string, details: RequestDetails): URL {
  const url = new URL(target.url.href);
  url.pathname = `${target.url.pathname.replace(/\/+$/, '')}${path}`;
  const query = { ...details.query, ...(details.isChange === true ? { timeout: target.timeout ?? undefined } : {}) };
  for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, value);
  return url;
}

/** Sends a request, and limits the wait for its answer. Rejects with network errors. */
async function begin(
  target: ApiTarget,
  method: 'GET' | 'POST',
  path: string,
  body: string | StreamedBody | null,
  details: RequestDetails,
): Promise<{ response: Promise<IncomingMessage>; request: ClientRequest; done: () => void }> {
  const url = urlOf(target, path, details);
  const headers: Record<string, string> = { accept: 'application/json', 'user-agent': 'fluxmq-cli' };
  if (target.authorization !== null) headers['authorization'] = target.authorization;
  if (body !== null) headers['content-type'] = 'application/json; charset=utf-8';
  if (typeof body === 'object' && body !== null) headers['content-length'] = String(body.size);
  for (const [name, value] of Object.entries(details.headers ?? {})) if (value !== undefined) headers[name] = value;
  const open = url.protocol === 'https:' ? (await import('node:https')).request : httpRequest;
  const options: RequestOptions & { ca?: string } = { method, headers };
  if (target.ca !== null) options.ca = target.ca;
  const request = open(url, options);
  const response = new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve);
    request.once('error', reject);
  });
  const waitMs = target.deadlineMs + (details.isChange === true ? GRACE_MS : 0);
  const late = Object.assign(new Error(`no answer within ${waitMs / 1000} s`), { code: 'LATE' });
  let timer: NodeJS.Timeout | undefined;
  let isDone = false;
  // The wait begins after an upload: the broker has its own limits for the time of an upload.
  const wait = () => {
    if (!isDone) timer = setTimeout(() => request.destroy(late), waitMs);
  };
  if (typeof body === 'object' && body !== null) void send(request, body).then(wait, (error: Error) => request.destroy(error));
  else {
    wait();
    request.end(body ?? undefined);
  }
  const done = () => {
    isDone = true;
    clearTimeout(timer);
  };
  return { response, request, done };
}

/** Sends a body at the pace of the connection. Stops when the broker refuses it early; the answer then says why. */
async function send(request: ClientRequest, body: StreamedBody): Promise<void> {
  const closed = new Promise<void>((resolve) => request.once('close', resolve));
  for await (const chunk of body.chunks()) {
    if (request.destroyed || request.writableEnded) return;
    if (request.write(chunk)) continue;
    await Promise.race([new Promise<void>((resolve) => request.once('drain', resolve)), closed]);
  }
  request.end();
}

/** The answer as text. @throws CommandFailure */
export async function exchange(
  target: ApiTarget,
  method: 'GET' | 'POST',
  path: string,
  body: string | StreamedBody | null,
  details: RequestDetails,
): Promise<{ status: number; text: string }> {
  const { response, request, done } = await begin(target, method, path, body, details);
  try {
    const answer = await response;
    return { status: answer.statusCode ?? 0, text: await readAll(answer) };
  } catch (error) {
    throw toFailure(error as NodeJS.ErrnoException, target, details.isChange === true && request.writableFinished);
  } finally {
    done();
  }
}

/** Opens an answer with an unlimited body; the deadline applies only to its headers. @throws CommandFailure */
export async function openStream(target: ApiTarget, path: string, details: RequestDetails): Promise<IncomingMessage> {
  const { response, done } = await begin(target, 'GET', path, null, details);
  try {
    return await response;
  } catch (error) {
    throw toFailure(error as NodeJS.ErrnoException, target, false);
  } finally {
    done();
  }
}

/** A failure while the body is read, in words. */
export function brokenOff(error: unknown, target: ApiTarget): CommandFailure {
  return toFailure(error as NodeJS.ErrnoException, target, false);
}

/** Reads the whole body. @throws Error when the connection breaks, or the answer is too large */
export async function readAll(response: IncomingMessage): Promise<string> {
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
  EAI_AGAIN: 'the host name could not be looked up',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no route to the host',
  ETIMEDOUT: 'no connection in time',
  EPROTO: 'the port does not speak https',
  HPE_INVALID_CONSTANT: 'the port does not speak HTTP; is it https?',
  ECONNRESET: 'the connection ended before the answer',
};

/** Puts a network error into words. @param isOpen true when the change may have been made although the answer is missing */
function toFailure(error: NodeJS.ErrnoException, target: ApiTarget, isOpen: boolean): CommandFailure {
  const code = error.code ?? '';
  // After attempts with both address families, the cause is inside an AggregateError.
  const inner = error instanceof AggregateError ? (error.errors[0] as NodeJS.ErrnoException | undefined) : undefined;
  const reason = REASONS[code] ?? REASONS[inner?.code ?? ''] ?? error.message;
  const lines: string[] = [];
  if (code === 'ECONNRESET' && target.url.protocol === 'http:' && !isOpen)
    lines.push('perhaps the port speaks https: give --api https://...');
  if (/CERT|SELF_SIGNED|UNABLE_TO/.test(code)) lines.push('--cacert FILE names the certificates to trust');
  const hasAnswer = !['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'].includes(code);
  if (isOpen && hasAnswer) lines.push('the change may have been made nevertheless: see ./fluxmq endpoint history');
  return new CommandFailure(EXIT.unreachable, `no answer from ${target.url.origin}: ${reason}`, lines);
}
