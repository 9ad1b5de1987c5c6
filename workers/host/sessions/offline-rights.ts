/** Withdraws from offline sessions the subscriptions and messages that the rules of their endpoint no longer allow. */

import type { Logger } from '../../../src/kernel/logger.ts';
import { Pace } from '../../../src/kernel/turns/pace.ts';
import { atPace } from '../../../src/kernel/turns/steps.ts';
import { type Withdrawn, withdrawing, withdrawnFields } from '../../shared/rights/withdrawal.ts';
import type { Router } from '../../shared/routing/router.ts';
import type { Session } from '../../shared/session/session.ts';
import type { SessionTable } from '../../shared/table/session-table.ts';
import type { AwayRules } from './away-rules.ts';
import type { AwayCounts } from './counts.ts';

export class OfflineRights {
  readonly #table: SessionTable;
  readonly #router: Router;
  readonly #rules: AwayRules;
  readonly #counts: AwayCounts;
  readonly #logger: () => Logger;

  constructor(table: SessionTable, router: Router, rules: AwayRules, counts: AwayCounts, logger: () => Logger) {
    this.#table = table;
    this.#router = router;
    this.#rules = rules;
    this.#counts = counts;
    this.#logger = logger;
  }

  /** Withdraws subscriptions and messages of an offline session that its endpoint's rules no longer allow; many take several slices. */
  async obey(session: Session, pace = new Pace()): Promise<void> {
    const { endpoint, clientId, holder } = session;
    const own = this.#rules.of(session);
    if (own === null) return;
    const withdrawn: Withdrawn = { filters: [], messages: 0 };
    const onRemoved = (count: number) => this.#counts.withdrawn(endpoint, count);
    const steps = withdrawing(session, own, this.#table.subscriptions, this.#router, withdrawn, onRemoved);
    await atPace(steps, pace, () => isSettledHere(session));
    if (withdrawn.filters.length + withdrawn.messages === 0) return;
    this.#counts.dropped(endpoint, 'acl_denied', withdrawn.messages);
    const fields = { endpoint, ...withdrawnFields(clientId, holder?.username ?? null, withdrawn) };
    this.#logger().warn('Access rules withdrew subscriptions of an offline session', fields);
  }

  /** The rules of an endpoint have changed: all its offline sessions obey them. */
  async obeyNew(endpoint: string): Promise<void> {
    const pace = new Pace();
    for (const session of [...this.#table.values()]) {
      if (session.endpoint !== endpoint) continue;
      if (pace.isOver) await pace.next();
      if (isSettledHere(session)) await this.obey(session, pace);
    }
  }
}

/** True when the session is neither ended nor moving to or from here. */
function isSettledHere(session: Session): boolean {
  return session.outlet === null && session.gate === null && !session.isEnded;
}
