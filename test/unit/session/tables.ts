/** A table of sessions without a worker. It has no bounds and no disk, unless a test passes its own host. */

import type { Mesh } from '../../../workers/shared/mesh/mesh.ts';
import { Router } from '../../../workers/shared/routing/router.ts';
import type { SessionHost } from '../../../workers/shared/session/session.ts';
import { SessionTable } from '../../../workers/shared/table/session-table.ts';

const HOST: SessionHost = {
  onDrop() {},
  refuseBytes: () => null,
  flightBytes: () => Number.POSITIVE_INFINITY,
  onMoved() {},
  onDurable() {},
  whenDurable: async () => {},
  mayPublishWill: () => true,
};

/** A router that tells nobody of overloaded peers and retained messages. */
export function quietRouter(peer: number): Router {
  return new Router(peer, { onPeerOverload() {}, onRetainedPublish() {} });
}

/** @param host methods that replace those of the empty host */
export function makeTable(mesh: Mesh, host: Partial<SessionHost> = {}, router = quietRouter(mesh.self)): SessionTable {
  return new SessionTable(mesh, router, { ...HOST, ...host });
}
