/** Notices that a NATS server has fallen silent, and closes the connection to it. Owns the pieces of nats.js that it does not document. */

import type { Socket } from 'node:net';
import type { NatsConnection } from 'nats';
import { steadyNow } from '../../kernel/clock.ts';

/** Interval of the checks, ms. Each check sends a PING unless the last one is still unanswered. */
const LOOK_MS = 250;
/** Longest silence of a server while a PING is unanswered, ms. */
const SILENCE_MS_MAX = 1_000;

/**
 * Watches one connection until it closes. Destroys the socket when the server neither answers a PING within a second nor sends anything
 * else: a frozen process keeps its connections open, so only a deadline reveals it. The deadline of nats.js is not enough, because nats.js
 * then waits for a last write, which a frozen server with a full socket never takes.
 */
export class ServerWatch {
  readonly #connection: NatsConnection;
  readonly #timer: NodeJS.Timeout;
  /** null: no PING is unanswered */
  #openSince: number | null = null;
  /** silence since the unanswered PING, ms; time in which this thread was blocked does not count */
  #silentMs = 0;
  #lookedAt = steadyNow();
  #progress: Progress;
  #verdict: string | null = null;

  constructor(connection: NatsConnection) {
    this.#connection = connection;
    this.#progress = progressOf(connection);
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
  }

  /** Why this watch closed the connection; null while it has not. */
  get verdict(): string | null {
    return this.#verdict;
  }

  /** Idempotent. */
  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const connection = this.#connection;
    if (connection.isClosed()) {
      this.stop();
      return;
    }
    const now = steadyNow();
    // After this thread was blocked, answers that arrived in that time are still unread.
    const passed = Math.min(now - this.#lookedAt, 2 * LOOK_MS);
    this.#lookedAt = now;
    const before = this.#progress;
    this.#progress = progressOf(connection);
    if (this.#openSince === null || isAlive(before, this.#progress)) this.#silentMs = 0;
    else this.#silentMs += passed;
    if (this.#openSince === null) this.#ping(now);
    else if (this.#silentMs >= SILENCE_MS_MAX) this.#leave();
  }

  #ping(now: number): void {
    this.#openSince = now;
    this.#connection.flush().then(
      () => {
        this.#openSince = null;
      },
      () => this.stop(),
    );
  }

  #leave(): void {
    this.stop();
    const waiting = socketOf(this.#connection)?.writableLength ?? 0;
    const output = waiting === 0 ? '' : `, and ${waiting} bytes wait to be sent to it`;
    this.#verdict = `${this.#connection.getServer()} is silent: no answer to a PING within ${SILENCE_MS_MAX} ms${output}`;
    void this.#connection.close().catch(() => {});
  }
}

/** Traffic of a connection, in bytes since its start. */
interface Progress {
  readonly read: number;
  /** written, and taken by the system */
  readonly sent: number;
  /** written, and not yet taken by the system */
  readonly waiting: number;
}

function progressOf(connection: NatsConnection): Progress {
  const socket = socketOf(connection);
  if (socket === null) return { read: connection.stats().inBytes, sent: 0, waiting: 0 };
  const { bytesRead, bytesWritten, writableLength } = socket;
  return { read: bytesRead, sent: bytesWritten - writableLength, waiting: writableLength };
}

/**
 * While the buffers of the system have room, taken bytes prove nothing, because the socket of a frozen server has buffers, too. Once the
 * buffers are full, only a server that reads makes room.
 */
function isAlive(before: Progress, now: Progress): boolean {
  return now.read > before.read || (before.waiting > 0 && now.sent > before.sent);
}

/** The socket of a connection; null when nats.js keeps it elsewhere than in version 2.29, or the connection has closed. */
export function socketOf(connection: NatsConnection): Socket | null {
  const { protocol } = connection as unknown as { protocol?: { transport?: { socket?: Socket } } };
  return protocol?.transport?.socket ?? null;
}
