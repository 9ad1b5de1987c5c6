/** Opens new listeners of an endpoint beside its present ones: all of them or none. */

import type { Deadline } from '../../kernel/deadline.ts';
import type { EndpointRuntimeConfig } from '../../thread/commands.ts';
import { probePort } from '../probe/port-probe.ts';
import type { BoundSockets } from './bound-sockets.ts';
import { AT_ONCE } from './drain/drain-order.ts';
import { type ListenerContext, RemoteListener } from './remote-listener.ts';

/** The parts of an endpoint that its new listeners share. */
export interface OpeningContext {
  readonly sockets: BoundSockets;
  readonly listeners: ListenerContext;
}

/**
 * Opens `count` listeners that accept nobody yet.
 * @param kept present listeners that continue beside the new ones
 * @param leaving ports that other endpoints of this node are about to release
 * @throws FluxError `port-in-use`, `unprocessable`, `timeout`; none of the listeners stays open then
 */
export async function openListeners(
  { sockets, listeners: context }: OpeningContext,
  config: EndpointRuntimeConfig,
  count: number,
  kept: readonly RemoteListener[],
  deadline: Deadline,
  leaving?: ReadonlySet<number>,
): Promise<RemoteListener[]> {
  const { host, port } = config.endpoint;
  // A bind may share the port only with sockets of this endpoint or of this step. SO_REUSEPORT alone would also share it with strangers.
  const isUntaken = !sockets.has(port) && leaving?.has(port) !== true;
  if (isUntaken) await probePort(host, port);
  const { shares, release } = await sockets.reserve(config.endpoint, count, kept);
  const opened = await Promise.allSettled(shares.map((share) => RemoteListener.open(config, share, context, deadline)));
  release();
  const listeners = opened.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  const failure = opened.find((each) => each.status === 'rejected');
  for (const listener of listeners) listener.isFirst = isUntaken;
  if (failure === undefined) return listeners;
  await closeUnused(sockets, listeners, deadline);
  throw failure.reason;
}

/** Closes listeners that have never accepted, and their sockets. */
export async function closeUnused(sockets: BoundSockets, listeners: readonly RemoteListener[], deadline: Deadline): Promise<void> {
  const closed = listeners.map((listener) => listener.close(AT_ONCE));
  sockets.closeUnused();
  await deadline.reaches(Promise.all(closed));
}
