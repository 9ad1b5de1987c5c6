/** Decides what a change asks of the listeners on this node; pure but for the state of the runner. */

import type { Endpoint, KeyChange } from '../../endpoint/endpoint.ts';
import type { EndpointState } from '../contract.ts';
import { workerGroupSize } from './group-size.ts';

/** `warm`: listeners to open before the commit. */
export type Step =
  | { kind: 'nothing'; warm: 0 }
  | { kind: 'stop'; warm: 0 }
  | { kind: 'update'; warm: 0 }
  | { kind: 'replace'; warm: number }
  | { kind: 'resize'; warm: number; size: number };

const GROUP_SIZE = 'serverOptions.workerGroupSize';

/**
 * An endpoint that should listen and does not is always opened anew: a change is answered with 200 only when it listens.
 * @param before null for a new endpoint
 */
export function decideStep(
  before: Endpoint | null,
  after: Endpoint,
  changes: KeyChange[],
  runner: { state: EndpointState; workerCount: number },
): Step {
  if (!after.enabled) return { kind: before?.enabled === true ? 'stop' : 'nothing', warm: 0 };
  const size = workerGroupSize(after);
  if (before?.enabled !== true) return { kind: 'replace', warm: size };
  if (changes.length === 0) return { kind: 'nothing', warm: 0 };
  if (runner.state !== 'running') return { kind: 'replace', warm: size };
  const rebinds = changes.filter((change) => change.effect === 'rebind');
  if (rebinds.some((change) => change.path !== GROUP_SIZE)) return { kind: 'replace', warm: size };
  if (rebinds.length > 0) return { kind: 'resize', warm: Math.max(0, size - runner.workerCount), size };
  return { kind: 'update', warm: 0 };
}
