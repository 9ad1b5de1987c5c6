/** Whether messages cross to every node, by the relay's last report and by the nodes that are up now. */

import { expect, test } from 'vitest';
import type { RelayReport } from '../../../../src/bus/relay.ts';
import { crossingOf } from '../../../../src/control/cluster/messages/crossing.ts';

/** A report in which the node `b` was down, and `c` linked. */
function report(): RelayReport {
  const counts = { rttMs: 0, interest: 0, delivered: 0, waiting: 0, waitingBytes: 0, lost: {}, framesSent: 0, framesResent: 0 };
  const node = { ...counts, framesReceived: 0, bytesSent: 0, bytesReceived: 0, invalid: 0, isCompared: true };
  return {
    isConnected: true,
    isIsolated: false,
    isLinked: true,
    ownInterest: 0,
    received: 0,
    receivedDropped: 0,
    unacknowledged: 0,
    orphaned: 0,
    unsettled: 0,
    unkept: 0,
    rerouted: 0,
    strangers: 0,
    nodes: [
      { ...node, name: 'b', state: 'greeting', isUp: false, isAwaited: false },
      { ...node, name: 'c', state: 'up', isUp: true, isAwaited: true },
    ],
  };
}

test('a node that is up again, and not linked in the last report, is named; one that is down is not', () => {
  expect(crossingOf(report, ['c'])).toMatchObject({ ok: true, reason: null });
  expect(crossingOf(report, ['b', 'c'])).toMatchObject({ ok: false, reason: 'messages do not cross to b' });
  // It has come after the report.
  expect(crossingOf(report, ['c', 'd'])).toMatchObject({ ok: false, reason: 'messages do not cross to d' });
});
