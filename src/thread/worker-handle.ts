/** Main's end of the channel to one worker thread: starts the thread, calls it, answers its questions, and ends it in order. */

import { type MessagePort, type Transferable, Worker } from 'node:worker_threads';
import { Deadline } from '../kernel/deadline.ts';
import { FluxError, messageOf, toWireError } from '../kernel/errors.ts';
import type { LogFields, LogLevel } from '../kernel/logger.ts';
import type { CommandName, Commands, QuestionName, Questions, ThreadFrame, WorkerBoot, WorkerEvent } from './commands.ts';
import { THREAD_PROTOCOL_VERSION } from './commands.ts';
import { PendingCalls } from './frames.ts';
import { readHeartbeat } from './heartbeat.ts';
import { machineBytes } from './memory-budget.ts';

/** Main's handler of each question of a worker. */
export type QuestionHandlers = {
  [K in QuestionName]?: (params: Questions[K]['params']) => Promise<Questions[K]['result']>;
};

/** Why and how a worker ended. `expected`: stop() was called before. */
export interface WorkerExit {
  expected: boolean;
  code: number;
  /** the error that the worker reported, or its uncaught error */
  reason: string;
}

export interface WorkerCallbacks {
  questions: QuestionHandlers;
  onLog(level: LogLevel, message: string, fields: LogFields): void;
  /** A client has connected too often. */
  onFlapping(namespace: string, clientId: string): void;
  /** Called once, after every call in flight has been rejected. */
  onExit(exit: WorkerExit): void;
}

export interface CallOptions {
  /** milliseconds, 1..2147483647 */
  timeoutMs: number;
  transfer?: readonly (Transferable | MessagePort)[];
}

/** The start deadline of a worker that makes progress is this many times longer. */
const EXTENSIONS_MAX = 30;
/** Commands in flight to one worker. */
const PENDING_CALLS_MAX = 4096;
/** Time for a thread that said `closed` to end by itself. terminate() is safe afterwards. */
const LINGER_AFTER_CLOSED_MS = 50;
const MIB = 1024 * 1024;

/**
 * Heap limit of a worker: half of the memory of the machine or container, 256 MiB to 8 GiB. A leak ends one worker, not the machine. The
 * worker stops taking in large things far below the limit (memory-budget.ts): a single allocation that V8 cannot serve ends the whole
 * process.
 */
export function workerHeapLimitMb(memoryBytes: number = machineBytes()): number {
  return Math.round(Math.min(8192, Math.max(256, memoryBytes / MIB / 2)));
}

type AnyQuestionHandler = (params: unknown) => Promise<unknown>;

/** States: starting → ready → stopping → ended. A thread that dies goes from any state to ended. */
export class WorkerHandle {
  readonly boot: WorkerBoot;
  /** settles at the end of the thread */
  readonly ended: Promise<WorkerExit>;
  readonly #worker: Worker;
  readonly #callbacks: WorkerCallbacks;
  readonly #calls = new PendingCalls(PENDING_CALLS_MAX);
  readonly #ready: Promise<void>;
  #settleReady: { resolve(): void; reject(error: Error): void } = { resolve() {}, reject() {} };
  #settleEnded: (exit: WorkerExit) => void = () => {};
  #state: 'starting' | 'ready' | 'stopping' | 'ended' = 'starting';
  #lastWords: string | null = null;
  #onClosed: () => void = () => {};
  readonly #onEnd = new Set<() => void>();
  #stopping: Promise<boolean> | null = null;

  /** Creates the thread. Call start() and wait for it before any other use. */
  constructor(url: URL, boot: WorkerBoot, callbacks: WorkerCallbacks) {
    this.boot = boot;
    this.#callbacks = callbacks;
    this.#ready = new Promise((resolve, reject) => {
      this.#settleReady = { resolve, reject };
    });
    this.#ready.catch(() => {});
    this.ended = new Promise((resolve) => {
      this.#settleEnded = resolve;
    });
    this.#worker = new Worker(url, {
      workerData: boot,
      name: `${boot.role}-${boot.peer}`,
      resourceLimits: { maxOldGenerationSizeMb: workerHeapLimitMb() },
    });
    this.#worker.on('message', (frame: ThreadFrame) => this.#receive(frame));
    this.#worker.on('error', (error: unknown) => {
      this.#lastWords ??= messageOf(error);
    });
    this.#worker.on('exit', (code) => this.#exited(code));
  }

  get peer(): number {
    return this.boot.peer;
  }

  get name(): string {
    return `${this.boot.role}-${this.boot.peer}`;
  }

  /** True between `ready` and the call of stop() or the end of the thread. */
  get isUsable(): boolean {
    return this.#state === 'ready';
  }

  /**
   * Waits for `ready` of the worker. Ends a worker that speaks another protocol version, or shows no progress in time.
   * @param deadlineMs milliseconds without a sign of life (heartbeat.ts), 1..
   * @throws FluxError `internal` (ended, or another protocol version), `timeout`
   */
  async start(deadlineMs: number): Promise<void> {
    let beats = readHeartbeat(this.boot.heartbeat);
    let extensions = 0;
    const timer = setInterval(() => {
      // A worker reads a large store at the start: it gets more time while it makes progress.
      const before = beats;
      beats = readHeartbeat(this.boot.heartbeat);
      if (beats !== before && ++extensions < EXTENSIONS_MAX) return;
      this.#settleReady.reject(new FluxError('timeout', `${this.name} was not ready within ${deadlineMs} ms`));
    }, deadlineMs);
    try {
      await this.#ready;
    } catch (error) {
      if (this.#state !== 'ended') {
        this.#state = 'stopping';
        await this.#worker.terminate();
      }
      throw error;
    } finally {
      clearInterval(timer);
    }
  }

  /**
   * Sends a command and waits for its answer.
   * @throws FluxError `timeout`, `unavailable` (the worker has ended, or ends before it answers), or what the worker answered
   */
  call<K extends CommandName>(name: K, params: Commands[K]['params'], options: CallOptions): Promise<Commands[K]['result']> {
    const answer = this.#calls.begin(name, options.timeoutMs, (id) => {
      this.#worker.postMessage({ kind: 'command', id, name, params } satisfies ThreadFrame, [...(options.transfer ?? [])]);
    });
    return answer as Promise<Commands[K]['result']>;
  }

  /**
   * Asks the worker to close everything and waits for the end of the thread. Calls terminate() only when the worker said `closed` and
   * lingers, or did not say it within `timeoutMs`. Anything that the worker has not handed over before terminate() is lost.
   * @returns true when the worker ended in order
   */
  stop(timeoutMs: number): Promise<boolean> {
    if (this.#state === 'ended') return Promise.resolve(true);
    this.#stopping ??= this.#shutDown(timeoutMs);
    return this.#stopping;
  }

  async #shutDown(timeoutMs: number): Promise<boolean> {
    this.#state = 'stopping';
    const closed = new Promise<void>((resolve) => {
      this.#onClosed = resolve;
    });
    this.call('shutdown', { timeoutMs }, { timeoutMs }).catch((error: unknown) => {
      this.#callbacks.onLog('warn', `${this.name} did not shut down in order`, { reason: toWireError(error).message });
    });
    if (!(await new Deadline(timeoutMs).reaches(Promise.race([this.ended, closed])))) {
      this.#callbacks.onLog('error', `${this.name} did not end within ${timeoutMs} ms and is terminated`, {});
      await this.#worker.terminate();
      return false;
    }
    if (!(await new Deadline(LINGER_AFTER_CLOSED_MS).reaches(this.ended))) await this.#worker.terminate();
    return true;
  }

  /**
   * Waits for `work`, or for the end of the thread when that comes first. Rethrows the failure of `work`. Not Promise.race() with `ended`:
   * as long as the thread lives, `ended` would keep a reference to the outcome of every race.
   */
  async untilEnd(work: Promise<unknown>): Promise<void> {
    if (this.#state === 'ended') return;
    let onEnd = (): void => {};
    const ended = new Promise<void>((resolve) => {
      onEnd = resolve;
      this.#onEnd.add(onEnd);
    });
    try {
      await Promise.race([work, ended]);
    } finally {
      this.#onEnd.delete(onEnd);
    }
  }

  /** Ends a thread that does not answer, with the same consequences as a death of the thread. */
  abandon(reason: string): void {
    this.#lastWords ??= reason;
    void this.#worker.terminate();
  }

  #receive(frame: ThreadFrame): void {
    if (frame.kind === 'result') this.#calls.settle(frame);
    else if (frame.kind === 'event') this.#event(frame.body);
    else if (frame.kind === 'question') void this.#answer(frame.id, frame.name, frame.params);
  }

  #event(event: WorkerEvent): void {
    if (event.event === 'ready') this.#becomeReady(event.protocolVersion);
    else if (event.event === 'log') this.#callbacks.onLog(event.level, event.message, { worker: this.name, ...event.fields });
    else if (event.event === 'flapping') this.#callbacks.onFlapping(event.namespace, event.clientId);
    else if (event.event === 'closed') this.#onClosed();
    else {
      this.#lastWords = event.message;
      this.#callbacks.onLog('error', `${this.name} failed: ${event.message}`, { stack: event.stack });
    }
  }

  #becomeReady(protocolVersion: number): void {
    if (this.#state !== 'starting') return;
    if (protocolVersion !== THREAD_PROTOCOL_VERSION) {
      const reason = `${this.name} speaks thread protocol ${protocolVersion}, this process ${THREAD_PROTOCOL_VERSION}`;
      this.#settleReady.reject(new FluxError('internal', reason));
      return;
    }
    this.#state = 'ready';
    this.#settleReady.resolve();
  }

  async #answer(id: number, name: QuestionName, params: unknown): Promise<void> {
    const handler = this.#callbacks.questions[name] as AnyQuestionHandler | undefined;
    let frame: ThreadFrame;
    try {
      if (handler === undefined) throw new FluxError('internal', `no handler answers the question ${name}`);
      frame = { kind: 'result', id, ok: true, result: await handler(params) };
    } catch (error) {
      frame = { kind: 'result', id, ok: false, error: toWireError(error) };
    }
    if (this.#state !== 'ended') this.#worker.postMessage(frame);
  }

  #exited(code: number): void {
    const exit: WorkerExit = { expected: this.#state === 'stopping', code, reason: this.#lastWords ?? `exit code ${code}` };
    this.#state = 'ended';
    this.#calls.close(new FluxError('unavailable', `${this.name} has ended: ${exit.reason}`));
    this.#settleReady.reject(new FluxError('internal', `${this.name} ended before it was ready: ${exit.reason}`));
    this.#settleEnded(exit);
    for (const onEnd of this.#onEnd) onEnd();
    this.#callbacks.onExit(exit);
  }
}
