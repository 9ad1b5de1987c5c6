/** Answers requests from the bus through the routes of the HTTP API, so that checks and answers are the same by construction. */

import { isObject } from '../../endpoint/problems.ts';
import { FluxError } from '../../kernel/errors.ts';
import type { AdminApp } from '../app.ts';
import { toFailure, toResponse } from '../http/envelope.ts';
import { requestIdOf } from '../http/request.ts';
import type { BusAnswer, BusRequest } from './bus-request.ts';
import { kindOf, pathOf } from './operations.ts';

/** Requests handled at once; a bus delivers as fast as it can. */
const RUNNING_MAX = 256;
/** Headers of an answer that have a meaning outside of HTTP. */
const HEADERS = ['content-type', 'etag', 'retry-after', 'x-request-id'];

export class BusDesk {
  readonly #app: AdminApp;
  #running = 0;

  constructor(app: AdminApp) {
    this.#app = app;
  }

  /** The answer to a request; never fails. */
  async answer(request: BusRequest): Promise<BusAnswer> {
    const kind = kindOf(request.name);
    if (kind === undefined) return this.#refuse(request, new FluxError('not-found', `There is no operation ${request.name}`));
    if (this.#running >= RUNNING_MAX) {
      const text = `${RUNNING_MAX} requests are under way: nothing was changed, try again`;
      return this.#refuse(request, new FluxError('too-many-requests', text));
    }
    this.#running++;
    try {
      const path = `http://localhost${pathOf(request.name)}`;
      const response = await this.#app.fetch(new Request(path, { method: kind === 'read' ? 'GET' : 'POST' }), { busRequest: request });
      const answer = await toAnswer(response);
      if (Buffer.byteLength(answer.body) <= request.answerBytesMax) return answer;
      return kind === 'change' && answer.failure === null
        ? shorten(answer, request.answerBytesMax)
        : this.#refuse(request, tooLarge(answer, request));
    } finally {
      this.#running--;
    }
  }

  #refuse(request: BusRequest, error: FluxError): Promise<BusAnswer> {
    const requestId = requestIdOf(request.headers.get('x-request-id'));
    const reply = toFailure(error, requestId);
    return toAnswer(toResponse({ ...reply, headers: { ...reply.headers, 'x-request-id': requestId } }));
  }
}

async function toAnswer(response: Response): Promise<BusAnswer> {
  const { status } = response;
  const headers = Object.fromEntries(
    HEADERS.flatMap((name) => (response.headers.has(name) ? [[name, response.headers.get(name) ?? '']] : [])),
  );
  // HTTP answers "not modified" without a body. An answer without a body would say nothing on the bus.
  const body = status === 304 ? JSON.stringify({ code: 304, message: 'Not Modified', data: null }) : await response.text();
  return { body, headers, failure: status < 400 ? null : { code: status, message: messageOf(body) } };
}

function messageOf(body: string): string {
  const { message } = JSON.parse(body) as { message: string };
  return message;
}

function tooLarge({ body }: BusAnswer, { answerBytesMax }: BusRequest): FluxError {
  const sizes = `The answer has ${Buffer.byteLength(body)} bytes, and the bus takes ${answerBytesMax}`;
  return new FluxError('too-large', `${sizes}: ask for less (port, limit), or over HTTP`);
}

/** The change has happened, so the answer must stay a success. It drops the long parts, which a later read can give. */
function shorten({ body, headers, failure }: BusAnswer, bytesMax: number): BusAnswer {
  const { code, message, data } = JSON.parse(body) as { code: number; message: string; data: unknown };
  const { revision = null, nodes = [], confirm } = isObject(data) ? data : {};
  const note = `the answer was longer than the bus takes (${bytesMax} bytes): get and history have the rest`;
  const short = { revision, nodes, warnings: [note], ...(confirm === undefined ? {} : { confirm }) };
  const text = JSON.stringify({ code, message, data: short });
  const isShort = Buffer.byteLength(text) <= bytesMax;
  return { body: isShort ? text : JSON.stringify({ code, message, data: { ...short, nodes: [] } }), headers, failure };
}
