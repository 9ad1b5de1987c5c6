/** Decides what an endpoint asks of its listeners on this node; pure but for the state of the runner. */

import { diffEndpoints } from '../../endpoint/effects.ts';
import type { Endpoint } from '../../endpoint/endpoint.ts';
import type { EndpointRuntimeConfig } from '../../thread/messages.ts';
import type { EndpointState } from '../contract.ts';
import { workerGroupSize } from './group-size.ts';

/** `warm`: listeners to open before anything else changes. */
export type Step =
  | { kind: 'nothing'; warm: 0 }
  | { kind: 'stop'; warm: 0 }
  | { kind: 'update'; warm: 0 }
  | { kind: 'replace'; warm: number }
  | { kind: 'resize'; warm: number; size: number };

/** What of a runner the decision needs. */
export interface Running {
  state: EndpointState;
  workerCount: number;
  wanted: EndpointRuntimeConfig | null;
}

const GROUP_SIZE = 'serverOptions.workerGroupSize';
/** Keys of the connections to come that a listening socket takes on as it is: it stays, and so nobody can be refused. */
const ON_THE_SOCKET: readonly string[] = ['namespace', 'serverOptions.soBacklog'];
const TLS_SWITCH = 'sslConfig.enabled';

/**
 * An endpoint that should listen and does not is always opened anew: a change is answered with 200 only when it listens.
 * @param after null when the endpoint is removed
 */
export function decideStep(after: Endpoint | null, { state, workerCount, wanted }: Running): Step {
  if (after === null || !after.enabled) return { kind: wanted === null ? 'nothing' : 'stop', warm: 0 };
  const size = workerGroupSize(after);
  if (wanted === null || state !== 'running') return { kind: 'replace', warm: size };
  // Over TCP the same socket serves TLS and plain connections.
  const staysOpen = (path: string) => ON_THE_SOCKET.includes(path) || (path === TLS_SWITCH && !wanted.endpoint.useWebsocket);
  const rebinds = diffEndpoints(wanted.endpoint, after).filter(({ path, effect }) => effect === 'rebind' && !staysOpen(path));
  if (rebinds.some((change) => change.path !== GROUP_SIZE)) return { kind: 'replace', warm: size };
  if (rebinds.length > 0) return { kind: 'resize', warm: Math.max(0, size - workerCount), size };
  return { kind: 'update', warm: 0 };
}
