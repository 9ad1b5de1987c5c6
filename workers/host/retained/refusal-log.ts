/** Logs retained messages without room: at most one line per minute and endpoint, with their number. */

import type { Logger } from '../../../src/kernel/logger.ts';
import type { RetainedRefusal } from './quota.ts';

const EVERY_MS = 60_000;

export class RefusalLog {
  readonly #logger: () => Logger;
  /** endpoint id → port */
  readonly #ports = new Map<string, number>();
  /** endpoint id → steady milliseconds of its last line, and refusals since */
  readonly #lines = new Map<string, { at: number; count: number }>();

  /** @param logger called when there is a line to write */
  constructor(logger: () => Logger) {
    this.#logger = logger;
  }

  /** Sets the port by which later lines name an endpoint. */
  name(endpoint: string, port: number): void {
    this.#ports.set(endpoint, port);
  }

  /** @param endpoint id; '': the server itself. @param now steady milliseconds */
  note(namespace: string, endpoint: string, { limit, measure }: RetainedRefusal, now: number): void {
    const line = this.#lines.get(endpoint) ?? { at: Number.NEGATIVE_INFINITY, count: 0 };
    this.#lines.set(endpoint, line);
    line.count++;
    if (now - line.at < EVERY_MS) return;
    const { count } = line;
    line.at = now;
    line.count = 0;
    const port = this.#ports.get(endpoint);
    const where = port === undefined ? 'Messages of the server' : `Endpoint ${port}: messages`;
    const key = measure === 'messages' ? 'maxRetainedMessages' : 'maxRetainedBytes';
    const why = limit === 'endpoint' ? `the endpoint has reached ${key}` : `namespace ${namespace} has reached its share of the node`;
    this.#logger().warn(`${where} are not retained: ${why}`, { namespace, endpoint, count });
  }
}
