/** The `$SYS` topics of each namespace: facts about the broker for its clients, as retained messages (docs/metrics-and-logs.md). */

import { messageOf } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { MetricsCollector } from '../../metrics/collect.ts';
import { type CounterName, DROP_REASONS } from '../../metrics/counters.ts';
import type { Clients } from '../clients/clients.ts';
import type { DesiredState } from '../state/desired-state.ts';

export interface SystemTopicsOptions {
  version: string;
  desired: DesiredState;
  collector: MetricsCollector;
  clients: Clients;
  logger: Logger;
}

/** The usual interval of brokers. */
const INTERVAL_MS = 10_000;
/** Delay of the first messages after the start. */
const FIRST_MS = 1_000;

/** Numbers of a namespace by topic, below `$SYS/broker/`; each a sum over its endpoints. */
const SUMS: Record<string, readonly CounterName[]> = {
  'clients/connected': ['sessionsCurrent'],
  'connections/total': ['connectionsTotal'],
  'subscriptions/count': ['subscriptionsCurrent'],
  'messages/received': ['messagesReceived'],
  'messages/sent': ['messagesSent'],
  'messages/dropped': Object.values(DROP_REASONS),
  'retained messages/refused': ['retainedRefused'],
  'bytes/received': ['bytesReceived'],
  'bytes/sent': ['bytesSent'],
};

/** Publishes from its creation until close(). */
export class SystemTopics {
  readonly #options: SystemTopicsOptions;
  #timer: NodeJS.Timeout;

  constructor(options: SystemTopicsOptions) {
    this.#options = options;
    this.#timer = setTimeout(() => void this.#publish(), FIRST_MS);
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  async #publish(): Promise<void> {
    const { desired, logger, clients } = this.#options;
    const namespaces = new Set(desired.list().map(({ endpoint }) => endpoint.namespace));
    try {
      const { namespaces: retained } = await clients.retainedCount();
      for (const namespace of namespaces)
        await this.#publishTo(
          namespace,
          retained.find((each) => each.namespace === namespace),
        );
    } catch (error) {
      // The session worker is being replaced; the next round publishes.
      logger.debug('the $SYS topics were not published', { reason: messageOf(error) });
    }
    this.#timer = setTimeout(() => void this.#publish(), INTERVAL_MS);
  }

  async #publishTo(namespace: string, retained: { messages: number; bytes: number } = { messages: 0, bytes: 0 }): Promise<void> {
    const { version, desired, collector, clients } = this.#options;
    const endpoints = desired.list().filter(({ endpoint }) => endpoint.namespace === namespace);
    const values: Record<string, string> = { version: `fluxmq ${version}`, uptime: `${Math.floor(process.uptime())} seconds` };
    for (const [topic, counters] of Object.entries(SUMS)) {
      let sum = 0;
      for (const { endpoint } of endpoints) for (const name of counters) sum += collector.of(endpoint.id).total(name);
      values[topic] = String(sum);
    }
    values['retained messages/count'] = String(retained.messages);
    values['retained messages/bytes'] = String(retained.bytes);
    for (const [topic, value] of Object.entries(values)) {
      await clients.publish({ topic: `$SYS/broker/${topic}`, payload: Buffer.from(value), qos: 0, retain: true, namespace });
    }
  }
}
