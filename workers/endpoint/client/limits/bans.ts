/** The bans of a client: whether one applies to it, and what the log says. */

import type { BanId } from '../../../../src/endpoint/bans/ban.ts';
import type { BanIndex } from '../../../../src/endpoint/bans/ban-index.ts';
import type { EndpointContext, WorkerContext } from '../context/context.ts';

/** The part of a client that bans are about. */
interface NamedClient {
  readonly context: WorkerContext;
  readonly endpoint: EndpointContext;
  readonly identity: { readonly username: string | null };
  readonly address: string;
}

/** The ban that applies to a client; null: none. @param bans where to look; absent: all bans of the worker */
export function banOf(
  { context, endpoint, identity, address }: NamedClient,
  clientId: string,
  bans: BanIndex = context.bans,
): BanId | null {
  if (bans.isEmpty) return null;
  return bans.find({ namespace: endpoint.namespace.name, clientId, username: identity.username, address });
}

/** For the log, which names the cause. It does not name the user: a token may stand in its place. */
export function noteBan({ endpoint, address }: NamedClient, clientId: string, { by, value }: BanId): void {
  endpoint.banned.note(`ban of ${by} ${value}`, `client ${clientId} from ${address}`);
}
