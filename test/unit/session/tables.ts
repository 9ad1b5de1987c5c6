/** A table of sessions without a worker: it bounds nothing and stores nothing, unless a test says otherwise. */

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

/** @param host what the table's worker does otherwise */
export function makeTable(mesh: Mesh, host: Partial<SessionHost> = {}, router = quietRouter(mesh.self)): SessionTable {
  return new SessionTable(mesh, router, { ...HOST, ...host });
}
