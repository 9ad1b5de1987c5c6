/** Meshes without workers: only their interest is tested. */

import { MessageChannel } from 'node:worker_threads';
import { Mesh, type MeshHooks } from '../../../workers/shared/mesh/mesh.ts';
import { Namespace } from '../../../workers/shared/routing/namespace.ts';

const HOOKS: MeshHooks = {
  onPublish() {},
  onRun() {},
  onControl() {},
  onPeerAdded() {},
  onPeerInformed() {},
  movesUnderWay: () => [],
  onPeerKnown() {},
  onPeerRemoved() {},
  onMoveAnnounced() {},
  onMoveAcknowledged() {},
  onRelieved() {},
};

export function makeMesh(peer: number): Mesh {
  const mesh = new Mesh(peer, (name) => new Namespace(name));
  mesh.hooks = HOOKS;
  return mesh;
}

/** Makes two meshes peers of each other. A mesh without hooks gets hooks that do nothing. */
export async function joinMeshes(one: Mesh, other: Mesh): Promise<void> {
  for (const mesh of [one, other]) mesh.hooks ??= HOOKS;
  const { port1, port2 } = new MessageChannel();
  await Promise.all([one.addPeer(other.self, 'endpoint', port1), other.addPeer(one.self, 'endpoint', port2)]);
}
