/** Bans clients that connect too often: at once on this node, and by the store in the whole cluster. */

import { BAN_KIND, BANS_MAX, type Ban, banKey, toBanBody } from '../../endpoint/bans/ban.ts';
import { FLAPPING_AUTHOR, type FlappingLimits, flappingReason } from '../../endpoint/bans/flapping.ts';
import { wallNow } from '../../kernel/clock.ts';
import { pause } from '../../kernel/deadline.ts';
import { messageOf } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import { DOCUMENT_KEY_MAX, type DocumentStore } from '../../storage/documents/document-store.ts';
import type { DocumentFollower } from '../documents/follower.ts';
import type { BanKeeper } from './ban-keeper.ts';

export interface FlappingBansOptions {
  keeper: BanKeeper;
  store: DocumentStore;
  follower: DocumentFollower;
  limits: FlappingLimits;
  node: string;
  logger: Logger;
}

/** Bans come together in one change: a storm must not make a revision for each client. */
const GATHER_MS = 500;
const STORED_AT_ONCE = 1_000;
/** Bans that wait to be stored. Further ones, and those of very long identifiers, apply on this node alone. */
const WAITING_MAX = 10_000;

export class FlappingBans {
  readonly #options: FlappingBansOptions;
  readonly #closing = new AbortController();
  /** by key */
  readonly #waiting = new Map<string, Ban>();
  #storing: Promise<void> | null = null;

  constructor(options: FlappingBansOptions) {
    this.#options = options;
  }

  ban(namespace: string, clientId: string): void {
    const { keeper, limits, logger } = this.#options;
    const at = wallNow();
    const until = at + limits.banSeconds * 1000;
    const ban: Ban = { by: 'clientId', namespace, value: clientId, until, reason: flappingReason(limits), author: FLAPPING_AUTHOR, at };
    const key = banKey(ban);
    if (keeper.has(key)) return;
    if (keeper.total >= BANS_MAX) {
      logger.warn('Bans: a client that connects too often is not banned: there are too many bans', { clientId });
      return;
    }
    keeper.impose(key, until);
    if (this.#waiting.size >= WAITING_MAX || key.length > DOCUMENT_KEY_MAX) return;
    this.#waiting.set(key, ban);
    this.#storing ??= this.#store().finally(() => {
      this.#storing = null;
    });
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#storing;
  }

  async #store(): Promise<void> {
    const { store, follower, node, limits, logger } = this.#options;
    const reason = flappingReason(limits);
    while (this.#waiting.size > 0 && !this.#closing.signal.aborted) {
      await pause(GATHER_MS, this.#closing.signal);
      const some = [...this.#waiting].slice(0, STORED_AT_ONCE);
      for (const [key] of some) this.#waiting.delete(key);
      const changes = some.map(([key, ban]) => ({ kind: BAN_KIND, key, body: toBanBody(ban) }));
      logger.warn('Bans: clients that connected too often are banned', { count: some.length, last: some.at(-1)?.[1].value ?? '', reason });
      try {
        await store.commit(changes, { action: 'add', actor: FLAPPING_AUTHOR, source: 'node', node, requestId: '', reason });
        await follower.follow();
      } catch (error) {
        logger.warn('Bans: they apply on this node alone, because they could not be stored', { reason: messageOf(error) });
      }
    }
  }
}
