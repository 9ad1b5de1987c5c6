/** Takes from a client what the rules of its endpoint no longer allow. */

import { SLOT } from '../../../src/metrics/counters.ts';
import { withdraw, withdrawnFields } from '../../session/rights/withdrawal.ts';
import type { Session } from '../../session/session.ts';
import type { Client } from '../client.ts';

/** Withdraws subscriptions and messages that the endpoint's rules no longer allow; counts and logs them. @param session its own, or the one that it is about to get */
export function withdrawRights(client: Client, session: Session): void {
  const { context, endpoint, clientId, username } = client;
  const withdrawn = withdraw(session, client.decisions, context.table.subscriptions, context.router);
  if (withdrawn === null) return;
  const { filters, messages } = withdrawn;
  endpoint.count('subscriptionsWithdrawn', filters.length);
  endpoint.count('droppedAcl', messages);
  // The subscriptions of a session that is about to be attached are counted later.
  if (client.session === session) endpoint.slots[SLOT.subscriptionsCurrent]! -= filters.length;
  const { port } = endpoint.config.endpoint;
  context.logger.warn(`Endpoint ${port}: access rules withdrew subscriptions`, withdrawnFields(clientId, username, withdrawn));
}
