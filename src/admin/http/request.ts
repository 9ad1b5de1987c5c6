/** Reads the untrusted parts of a request: body, query, If-Match, request id, reason. */

import { randomUUID } from 'node:crypto';
import { FluxError, type Issue, messageOf } from '../../kernel/errors.ts';
import { HttpError } from './envelope.ts';

/** Largest request body of most routes, bytes. */
const BODY_BYTES_MAX = 1024 * 1024;
/** Longest reason of a change, characters. */
const REASON_LENGTH_MAX = 1000;
/** Default of `?timeout=`, milliseconds. */
export const DEFAULT_TIMEOUT_MS = 30_000;
const TIMEOUT_MS_MAX = 300_000;
const MIN_CONFIRM_MS = 1000;
const CONFIRM_MS_MAX = 86_400_000;

/** The client's own request id when it is 1..128 visible ASCII characters, else a new one. */
export function requestIdOf(header: string | undefined): string {
  return header !== undefined && /^[\x21-\x7e]{1,128}$/.test(header) ? header : randomUUID();
}

/**
 * The body as parsed JSON, which must be an object. Counts the bytes on arrival, because Content-Length is not trusted.
 * @param maxBytes largest body
 * @throws FluxError `unsupported-media-type`, `too-large`, `invalid`
 */
export async function readJsonObject(request: Request, maxBytes: number = BODY_BYTES_MAX): Promise<Record<string, unknown>> {
  refuseOtherTypes(request.headers);
  if (Number(request.headers.get('content-length') ?? 0) > maxBytes) throw tooLarge(maxBytes);
  return parseJsonObject(await readBytes(request.body, maxBytes), maxBytes);
}

/**
 * The body as a stream, for a reader in pieces.
 * @throws FluxError `unsupported-media-type`, `too-large`; the stream also throws `invalid` when the sender breaks off
 */
export function streamBody(request: Request, maxBytes: number): AsyncIterable<Uint8Array> {
  refuseOtherTypes(request.headers);
  if (Number(request.headers.get('content-length') ?? 0) > maxBytes) throw tooLarge(maxBytes);
  return chunksOf(request.body, maxBytes);
}

/**
 * Bytes as parsed JSON, which must be an object.
 * @throws FluxError `too-large`, `invalid`
 */
export function parseJsonObject(bytes: Uint8Array, maxBytes: number = BODY_BYTES_MAX): Record<string, unknown> {
  if (bytes.byteLength > maxBytes) throw tooLarge(maxBytes);
  const text = decodeUtf8(bytes);
  if (text.trim() === '') throw new FluxError('invalid', 'The body is empty: a JSON object is expected', { issues: [bodyIssue('empty')] });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const why = messageOf(cause);
    throw new FluxError('invalid', 'The body is not JSON', { issues: [bodyIssue(`not JSON: ${why.slice(0, 120)}`)], cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new FluxError('invalid', 'The body must be a JSON object', { issues: [bodyIssue('expected an object')] });
  }
  return value as Record<string, unknown>;
}

function bodyIssue(message: string): Issue {
  return { path: '', message };
}

function tooLarge(maxBytes: number): FluxError {
  return new FluxError('too-large', `The body is larger than ${maxBytes} bytes`);
}

function refuseOtherTypes(headers: Headers): void {
  const coding = headers.get('content-encoding') ?? 'identity';
  if (coding.trim().toLowerCase() !== 'identity') {
    // RFC 7694: the answer names the accepted coding.
    throw new HttpError('unsupported-media-type', `The body must not be compressed (Content-Encoding: ${coding})`, {
      'accept-encoding': 'identity',
    });
  }
  const contentType = headers.get('content-type');
  const [type, ...parameters] = (contentType ?? '').split(';').map((part) => part.trim().toLowerCase());
  const charset = parameters
    .find((parameter) => parameter.startsWith('charset='))
    ?.slice('charset='.length)
    .replaceAll('"', '');
  if (type === 'application/json' && (charset === undefined || charset === 'utf-8' || charset === 'utf8')) return;
  const hint = type === 'application/x-www-form-urlencoded' ? " (with curl: -H 'Content-Type: application/json')" : '';
  throw new FluxError(
    'unsupported-media-type',
    `The body must be application/json in UTF-8, not ${contentType ?? 'without a content type'}${hint}`,
  );
}

async function readBytes(body: ReadableStream<Uint8Array> | null, maxBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of chunksOf(body, maxBytes)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function* chunksOf(body: ReadableStream<Uint8Array> | null, maxBytes: number): AsyncGenerator<Uint8Array> {
  if (body === null) return;
  let size = 0;
  const reader = body.getReader();
  try {
    for (;;) {
      const next = await reader.read().catch((cause: unknown) => {
        throw new FluxError('invalid', 'The request ended before its body was complete', { cause });
      });
      if (next.done) return;
      size += next.value.byteLength;
      if (size > maxBytes) throw tooLarge(maxBytes);
      yield next.value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new FluxError('invalid', 'The body is not UTF-8', { issues: [bodyIssue('not UTF-8')], cause });
  }
}

/**
 * The query with each parameter once.
 * @throws FluxError `invalid` for a repeated parameter
 */
export function singleQuery(parameters: URLSearchParams): Record<string, string> {
  const query: Record<string, string> = Object.create(null);
  const issues: Issue[] = [];
  for (const [key, value] of parameters) {
    if (key in query) issues.push({ path: key, message: 'given more than once' });
    query[key] = value;
  }
  if (issues.length > 0) throw new FluxError('invalid', `The query is not valid: ${issues[0]?.path} is given more than once`, { issues });
  return query;
}

/**
 * If-Match: `"7"` (the revision that the endpoint must still have), `*` (it must exist) or absent.
 * @throws FluxError `invalid` for anything else: ignoring an unknown condition would make the change unconditional
 */
export function parseIfMatch(header: string | undefined): { revision: number | null; mustExist: boolean } {
  if (header === undefined) return { revision: null, mustExist: false };
  const value = header.trim();
  if (value === '*') return { revision: null, mustExist: true };
  const match = /^(?:"(\d{1,15})"|(\d{1,15}))$/.exec(value);
  const revision = match?.[1] ?? match?.[2];
  if (revision === undefined) {
    const issues = [{ path: 'If-Match', message: 'expected one revision in quotes, as in ETag: "7", or *' }];
    throw new FluxError('invalid', 'If-Match is not a revision', { issues });
  }
  return { revision: Number(revision), mustExist: false };
}

/** ETag of a revision. */
export function etagOf(revision: number): string {
  return `"${revision}"`;
}

/** True when If-None-Match names this revision. A weak tag matches, because RFC 9110 uses the weak comparison for this header. */
export function matchesNone(header: string | null, revision: number): boolean {
  if (header === null) return false;
  return header.split(',').some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '') === etagOf(revision));
}

/**
 * `?timeout=`: milliseconds (`500`) or with a unit (`500ms`, `30s`, `1m`), 1 ms to 5 minutes.
 * @throws FluxError `invalid`
 */
export function parseTimeout(value: string | undefined): number {
  if (value === undefined) return DEFAULT_TIMEOUT_MS;
  const match = /^(\d{1,9})(ms|s|m)?$/.exec(value);
  const unit = match?.[2] === 'm' ? 60_000 : match?.[2] === 's' ? 1000 : 1;
  const timeoutMs = match === null ? Number.NaN : Number(match[1]) * unit;
  if (timeoutMs >= 1 && timeoutMs <= TIMEOUT_MS_MAX) return timeoutMs;
  const issues = [{ path: 'timeout', message: 'expected 1..300000 milliseconds, or a duration such as 30s' }];
  throw new FluxError('invalid', 'timeout is not valid', { issues });
}

/**
 * `?confirmWithin=`: the form of a timeout, 1 second to 24 hours, also in hours (`1h`).
 * @throws FluxError `invalid`
 */
export function parseConfirmWithin(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const match = /^(\d{1,9})(ms|s|m|h)?$/.exec(value);
  const factors: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  const milliseconds = match === null ? Number.NaN : Number(match[1]) * (factors[match[2] ?? 'ms'] ?? 1);
  if (milliseconds >= MIN_CONFIRM_MS && milliseconds <= CONFIRM_MS_MAX) return milliseconds;
  const issues = [{ path: 'confirmWithin', message: 'expected 1000..86400000 milliseconds, or a duration from 1s to 24h' }];
  throw new FluxError('invalid', 'confirmWithin is not valid', { issues });
}

/**
 * The reason of a change from X-Reason. A reason in the body takes precedence, and is read with the body.
 * @param header in the form of the HTTP library, one character for each byte; terminals send UTF-8
 * @throws FluxError `invalid`
 */
export function parseReason(header: string | undefined): string | null {
  if (header === undefined || header === '') return null;
  const reason = fromUtf8(header);
  if (reason.length <= REASON_LENGTH_MAX) return reason;
  const issues = [{ path: 'X-Reason', message: `expected at most ${REASON_LENGTH_MAX} characters` }];
  throw new FluxError('invalid', 'X-Reason is too long', { issues });
}

/** Bytes that are not UTF-8 are read as Latin-1. */
function fromUtf8(bytes: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(bytes, 'latin1'));
  } catch {
    return bytes;
  }
}

/** Collects the problems that several checks of a request find, so that one answer names all of them. */
export class Refusals {
  readonly #errors: FluxError[] = [];

  /** The result of `check`, or `otherwise` when it refuses. */
  of<T>(check: () => T, otherwise: T): T {
    try {
      return check();
    } catch (error) {
      if (!(error instanceof FluxError) || error.kind !== 'invalid') throw error;
      this.#errors.push(error);
      return otherwise;
    }
  }

  /** @throws FluxError `invalid` with every problem; returns when there is none */
  throwIfAny(): void {
    const [first] = this.#errors;
    if (first === undefined) return;
    if (this.#errors.length === 1) throw first;
    const issues = this.#errors.flatMap((error) => error.issues);
    const [{ path, message } = { path: '', message: first.message }] = issues;
    throw new FluxError('invalid', `The request is not valid: ${path}: ${message} (and ${issues.length - 1} more)`, { issues });
  }
}

/**
 * `?wait=local|all` and `?policy=each|all` of a change in a cluster.
 * @throws FluxError `invalid` for another value
 */
export function parseSpread({ wait, policy }: { wait?: string | undefined; policy?: string | undefined }): {
  wait?: 'local' | 'all';
  policy?: 'each' | 'all';
} {
  const issues: Issue[] = [];
  if (wait !== undefined && wait !== 'local' && wait !== 'all') issues.push({ path: 'wait', message: 'must be local or all' });
  if (policy !== undefined && policy !== 'each' && policy !== 'all') issues.push({ path: 'policy', message: 'must be each or all' });
  if (issues.length > 0) throw new FluxError('invalid', `The query is not valid: ${issues[0]?.path} ${issues[0]?.message}`, { issues });
  return { ...(wait === 'local' || wait === 'all' ? { wait } : {}), ...(policy === 'each' || policy === 'all' ? { policy } : {}) };
}
