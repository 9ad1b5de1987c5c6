/** Tells the log of retained messages that found no room: once a minute for each endpoint, with how many they were. */

import type { Logger } from '../../../src/kernel/logger.ts';
import type { RetainedRefusal } from './quota.ts';

const EVERY_MS = 60_000;

export class RefusalLog {
  readonly #logger: () => Logger;
  /** endpoint id → port */
  readonly #ports = new Map<string, number>();
  /** endpoint id → when it was told of last, steady milliseconds, and how many were refused since */
  readonly #told = new Map<string, { at: number; count: number }>();

  /** @param logger asked when there is something to tell */
  constructor(logger: () => Logger) {
    this.#logger = logger;
  }

  /** Names an endpoint by its port from now on. */
  name(endpoint: string, port: number): void {
    this.#ports.set(endpoint, port);
  }

  /** @param endpoint id; '': the server itself. @param now steady milliseconds */
  note(namespace: string, endpoint: string, { limit, measure }: RetainedRefusal, now: number): void {
    const told = this.#told.get(endpoint) ?? { at: Number.NEGATIVE_INFINITY, count: 0 };
    this.#told.set(endpoint, told);
    told.count++;
    if (now - told.at < EVERY_MS) return;
    const { count } = told;
    told.at = now;
    told.count = 0;
    const port = this.#ports.get(endpoint);
    const where = port === undefined ? 'Messages of the server' : `Endpoint ${port}: messages`;
    const key = measure === 'messages' ? 'maxRetainedMessages' : 'maxRetainedBytes';
    const why = limit === 'endpoint' ? `the endpoint has ${key} already` : `namespace ${namespace} has its part of what the node keeps`;
    this.#logger().warn(`${where} are not retained: ${why}`, { namespace, endpoint, count });
  }
}
