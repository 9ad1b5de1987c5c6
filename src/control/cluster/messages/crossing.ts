/** The traffic of messages between nodes, for status, health and metrics. */

import type { RelayReport } from '../../../bus/relay.ts';
import type { ClusterStatus } from '../../contract/answers.ts';

/** The report of the relay of this node; null while none runs. Absent: messages do not cross. */
export type RelayView = () => RelayReport | null;

const NOBODY = { isolated: false, interest: 0, received: 0, unacknowledged: 0, nodes: [] };

/**
 * Null: messages do not cross.
 * @param up nodes that carry messages and are up now: the report is up to some seconds old
 */
export function crossingOf(view: RelayView | null, up: readonly string[]): ClusterStatus['messages'] {
  if (view === null) return null;
  const report = view();
  if (report === null) return { ok: false, reason: 'the relay is being started or replaced', ...NOBODY };
  const reason = problemOf(report, up);
  return {
    ok: reason === null,
    reason,
    isolated: report.isIsolated,
    interest: report.ownInterest,
    received: report.received,
    unacknowledged: report.unacknowledged,
    nodes: report.nodes.map(({ name, isAwaited, state, rttMs, interest, delivered, waiting, waitingBytes, lost }) => ({
      name,
      linked: isAwaited,
      state,
      rttMs,
      interest,
      delivered,
      waiting,
      waitingBytes,
      lost,
    })),
  };
}

function problemOf({ isConnected, isIsolated, nodes }: RelayReport, up: readonly string[]): string | null {
  if (isIsolated) return 'no connection to NATS: messages for other nodes are kept, as far as cluster.hold allows';
  if (!isConnected) return 'no connection to NATS';
  const missing = up.filter((name) => nodes.find((node) => node.name === name)?.isAwaited !== true);
  if (missing.length > 0) return `messages do not cross to ${missing.join(', ')}`;
  const behind = nodes.filter(({ isAwaited, isCompared }) => isAwaited && !isCompared).map(({ name }) => name);
  return behind.length === 0 ? null : `retained messages are being compared with ${behind.join(', ')}`;
}
