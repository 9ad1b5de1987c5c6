/** Answers messages through the routes of the HTTP API, so that checks and answers are the same by construction. */

import { isObject } from '../../endpoint/problems.ts';
import { FluxError } from '../../kernel/errors.ts';
import type { AdminApp } from '../app.ts';
import { toFailure, toResponse } from '../http/envelope.ts';
import { requestIdOf } from '../http/request.ts';
import type { Message, MessageAnswer } from './contract.ts';
import { kindOf } from './operations.ts';

/** Messages handled at once; a bus delivers as fast as it can. */
const RUNNING_MAX = 256;
/** Headers of an answer that have a meaning outside of HTTP. */
const HEADERS = ['content-type', 'etag', 'retry-after', 'x-request-id'];

export class MessageDesk {
  readonly #app: AdminApp;
  #running = 0;

  constructor(app: AdminApp) {
    this.#app = app;
  }

  /** The answer to a message; never fails. */
  async answer(message: Message): Promise<MessageAnswer> {
    const kind = kindOf(message.name);
    if (kind === undefined) return this.#refuse(message, new FluxError('not-found', `There is no operation ${message.name}`));
    if (this.#running >= RUNNING_MAX) {
      const text = `${RUNNING_MAX} requests are under way: nothing was changed, try again`;
      return this.#refuse(message, new FluxError('too-many-requests', text));
    }
    this.#running++;
    try {
      const path = `http://localhost/api/endpoints/${message.name}`;
      const response = await this.#app.fetch(new Request(path, { method: kind === 'read' ? 'GET' : 'POST' }), { message });
      const answer = await toAnswer(response);
      if (Buffer.byteLength(answer.body) <= message.answerBytesMax) return answer;
      return kind === 'change' && answer.failure === null
        ? shorten(answer, message.answerBytesMax)
        : this.#refuse(message, tooLarge(answer, message));
    } finally {
      this.#running--;
    }
  }

  #refuse(message: Message, error: FluxError): Promise<MessageAnswer> {
    const requestId = requestIdOf(message.headers.get('x-request-id'));
    const reply = toFailure(error, requestId);
    return toAnswer(toResponse({ ...reply, headers: { ...reply.headers, 'x-request-id': requestId } }));
  }
}

async function toAnswer(response: Response): Promise<MessageAnswer> {
  const { status } = response;
  const headers = Object.fromEntries(
    HEADERS.flatMap((name) => (response.headers.has(name) ? [[name, response.headers.get(name) ?? '']] : [])),
  );
  // HTTP answers "not modified" without a body. A message without a body would say nothing.
  const body = status === 304 ? JSON.stringify({ code: 304, message: 'Not Modified', data: null }) : await response.text();
  return { body, headers, failure: status < 400 ? null : { code: status, message: messageOf(body) } };
}

function messageOf(body: string): string {
  const { message } = JSON.parse(body) as { message: string };
  return message;
}

function tooLarge({ body }: MessageAnswer, { answerBytesMax }: Message): FluxError {
  const sizes = `The answer has ${Buffer.byteLength(body)} bytes, and the bus takes ${answerBytesMax}`;
  return new FluxError('too-large', `${sizes}: ask for less (port, limit), or over HTTP`);
}

/** The change has happened, so the answer must stay a success. It drops the long parts, which a later read can give. */
function shorten({ body, headers, failure }: MessageAnswer, bytesMax: number): MessageAnswer {
  const { code, message, data } = JSON.parse(body) as { code: number; message: string; data: unknown };
  const { revision = null, nodes = [], confirm } = isObject(data) ? data : {};
  const note = `the answer was longer than the bus takes (${bytesMax} bytes): get and history have the rest`;
  const short = { revision, nodes, warnings: [note], ...(confirm === undefined ? {} : { confirm }) };
  const text = JSON.stringify({ code, message, data: short });
  const isShort = Buffer.byteLength(text) <= bytesMax;
  return { body: isShort ? text : JSON.stringify({ code, message, data: { ...short, nodes: [] } }), headers, failure };
}
