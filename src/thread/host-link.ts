/** A worker's end of its channel to main: answers commands, asks questions, emits events, and is the worker's logger. */

import type { MessagePort } from 'node:worker_threads';
import { FluxError, toWireError } from '../kernel/errors.ts';
import type { LogFields, Logger, LogLevel } from '../kernel/logger.ts';
import type { CommandName, Commands, QuestionName, Questions, ThreadFrame, WorkerEvent } from './commands.ts';
import { PendingCalls } from './frames.ts';

/** A worker's handler of each command. A command without a handler is answered with an error. */
export type CommandHandlers = {
  [K in CommandName]?: (params: Commands[K]['params']) => Commands[K]['result'] | Promise<Commands[K]['result']>;
};

/** Questions in flight from one worker; more are refused with `unavailable`, so that a login storm cannot fill memory. */
const PENDING_QUESTIONS_MAX = 4096;

type AnyHandler = (params: unknown) => unknown;

/**
 * Answers commands from its construction on. After the answer to `shutdown` the link emits `closed` and closes the port, so that the thread
 * ends by itself once nothing else keeps it alive.
 */
export class HostLink {
  readonly logger: Logger;
  readonly #port: MessagePort;
  readonly #handlers: CommandHandlers;
  readonly #questions = new PendingCalls(PENDING_QUESTIONS_MAX);
  #closed = false;

  /** @param port the worker's `parentPort` (or one end of a channel in a test) */
  constructor(port: MessagePort, handlers: CommandHandlers) {
    this.#port = port;
    this.#handlers = handlers;
    const log =
      (level: LogLevel) =>
      (message: string, fields: LogFields = {}) =>
        this.emit({ event: 'log', level, message, fields });
    this.logger = { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') };
    port.on('message', (frame: ThreadFrame) => this.#receive(frame));
  }

  /** Emits an event to main, which sends no answer. Does nothing after the link is closed. */
  emit(event: WorkerEvent): void {
    if (!this.#closed) this.#send({ kind: 'event', body: event });
  }

  /**
   * Asks main.
   * @param timeoutMs milliseconds to wait for the answer, 1..2147483647
   * @throws FluxError `timeout`, `unavailable` (4096 questions in flight, or the link is closed), or what main answered
   */
  ask<K extends QuestionName>(name: K, params: Questions[K]['params'], timeoutMs: number): Promise<Questions[K]['result']> {
    const answer = this.#questions.begin(name, timeoutMs, (id) => this.#send({ kind: 'question', id, name, params }));
    return answer as Promise<Questions[K]['result']>;
  }

  /** Ends the link: questions in flight reject with `unavailable`, the port is closed. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#questions.close(new FluxError('unavailable', 'the link to the main thread is closed'));
    this.#port.close();
  }

  #send(frame: ThreadFrame): void {
    this.#port.postMessage(frame);
  }

  #receive(frame: ThreadFrame): void {
    if (frame.kind === 'result') this.#questions.settle(frame);
    else if (frame.kind === 'command') void this.#answer(frame.id, frame.name, frame.params);
  }

  async #answer(id: number, name: CommandName, params: unknown): Promise<void> {
    const handler = this.#handlers[name] as AnyHandler | undefined;
    try {
      if (handler === undefined) throw new FluxError('internal', `this worker does not know the command ${name}`);
      this.#reply({ kind: 'result', id, ok: true, result: await handler(params) });
    } catch (error) {
      // Without `closed`, main waits for the end of the thread before it calls terminate().
      const wire = toWireError(error);
      this.#reply({ kind: 'result', id, ok: false, error: wire });
      // The wire form has no stack, and main only passes the message on: the stack would be lost.
      if (wire.kind === 'internal')
        this.logger.error('A command of the main thread failed', {
          command: name,
          reason: error instanceof Error ? error.stack : wire.message,
        });
      return;
    }
    if (name === 'shutdown') {
      this.emit({ event: 'closed' });
      this.close();
    }
  }

  #reply(frame: ThreadFrame): void {
    if (!this.#closed) this.#send(frame);
  }
}
