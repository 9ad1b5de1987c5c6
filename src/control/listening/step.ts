/** Decides how the listeners of an endpoint on this node have to change; pure except for the state of the supervisor. */

import { availableParallelism } from 'node:os';
import { diffEndpoints } from '../../endpoint/effects.ts';
import type { Endpoint } from '../../endpoint/endpoint.ts';
import type { EndpointRuntimeConfig } from '../../thread/commands.ts';
import type { EndpointState } from '../contract/answers.ts';

/** `warm`: listeners to open before anything else changes. `isRebind`: the present sockets serve new connections differently. */
export type ListenerStep =
  | { kind: 'nothing'; warm: 0 }
  | { kind: 'stop'; warm: 0 }
  | { kind: 'update'; warm: 0; isRebind: boolean }
  | { kind: 'replace'; warm: number }
  | { kind: 'resize'; warm: number; size: number; isRebind: boolean };

/** The part of a supervisor that the decision needs. */
export interface Running {
  state: EndpointState;
  workerCount: number;
  wanted: EndpointRuntimeConfig | null;
}

const GROUP_SIZE = 'serverOptions.workerGroupSize';
/** Rebind keys that an open listening socket takes on. The socket stays, so no connection is refused. */
const ON_THE_SOCKET: readonly string[] = ['namespace', 'useWebsocket', 'sslConfig.enabled', 'serverOptions.soBacklog'];

/**
 * An endpoint that should listen and does not is always opened again, because a change answers 200 only when it listens.
 * @param after null when the endpoint is removed
 */
export function decideStep(after: Endpoint | null, { state, workerCount, wanted }: Running): ListenerStep {
  if (after === null || !after.enabled) return { kind: wanted === null ? 'nothing' : 'stop', warm: 0 };
  const size = workerGroupSize(after);
  if (wanted === null || state !== 'running') return { kind: 'replace', warm: size };
  const all = diffEndpoints(wanted.endpoint, after).filter(({ effect }) => effect === 'rebind');
  const rebinds = all.filter(({ path }) => !ON_THE_SOCKET.includes(path));
  const isRebind = all.length > rebinds.length;
  if (rebinds.some((change) => change.path !== GROUP_SIZE)) return { kind: 'replace', warm: size };
  if (rebinds.length > 0) return { kind: 'resize', warm: Math.max(0, size - workerCount), size, isRebind };
  return { kind: 'update', warm: 0, isRebind };
}

/** Number of threads that an endpoint accepts in, 1..64; `auto` leaves one CPU for the rest and is at least 1. */
export function workerGroupSize(endpoint: Endpoint): number {
  const size = endpoint.serverOptions.workerGroupSize;
  return size === 'auto' ? Math.min(64, Math.max(1, availableParallelism() - 1)) : size;
}
