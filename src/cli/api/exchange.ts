/** One HTTP request to the broker: opened, answered within its deadline, and what the network says put into words. */

import { type ClientRequest, request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { CommandFailure, EXIT } from '../failure.ts';
import type { Target } from './target.ts';

/** Longest answer, bytes: a backup of a long history is one. */
const ANSWER_BYTES_MAX = 512 * 1024 * 1024;

/** A change is the broker's to end by the deadline, and to answer that it has: so much later, milliseconds. */
const GRACE_MS = 7000;

/** A body that is not in memory as a whole. */
export interface FileBody {
  /** bytes */
  size: number;
  chunks(): AsyncIterable<Uint8Array>;
}

export interface RequestDetails {
  query?: Record<string, string | undefined>;
  headers?: Record<string, string | undefined>;
  /** whether it changes something: it then takes `?timeout=`, and a lost answer leaves open what has happened */
  isChange?: boolean;
}

function urlOf(target: Target, path: string, details: RequestDetails): URL {
  const url = new URL(target.url.href);
  url.pathname = `${target.url.pathname.replace(/\/+$/, '')}${path}`;
  const query = { ...details.query, ...(details.isChange === true ? { timeout: target.timeout ?? undefined } : {}) };
  for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, value);
  return url;
}

/** A request whose answer may take as long as the target allows. Its failure is an Error of the network. */
async function begin(
  target: Target,
  method: 'GET' | 'POST',
  path: string,
  body: string | FileBody | null,
  details: RequestDetails,
): Promise<{ response: Promise<IncomingMessage>; request: ClientRequest; done: () => void }> {
  const url = urlOf(target, path, details);
  const headers: Record<string, string> = { accept: 'application/json' };
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
  // What is uploaded may take its time: the broker has its own limits for that.
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

/** Sends a body at the pace at which it is taken; what is refused in the middle has its answer. */
async function send(request: ClientRequest, body: FileBody): Promise<void> {
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
  target: Target,
  method: 'GET' | 'POST',
  path: string,
  body: string | FileBody | null,
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

/** An answer whose body goes on and on: only its beginning has the deadline. @throws CommandFailure */
export async function openStream(target: Target, path: string, details: RequestDetails): Promise<IncomingMessage> {
  const { response, done } = await begin(target, 'GET', path, null, details);
  try {
    return await response;
  } catch (error) {
    throw toFailure(error as NodeJS.ErrnoException, target, false);
  } finally {
    done();
  }
}

/** What breaks off while it is read, in words. */
export function brokenOff(error: unknown, target: Target): CommandFailure {
  return toFailure(error as NodeJS.ErrnoException, target, false);
}

/** @throws Error when the connection breaks, or there is too much */
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
  if (code === 'ECONNRESET' && target.url.protocol === 'http:' && !isOpen)
    lines.push('perhaps it speaks https there: give --api https://...');
  if (/CERT|SELF_SIGNED|UNABLE_TO/.test(code)) lines.push('--cacert FILE names the certificates to trust');
  const hasAnswer = !['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'].includes(code);
  if (isOpen && hasAnswer) lines.push('the change may have happened all the same: see ./fluxmq endpoint history');
  return new CommandFailure(EXIT.unreachable, `no answer from ${target.url.origin}: ${reason}`, lines);
}
