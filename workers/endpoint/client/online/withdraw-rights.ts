/** Withdraws subscriptions and messages of a client that the rules of its endpoint no longer allow. */

import { Pace } from '../../../../src/kernel/turns/pace.ts';
import { atPace } from '../../../../src/kernel/turns/steps.ts';
import { SLOT } from '../../../../src/metrics/counters.ts';
import { type Withdrawn, withdrawing, withdrawnFields } from '../../../shared/rights/withdrawal.ts';
import type { Session } from '../../../shared/session/session.ts';
import type { EndpointContext, WorkerContext } from '../context/context.ts';
import type { Decisions } from '../context/decisions.ts';

/** The part of a client that a withdrawal concerns. */
export interface RightsHolder {
  readonly context: WorkerContext;
  readonly endpoint: EndpointContext;
  readonly clientId: string;
  readonly username: string | null;
  readonly decisions: Decisions;
  readonly session: Session | null;
}

/**
 * Withdraws subscriptions and messages; counts and logs them. A few filters are withdrawn at once. Many filters take several slices of the
 * pace. When the session leaves this client between two slices, the rest stays, because the next client of the session does the same.
 * @param session the client's own, or the session that the client is about to get
 */
export async function withdrawRights(client: RightsHolder, session: Session, pace = new Pace()): Promise<void> {
  const { context, endpoint, clientId, username } = client;
  const { outlet } = session;
  const withdrawn: Withdrawn = { filters: [], messages: 0 };
  const steps = withdrawing(session, client.decisions, context.table.subscriptions, context.router, withdrawn, (count) => {
    endpoint.count('subscriptionsWithdrawn', count);
    // The subscriptions of a session that is about to be attached are counted later.
    if (client.session === session) endpoint.slots[SLOT.subscriptionsCurrent]! -= count;
  });
  await atPace(steps, pace, () => !session.isEnded && session.gate === null && session.outlet === outlet);
  const { filters, messages } = withdrawn;
  if (filters.length === 0 && messages === 0) return;
  endpoint.count('droppedAcl', messages);
  const { port } = endpoint.config.endpoint;
  context.logger.warn(`Endpoint ${port}: access rules withdrew subscriptions`, withdrawnFields(clientId, username, withdrawn));
}
