/** Thread entry: carries messages between this node and all others. */

import { randomBytes } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { openNatsWire } from '../src/bus/nats/nats-wire.ts';
import type { RelayReport } from '../src/bus/relay.ts';
import { steadyNow } from '../src/kernel/clock.ts';
import { pause } from '../src/kernel/deadline.ts';
import { FluxError } from '../src/kernel/errors.ts';
import { Links } from '../src/link/links.ts';
import { THREAD_PROTOCOL_VERSION, type WorkerBoot } from '../src/thread/commands.ts';
import type { HostLink } from '../src/thread/host-link.ts';
import { Gateway } from './relay/gateway.ts';
import { Absence } from './relay/presence/absence.ts';
import { KnownTransport } from './relay/presence/known-transport.ts';
import { Mesh } from './shared/mesh/mesh.ts';
import { flushPeers } from './shared/mesh/peer-link.ts';
import { Namespace } from './shared/routing/namespace.ts';
import { Router } from './shared/routing/router.ts';
import { startWorker } from './worker-frame.ts';

const boot = workerData as WorkerBoot;
/** Without a connection to NATS for so long, this node works alone. */
const ISOLATED_MS = 2_000;
/** A relay that is not linked with all nodes after this time carries messages to those that it is linked with. */
const LINKED_MS = 4_000;

/** Interval of looks for silent nodes, ms. */
const LOOK_MS = 50;
/** Longest wait at the end until other nodes have taken everything (ms). */
const LEAVE_MS = 1_000;

const relay = boot.relay ?? noRelay();
const mesh: Mesh = new Mesh(boot.peer, (name) => new Namespace(name), {
  batches: { floorOf: (source) => gateway.floorOf(source), isWhole: false },
  pieces: () => gateway.interest.pieces(),
});
const router = new Router(boot.peer, { onPeerOverload() {}, onRetainedPublish() {} });

const frame = startWorker(boot, parentPort, mesh, router, {
  'relay.nodes': ({ nodes }) => {
    transport.know(nodes);
    gateway.setNodes(nodes);
    return null;
  },
  'relay.report': () => report(),
  shutdown: async ({ timeoutMs }) => {
    clearTimeout(isolating);
    clearTimeout(linking);
    clearInterval(looking);
    const deadline = steadyNow() + Math.min(timeoutMs / 2, LEAVE_MS);
    while (steadyNow() < deadline && gateway.hasOnTheWay) await pause(5);
    mesh.close();
    await links.close();
    return null;
  },
});
const link: HostLink = frame.link;

let isConnected = false;
let isolating: NodeJS.Timeout | undefined;
const transport = new KnownTransport(
  openNatsWire(relay.bus, `fluxmq ${boot.node} messages`, relay.cluster, boot.node, link.logger),
  onConnected,
);
const links = new Links(transport, {
  incarnation: relay.incarnation,
  now: steadyNow,
  random32: () => randomBytes(4).readUInt32LE(),
  takes: 'later',
});
const gateway: Gateway = new Gateway({
  self: boot.peer,
  incarnation: relay.incarnation,
  hold: relay.hold,
  prefersOwnMembers: boot.prefersOwnMembers,
  local: mesh,
  links,
  now: steadyNow,
  soon(run) {
    setImmediate(() => {
      // The worker reports only packets as taken whose messages have been posted.
      flushPeers();
      run();
    });
  },
  onLinked() {
    clearTimeout(linking);
    for (const worker of mesh.links.values()) worker.control({ t: 'linked' });
  },
  logger: link.logger,
});
const absence = new Absence({
  now: steadyNow,
  silences: () => links.silences(),
  presence: (node) => transport.presence(node),
  settledMs: () => transport.settledMs(),
  onEnded(node) {
    gateway.ended(node);
    links.restart(node, 'its process has ended: nobody listens to its subjects any more');
  },
});
const looking = setInterval(() => {
  absence.tick();
  gateway.tick();
}, LOOK_MS);
const linking = setTimeout(() => {
  link.logger.warn('Cluster: not every node could be linked in time; messages cross to the linked nodes');
  gateway.link();
}, LINKED_MS);

function onConnected(is: boolean): void {
  isConnected = is;
  clearTimeout(isolating);
  if (is) setImmediate(() => gateway.setIsolated(false));
  else
    isolating = setTimeout(() => {
      link.logger.error('Cluster: no connection to NATS: messages stay on this node until it is back');
      gateway.setIsolated(true);
    }, ISOLATED_MS);
}

mesh.hooks = {
  onPublish: (peer, namespace, record) => gateway.publish(peer, namespace, record),
  onRun: (_peer, namespace, run) => gateway.publishRun(namespace, run),
  onControl(peer, control) {
    // The relay decides about no client identifier.
    if (control.t === 'revoke') peer.control({ t: 'revoked', group: control.group, sessions: [] });
    else if (!gateway.onControl(peer, control)) link.logger.warn(`A peer sent ${control.t}, which the relay does not handle`);
  },
  onPeerAdded() {},
  onPeerInformed(peer) {
    if (peer.role === 'session') {
      peer.control({ t: 'register', sessions: [] });
      gateway.sessionInformed(peer);
    }
    if (gateway.isLinked) peer.control({ t: 'linked' });
  },
  movesUnderWay: () => [],
  onPeerKnown(peer) {
    if (peer.role === 'session') gateway.sessionKnown();
  },
  onPeerRemoved: (peer) => gateway.workerRemoved(peer),
  onMoveAnnounced() {},
  onMoveAcknowledged() {},
  onRelieved: () => gateway.relieved(),
  whenSpread: (news) => gateway.localNews(news),
  onForgotten: (namespace, filter) => gateway.localChange(namespace, [filter]),
};

/** The report that main shows in status, health and metrics. */
function report(): RelayReport {
  const nodes = [...gateway.nodes()].map(({ node, incoming, isExpected, isCompared }) => {
    const link = links.report(node.name);
    return {
      name: node.name,
      state: link?.state ?? 'greeting',
      rttMs: link?.counts.rttMs ?? 0,
      isUp: isExpected,
      isAwaited: node.isAwaited,
      isCompared,
      interest: gateway.interest.sizeOf(node),
      delivered: node.delivered,
      waiting: node.waiting,
      waitingBytes: node.waitingBytes,
      lost: { ...node.lost },
      framesSent: link?.counts.sent ?? 0,
      framesResent: link?.counts.resent ?? 0,
      framesReceived: link?.counts.received ?? 0,
      bytesSent: link?.counts.bytesSent ?? 0,
      bytesReceived: link?.counts.bytesReceived ?? 0,
      invalid: incoming.invalid,
    };
  });
  return {
    isConnected,
    isIsolated: gateway.isIsolated,
    isLinked: gateway.isLinked,
    ownInterest: gateway.ownInterest,
    received: gateway.arrivals.delivered,
    receivedDropped: gateway.arrivals.dropped,
    unacknowledged: gateway.ledger.open,
    orphaned: gateway.shared.bounces.lost,
    unsettled: gateway.shared.unsettled.size,
    unkept: gateway.shared.unsettled.unkept,
    rerouted: gateway.shared.bounces.rerouted,
    strangers: transport.strangers,
    nodes,
  };
}

/** @throws FluxError `internal` */
function noRelay(): never {
  throw new FluxError('internal', 'a relay needs the cluster that it joins');
}

link.emit({ event: 'ready', protocolVersion: THREAD_PROTOCOL_VERSION });
