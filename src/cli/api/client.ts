/** The admin API for the command line: sends one request at a time, and puts every failure into words. */

import type { IncomingMessage } from 'node:http';
import type { Unreachable } from '../../answers/envelope.ts';
import { isObject } from '../../endpoint/problems.ts';
import type { Issue } from '../../kernel/errors.ts';
import { CommandFailure, EXIT, type ExitCode, issueLines } from '../failure.ts';
import { KEY_PATHS } from '../input/endpoint-keys.ts';
import { hint } from '../suggest.ts';
import { readEvents, type SentEvent } from './events.ts';
import { brokenOff, exchange, openStream, type RequestDetails, readAll, type StreamedBody } from './exchange.ts';
import type { ApiTarget } from './target.ts';

/** An unsuccessful answer, with the contents of its envelope. */
export class ApiFailure extends CommandFailure {
  readonly status: number;
  readonly data: unknown;

  constructor(status: number, message: string, issues: readonly Issue[], data: unknown) {
    const others = issues.length === 1 && message.endsWith(issues[0]!.message) && !isUnknownKey(issues[0]!) ? [] : issues.map(withHint);
    // The broker's text names the HTTP key; users of the command line need the option.
    super(exitCodeOf(status), message.replace('without force: true', 'without --force'), issueLines(others));
    this.status = status;
    this.data = data;
  }
}

/** Requests to one broker. */
export class Api {
  readonly #find: () => Promise<ApiTarget>;
  #target: ApiTarget | null = null;

  /** @param find locates the broker; called once, before the first request */
  constructor(find: () => Promise<ApiTarget>) {
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

  /** As get() and post(), for an answer of several nodes. @param body null: GET. @throws CommandFailure */
  async gather(path: string, body: unknown, details: RequestDetails = {}): Promise<{ data: unknown; unreachable: Unreachable[] }> {
    const text = body === null ? null : JSON.stringify(body);
    const { data = null, unreachable = [] } = await this.#ask(body === null ? 'GET' : 'POST', path, text, details);
    return { data, unreachable };
  }

  /** As post(), with a file that is read while it is sent. @throws CommandFailure */
  async postFile(path: string, body: StreamedBody, details: RequestDetails = {}): Promise<unknown> {
    return this.#send('POST', path, body, details);
  }

  /**
   * Passes on the envelope's data as text while it arrives.
   * @throws CommandFailure, also when the connection breaks before the end
   */
  async download(path: string, details: RequestDetails, onChunk: (chunk: Buffer) => Promise<void>): Promise<void> {
    this.#target ??= await this.#find();
    const target = this.#target;
    const response = await openStream(target, path, details);
    if (response.statusCode !== 200) judge(target, response.statusCode ?? 0, await readAll(response));
    await unwrapped(target, response, onChunk);
  }

  /**
   * Reads the server-sent events of a route until the connection ends.
   * @param lastId the last event that was seen; null: only new events
   * @throws CommandFailure when the stream cannot be opened, or is silent for too long
   */
  async events(path: string, lastId: string | null, onEvent: (event: SentEvent) => void): Promise<void> {
    this.#target ??= await this.#find();
    const target = this.#target;
    const response = await openStream(target, path, { headers: { accept: 'text/event-stream', 'last-event-id': lastId ?? undefined } });
    if (response.statusCode !== 200) judge(target, response.statusCode ?? 0, await readAll(response));
    await readEvents(response, onEvent);
  }

  async #send(method: 'GET' | 'POST', path: string, body: string | StreamedBody | null, details: RequestDetails): Promise<unknown> {
    return (await this.#ask(method, path, body, details)).data;
  }

  async #ask(method: 'GET' | 'POST', path: string, body: string | StreamedBody | null, details: RequestDetails): Promise<Envelope> {
    this.#target ??= await this.#find();
    const target = this.#target;
    const { status, text } = await exchange(target, method, path, body, details);
    return judge(target, status, text);
  }
}

/** The beginning and the end of an answer that the broker streams. */
const ENVELOPE = Buffer.from('{"code":200,"message":"Success","data":');
const ENVELOPE_END = Buffer.from('}\n');

async function unwrapped(target: ApiTarget, response: IncomingMessage, onChunk: (chunk: Buffer) => Promise<void>): Promise<void> {
  let head = Buffer.alloc(0);
  /** bytes that may belong to the end of the envelope */
  let tail: Buffer | null = null;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      let bytes: Buffer = chunk;
      if (tail === null) {
        head = Buffer.concat([head, chunk]);
        if (head.length < ENVELOPE.length) continue;
        if (!head.subarray(0, ENVELOPE.length).equals(ENVELOPE)) throw strange(target, 200);
        bytes = head.subarray(ENVELOPE.length);
        tail = Buffer.alloc(0);
      }
      const all: Buffer = Buffer.concat([tail, bytes]);
      const end = Math.max(0, all.length - ENVELOPE_END.length);
      if (end > 0) await onChunk(all.subarray(0, end));
      tail = Buffer.from(all.subarray(end));
    }
  } catch (error) {
    throw error instanceof CommandFailure ? error : brokenOff(error, target);
  }
  if (tail === null || !tail.equals(ENVELOPE_END)) throw strange(target, 200);
}

function strange(target: ApiTarget, status: number): CommandFailure {
  return new CommandFailure(EXIT.unreachable, `${target.url.origin} answers ${status}, but is not fluxmq`);
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

/** A successful answer. @throws CommandFailure */
function judge(target: ApiTarget, status: number, text: string): Envelope {
  const answer = parseEnvelope(text);
  if (answer === null) throw strange(target, status);
  if (status >= 200 && status < 300) return answer;
  const message = typeof answer.message === 'string' ? answer.message : `status ${status}`;
  throw new ApiFailure(status, status === 401 ? `${message}${loginHint(target)}` : message, answer.error?.issues ?? [], answer.data);
}

interface Envelope {
  code: number;
  message?: unknown;
  data?: unknown;
  unreachable?: Unreachable[];
  error?: { issues?: Issue[] };
}

/** Null when the text is no envelope: the answer is not from fluxmq. */
function parseEnvelope(text: string): Envelope | null {
  try {
    const parsed: unknown = JSON.parse(text);
    return isObject(parsed) && typeof parsed['code'] === 'number' ? (parsed as unknown as Envelope) : null;
  } catch {
    return null;
  }
}

function loginHint(target: ApiTarget): string {
  return target.authorization === null ? ': give --user and FLUXMQ_API_PASSWORD or --password-file' : '';
}
