/** The authenticators that this thread asks, each opened at its first question and closed when nobody has asked it for a while. */

import type { AskedAuthConfig } from '../../../src/endpoint/endpoint.ts';
import { steadyNow } from '../../../src/kernel/clock.ts';
import type { AskJob, AskResult } from '../../../src/thread/access/ask.ts';
import type { Asker, Notify } from './contract.ts';
import { openDatabaseAsker } from './database/database-asker.ts';
import { openFileAsker } from './file/file-asker.ts';
import { GuardedAsker } from './guarded.ts';
import { openHttpAsker } from './http/http-asker.ts';
import { openJwtAsker } from './jwt/jwt-asker.ts';
import { openUsersAsker } from './users/users-asker.ts';

/** An authenticator that no login has needed for this time has probably left the configuration. */
const UNUSED_MS = 10 * 60_000;
const LOOK_EVERY_MS = 60_000;

interface Entry {
  readonly asker: GuardedAsker;
  askedAt: number;
}

export class Askers {
  readonly #entries = new Map<string, Entry>();
  readonly #notify: Notify;
  readonly #timer: NodeJS.Timeout;

  constructor(notify: Notify) {
    this.#notify = notify;
    this.#timer = setInterval(() => this.#closeUnused(), LOOK_EVERY_MS);
    this.#timer.unref();
  }

  /** Never rejects. */
  ask({ key, config, who }: AskJob): Promise<AskResult> {
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = { asker: new GuardedAsker(() => open(config, this.#notify), config), askedAt: 0 };
      this.#entries.set(key, entry);
    }
    entry.askedAt = steadyNow();
    return entry.asker.ask(who);
  }

  #closeUnused(): void {
    const since = steadyNow() - UNUSED_MS;
    for (const [key, { asker, askedAt }] of this.#entries) {
      if (askedAt > since) continue;
      this.#entries.delete(key);
      void asker.close();
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all([...this.#entries.values()].map(({ asker }) => asker.close()));
    this.#entries.clear();
  }
}

async function open(config: AskedAuthConfig, notify: Notify): Promise<Asker> {
  switch (config.authType) {
    case 'http':
      return openHttpAsker(config);
    case 'jwt':
      return openJwtAsker(config);
    case 'file':
      return openFileAsker(config, notify);
    case 'database':
      return openDatabaseAsker(config, notify);
    case 'redis':
      return (await import('./redis/redis-asker.ts')).openRedisAsker(config, notify);
    case 'users':
      return openUsersAsker();
  }
}
