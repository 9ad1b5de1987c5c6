/** The relay counts dropped messages, and metrics show the counts. */

import { expect, test } from 'vitest';
import { crossingText } from '../../../src/metrics/prometheus.ts';
import type { Worker } from '../../../workers/relay/contract.ts';
import { Gateway } from '../../../workers/relay/gateway.ts';
import { LANE } from '../../../workers/relay/packets.ts';
import { EMPTY, Message, toWireMessage } from '../../../workers/shared/messages/message.ts';
import { Namespace } from '../../../workers/shared/routing/namespace.ts';
import { stubTransport } from './stub-transport.ts';

const QUIET = { debug() {}, info() {}, warn() {}, error() {} };
type User = Parameters<ConstructorParameters<typeof Gateway>[0]['links']['add']>[1];

test('a frame of an unknown process, a packet that cannot be read, and a message whose group has lost all members', async () => {
  const { transport, hear } = stubTransport();
  transport.know([{ name: 'b', incarnation: 7 }]);
  transport.onFrame(() => expect.unreachable());
  hear('b', Buffer.from('no frame'));
  // No frame either, of a node that main does not know.
  hear('nobody', Buffer.alloc(36));

  const users = new Map<string, User>();
  const namespace = new Namespace('default');
  const gateway = new Gateway({
    self: 5,
    incarnation: 1,
    hold: { bytes: 1, messages: 1 },
    prefersOwnMembers: false,
    local: { namespace: () => namespace, announce: async () => {}, fence: () => null, links: new Map(), isOverloaded: false },
    links: { add: (node, user) => users.set(node, user), remove() {}, restart() {}, write: () => 1, take() {} },
    now: () => 0,
    soon() {},
    onLinked() {},
    logger: QUIET,
  });
  gateway.setNodes([{ name: 'b', isUp: true }]);
  gateway.sessionKnown();
  users.get('b')!.deliver(LANE.controls, Buffer.from('no control'), 1);
  const worker: Worker = { id: 2, role: 'endpoint', isKnown: true, isOverloaded: false, publish() {}, publishRun() {}, control() {} };
  const message = toWireMessage(new Message('t', EMPTY, 1, false, EMPTY, 0, ''));
  expect(gateway.onControl(worker, { t: 'bounce', namespace: 'default', group: 't\0g', message })).toBe(true);

  const [incoming] = [...gateway.nodes()].map((member) => member.incoming);
  const none = { isAwaited: true, rttMs: 0, interest: 0, delivered: 0, waiting: 0, waitingBytes: 0, lost: {} };
  const frames = { framesSent: 0, framesResent: 0, framesReceived: 0, bytesSent: 0, bytesReceived: 0 };
  const text = await crossingText({
    isIsolated: false,
    ownInterest: 0,
    received: 0,
    receivedDropped: 0,
    unacknowledged: 0,
    orphaned: gateway.shared.bounces.lost,
    unsettled: gateway.shared.unsettled.size,
    unkept: 0,
    rerouted: 0,
    strangers: transport.strangers,
    nodes: [{ name: 'b', ...none, ...frames, invalid: incoming!.invalid }],
  });
  for (const line of ['strange_frames_total 2', 'messages_orphaned_total 1', 'invalid_packets_total{peer="b"} 1'])
    expect(text).toContain(`fluxmq_cluster_${line}\n`);
});
