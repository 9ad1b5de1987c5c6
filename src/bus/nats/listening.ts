/** Asks NATS about the listeners of a subject, and about its own servers. */

import type { NatsConnection } from 'nats';
import { steadyNow } from '../../kernel/clock.ts';
import type { Presence } from '../node-wire.ts';

/** A server without listeners answers at once. */
const ANSWER_MS = 200;

/** Asks whether anybody listens to any of these subjects. The listeners get an empty message, and are not expected to answer. */
export async function presenceAt(connection: NatsConnection, subjects: readonly string[]): Promise<Presence> {
  const found = await Promise.all(subjects.map((subject) => presenceOf(connection, subject)));
  if (found.includes('present')) return 'present';
  return found.includes('unknown') ? 'unknown' : 'absent';
}

async function presenceOf(connection: NatsConnection, subject: string): Promise<Presence> {
  try {
    await connection.request(subject, new Uint8Array(), { timeout: ANSWER_MS });
    return 'present';
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === '503') return 'absent';
    // nats.js calls the end of its connection a timeout too.
    return code === 'TIMEOUT' && !connection.isClosed() ? 'present' : 'unknown';
  }
}

/** Watches the list of servers that the server of a connection announces. */
export class ServerList {
  #info: unknown = null;
  #servers = '';
  #since = steadyNow();

  /** How long the list has been the same, ms. To be called a few times a second: a change counts from the call that finds it. */
  settledMs(connection: NatsConnection): number {
    const { info } = connection;
    if (info !== this.#info) {
      this.#info = info;
      const servers = `${info?.server_id} ${[...(info?.connect_urls ?? [])].sort().join(' ')}`;
      if (servers !== this.#servers) this.#since = steadyNow();
      this.#servers = servers;
    }
    return steadyNow() - this.#since;
  }
}
