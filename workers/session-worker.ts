/** Thread entry: decides about client identifiers, hosts offline sessions, keeps retained messages, and writes the message store. */

import { parentPort, workerData } from 'node:worker_threads';
import { steadyNow } from '../src/kernel/clock.ts';
import { FluxError } from '../src/kernel/errors.ts';
import { checkTopicName, fromLatin1, isSystemTopic, toLatin1 } from '../src/mqtt/topic.ts';
import { THREAD_PROTOCOL_VERSION, type WorkerBoot } from '../src/thread/commands.ts';
import { beat } from '../src/thread/heartbeat.ts';
import { IdentifierTable } from '../src/thread/identifier-table.ts';
import { MemoryBudget, QUEUE_PART } from '../src/thread/memory-budget.ts';
import { countConflict, readStart, START_MAX, serialBase, writeStart } from '../src/thread/message-numbers.ts';
import { ClusterClaims } from './host/cluster-claims.ts';
import { MessageStore } from './host/disk/message-store.ts';
import { Registry } from './host/identifiers/registry.ts';
import { OfflineSessions } from './host/offline-sessions.ts';
import { RetainedAnswers } from './host/retained/answers.ts';
import { RetainedExchange } from './host/retained/exchange.ts';
import { RetainedKeeper } from './host/retained/keeper.ts';
import { RefusalLog } from './host/retained/refusal-log.ts';
import { nodeLimits, RetainedStore } from './host/retained/store.ts';
import { AwayRules } from './host/sessions/away-rules.ts';
import { AwayCounts } from './host/sessions/counts.ts';
import { DurableSessions } from './host/sessions/durable-sessions.ts';
import { OfflineRights } from './host/sessions/offline-rights.ts';
import { Mesh } from './shared/mesh/mesh.ts';
import { onBeforePost, type PeerLink } from './shared/mesh/peer-link.ts';
import { EMPTY, heldMessages, Message } from './shared/messages/message.ts';
import { StampClock } from './shared/messages/stamp.ts';
import { toWireHead } from './shared/move/wire-session.ts';
import { Crossing } from './shared/routing/crossing.ts';
import { Namespace } from './shared/routing/namespace.ts';
import { INTEREST } from './shared/routing/peer.ts';
import { Router } from './shared/routing/router.ts';
import { bytesOfSessions } from './shared/session/footprint.ts';
import { dueMessage } from './shared/session/pending-will.ts';
import { SessionTable } from './shared/table/session-table.ts';
import type { Control, DurableOp } from './shared/wire/controls.ts';
import { heapUse } from './usage.ts';
import { startWorker } from './worker-frame.ts';

const boot = workerData as WorkerBoot;
const SWEEP_MS = 250;
/** Interval of the search for expired retained messages. */
const RETAINED_SWEEP_MS = 30_000;

/** True when a session worker ran before this one: endpoint workers may already hold sessions. */
const isReplacement = readStart(boot.numbers) !== 0;
const store = new MessageStore({
  dataPath: boot.dataPath,
  memory: boot.storeState,
  isFirst: !isReplacement,
  logger: () => link.logger,
  onFailed: () => retainedStore.undo(),
  onWritten: () => durable?.written(),
  onReadable: (why) => frame.end(why),
});
const { disk } = store;
const retainedStore: RetainedStore = new RetainedStore(disk, nodeLimits(), boot.hasRelay);
if (!isReplacement) writeStart(boot.numbers, firstStart());
const refusals = new RefusalLog(() => link.logger);
const stamps = new StampClock(boot.numbers, boot.node);
/** by endpoint: bytes that may wait in one of its sessions */
const queuedBytes = new Map<string, number>();
const memory = new MemoryBudget(boot.memory, boot.memorySlot, heldMessages, heapUse);
const counts = new AwayCounts();
const rules = new AwayRules();

const mesh = new Mesh(boot.peer, (name) => new Namespace(name), {
  interestFlags: (namespace, filter) => (disk === null ? INTEREST.queued : DurableSessions.interest(namespace, filter)),
  hasRelay: boot.hasRelay,
});
const router = new Router(boot.peer, { onPeerOverload() {}, onRetainedPublish() {} });
router.numberFrom(serialBase(boot.numbers));
router.crossing = boot.hasRelay ? new Crossing() : null;
router.prefersOwnMembers = boot.prefersOwnMembers;
const exchange = boot.hasRelay
  ? new RetainedExchange(mesh, retainedStore, () => keeper, { hasLost: isReplacement && disk === null, logger: () => link.logger })
  : null;
const retainedAnswers = new RetainedAnswers(mesh, retainedStore, exchange?.ready ?? null);
const keeper = new RetainedKeeper({
  store: retainedStore,
  disk,
  state: store.state,
  clock: stamps,
  isReplicated: boot.hasRelay,
  refusals,
  schedule: () => durable?.schedule(),
  onRefused(namespace, message) {
    // The sender waits for `stored`; the refusal must reach it before.
    if (message.qos > 0) mesh.links.get(message.source)?.control({ t: 'refused', serial: message.serial });
    exchange?.sync.withdraw(namespace, message);
  },
  logger: () => link.logger,
});
router.retained = keeper;
router.stamps = stamps;

const table = new SessionTable(mesh, router, {
  onDrop: (session, reason, count) => counts.dropped(session.endpoint, reason, count),
  refuseBytes({ endpoint, queue }, bytes) {
    if (queue.length > 0 && queue.bytes + bytes > (queuedBytes.get(endpoint) ?? Number.POSITIVE_INFINITY)) return 'queue_bytes';
    return memory.hasRoom(bytes, QUEUE_PART) ? null : 'memory';
  },
  flightBytes: () => Number.POSITIVE_INFINITY, // no client is connected here
  onMoved: (bytes) => memory.release(bytes),
  onDurable: (session, op) => void keep(session.namespace.name, session.clientId, op),
  whenDurable(session, op) {
    keep(session.namespace.name, session.clientId, op);
    return durable?.committed() ?? Promise.resolve();
  },
  mayPublishWill(session, { message }) {
    clusterClaims?.wills?.settled(session);
    return mayPublish(session, message);
  },
});

const rights = new OfflineRights(table, router, rules, counts, () => link.logger);
const offline = new OfflineSessions({
  mesh,
  table,
  rules,
  registry: () => registry,
  durable: () => durable,
  onHosted: (session) => clusterClaims?.wills?.hosted(session),
  areWillsHeld: () => clusterClaims?.wills?.isHeld === true,
  isReplacement,
  logger: () => link.logger,
});
const clusterClaims = boot.hasRelay
  ? new ClusterClaims({
      node: boot.node,
      self: boot.peer,
      registry: () => registry,
      logger: () => link.logger,
      moves: { mesh, table, durable: () => durable },
      wills: {
        graceMs: boot.willGraceMs,
        mesh,
        table,
        publish(namespace, clientId, due, holder) {
          const message = dueMessage(due);
          if (mayPublish({ endpoint: due.endpoint, clientId, holder }, message)) table.publish(mesh.namespace(namespace), message);
        },
        onPublished: (session) => durable?.update(toWireHead(session)),
      },
    })
  : null;
const registry: Registry = new Registry(mesh, table, new IdentifierTable(boot.identifiers), {
  restore: (namespace, clientId) => offline.restore(namespace, clientId),
  onStuck: (namespace, clientId) => link.logger.error('A session did not move in time', { namespace, clientId }),
  onFetched(session) {
    durable?.update(toWireHead(session));
    void rights.obey(session);
    clusterClaims?.wills?.hosted(session);
    offline.publishWillIfDue(session);
  },
  ...(clusterClaims === null ? {} : { cluster: clusterClaims }),
});

/** Whether the rules let the will of this client be published; if not, that is counted and logged. */
function mayPublish(client: Parameters<AwayRules['of']>[0], { topic, qos, retain }: Message): boolean {
  if (rules.of(client)?.mayPublish(fromLatin1(topic), qos, retain) !== false) return true;
  const { clientId, endpoint } = client;
  counts.dropped(endpoint, 'acl_denied', 1);
  link.logger.warn('A will is not published: access rules deny it', { clientId, endpoint, topic: fromLatin1(topic) });
  return false;
}

const frame = startWorker(boot, parentPort, mesh, router, {
  'clients.list': () => [],
  'clients.describe': () => [],
  'clients.find': () => [],
  'clients.close': () => ({ closed: 0 }),
  'sessions.locate': ({ ids, namespace }) =>
    ids.flatMap((clientId) =>
      [...mesh.namespaces()]
        .flatMap(({ name }) => registry.find(name, clientId) ?? [])
        .filter((entry) => namespace === null || entry.namespace === namespace)
        .map((entry) => ({
          clientId,
          namespace: entry.namespace,
          connected: entry.owner !== null && entry.owner !== mesh.self && !entry.isGone,
          peer: entry.owner,
          endpoint: entry.endpoint,
        })),
    ),
  'sessions.count': () => counts.take(registry.persistent.all, table.values()),
  'retained.count': () => keeper.count(exchange?.sync ?? null),
  'claims.count': () => clusterClaims?.counts ?? null,
  'sessions.evacuate': ({ nodes, timeoutMs }) => clusterClaims?.evacuate(nodes, timeoutMs) ?? { moved: 0, left: 0 },
  publish: async ({ namespace, topic, payload, qos, retain }) => {
    if (!checkTopicName(topic))
      throw new FluxError('invalid', 'topic is not a valid topic name', { issues: [{ path: 'topic', message: 'not a valid topic name' }] });
    const message = new Message(toLatin1(topic), Buffer.from(payload), qos, retain, EMPTY, 0, '');
    // A client of the admin API learns of the refusal before the message has any effect.
    const refusal = retain ? retainedStore.refusal(namespace, message) : null;
    if (refusal !== null)
      throw new FluxError('unprocessable', `The message cannot be retained: namespace ${namespace} has no room (${refusal.measure})`);
    const space = mesh.namespace(namespace);
    const isShared = space.entry(message.topic).groups.some(({ hasDurable }) => hasDurable);
    const isStored = mustStore(space, message, isShared);
    if (isStored && store.state.isFailing) throw unstorable();
    if (disk !== null) disk.isRefusable = isStored;
    const { confirmation } = router.route(space, space.entry(message.topic), message);
    if (disk !== null) disk.isRefusable = false;
    if (isStored && (await durable?.outcome()) === false) throw unstorable();
    // Durable members of shared groups may have to store it too.
    const isConfirmed = confirmation === null || (await new Promise<boolean>((resolve) => confirmation.when(resolve)));
    if (!isConfirmed) throw unstorable();
    return null;
  },
  shutdown: () => {
    clearInterval(sweep);
    clearInterval(retainedSweep);
    exchange?.close();
    durable?.close();
    store.close();
    mesh.close();
    return null;
  },
});
const { link } = frame;
if (disk !== null) {
  disk.onConflict = (namespace, clientId, topic) => {
    countConflict(boot.numbers);
    link.logger.error('Two messages have the same number; the second is stored under a new number', { namespace, clientId, topic });
  };
}
const durable = disk === null ? null : new DurableSessions(mesh, disk, () => retainedStore.settled());
// No message may leave this thread before its write: peers take a grant, a published will or an answer about retained messages as durable.
if (durable !== null) onBeforePost(() => durable.flush());

mesh.hooks = {
  onPublish(peer, namespace, record) {
    const space = mesh.namespace(namespace);
    const isRefused = record.store && store.state.isFailing && mustStore(space, record.message, record.groups !== null);
    if (isRefused) store.state.countRefused();
    else {
      if (disk !== null) disk.isRefusable = record.store;
      const { orphans } = router.receive(space, record, peer.id);
      if (disk !== null) disk.isRefusable = false;
      if (orphans !== null) frame.bounce(peer, namespace, record.message, orphans);
    }
    if (!record.store) return;
    onStorable(peer, record.message.serial, isRefused);
  },
  onRun() {},
  onControl,
  onPeerAdded(peer) {
    table.mover.onPeerAdded(peer);
    registry.onPeerAdded(peer);
  },
  onPeerInformed() {},
  movesUnderWay: () => table.mover.movesUnderWay(),
  onPeerKnown() {},
  onPeerRemoved(peer) {
    retainedAnswers.onPeerRemoved(peer);
    exchange?.onPeerRemoved(peer);
    table.mover.onPeerRemoved(peer);
    router.peerRemoved(peer);
    clusterClaims?.wills?.workerDied(peer.id);
    registry.onPeerRemoved(peer);
    clusterClaims?.wills?.prune();
    rules.peerRemoved(peer.id);
  },
  onMoveAnnounced: (move, target) => table.mover.onAnnounced(move, target),
  onMoveAcknowledged: (move, peer) => table.mover.onAcknowledged(move, peer),
  onRelieved() {},
  onRelay(state) {
    frame.onRelay(state);
    clusterClaims?.onRelay(state);
    exchange?.onRelay(state);
  },
  onRepeat: (peer, _source, serial) => onStorable(peer, serial, false),
};

/** Reports a record once everything so far is on disk. */
function onStorable(peer: PeerLink, serial: number, isRefused: boolean): void {
  if (durable !== null) {
    durable.onRecord(peer, serial, isRefused);
    return;
  }
  if (isRefused) peer.control({ t: 'unstored', serial });
  peer.control({ t: 'stored', serial, count: 1 });
}

function onControl(peer: PeerLink, control: Control): void {
  clusterClaims?.wills?.see(control);
  if (registry.onControl(peer, control) || clusterClaims?.onControl(peer, control) || exchange?.onControl(peer, control)) return;
  switch (control.t) {
    case 'retained-get':
      retainedAnswers.begin(peer, control);
      return;
    case 'retained-next':
      retainedAnswers.next(peer, control);
      return;
    case 'retained-end':
      retainedAnswers.end(peer, control.request);
      return;
    case 'durable': {
      const announced = applyDurable(peer, control);
      const { request } = control;
      if (request === 0) return;
      const answer = () => peer.control({ t: 'durable-ok', request });
      if (durable === null) answer();
      else void Promise.all([announced, durable.committed()]).then(answer);
      return;
    }
    case 'queue-limit':
      table.setQueueLimit(control.endpoint, control.maxQueued);
      return;
    case 'endpoint-limits': {
      const { endpoint, port, messages, bytes } = control;
      queuedBytes.set(endpoint, control.queuedBytes);
      retainedStore.quota.setLimit(endpoint, { messages, bytes });
      refusals.name(endpoint, port);
      return;
    }
    case 'rules':
      if (control.rules === null) rules.closed(control.endpoint, peer.id);
      else if (rules.tell(control.endpoint, control.rules, peer.id)) void rights.obeyNew(control.endpoint);
      return;
    case 'commit': {
      const { request } = control;
      const answer = () => peer.control({ t: 'durable-ok', request });
      if (durable === null) answer();
      else void durable.committed().then(answer);
      return;
    }
    case 'kept':
      router.confirmations.confirmed(peer, control.serial);
      return;
    case 'taken':
      router.crossing?.taken(control.serials);
      return;
    case 'bounce':
      frame.onBounce(peer, control);
      return;
    default:
      link.logger.warn(`A peer sent ${control.t}, which the session worker does not handle`);
  }
}

/** @returns as DurableSessions.apply() */
function applyDurable(peer: PeerLink, { namespace, clientId, op }: Extract<Control, { t: 'durable' }>): Promise<void> | null {
  if (op.op === 'end' || op.op === 'will') {
    const owner = registry.find(namespace, clientId)?.owner ?? null;
    // A repeat from a worker that missed the confirmation: the name now belongs to another session.
    if (owner !== null && owner !== peer.id && owner !== mesh.self) return null;
    if (op.op === 'end') offline.endRestored(namespace, clientId);
  }
  return keep(namespace, clientId, op);
}

/** Changes a durable session and publishes the will that is due with the change, in one transaction. @returns as DurableSessions.apply() */
function keep(namespace: string, clientId: string, op: DurableOp): Promise<void> | null {
  const due = op.op === 'end' || op.op === 'will' ? op.due : null;
  const isOwed = due !== null && (durable === null || durable.owesWill(namespace, clientId, op));
  const announced = durable?.apply(namespace, clientId, op) ?? null;
  if (isOwed) table.publish(mesh.namespace(namespace), dueMessage(due));
  return announced;
}

/** True when the message belongs on disk. @param isShared it may go to an offline durable member of a shared group */
function mustStore(namespace: Namespace, message: Message, isShared = false): boolean {
  const { topic, qos, retain } = message;
  if (retain && !isSystemTopic(topic)) return true;
  return qos > 0 && durable !== null && (isShared || DurableSessions.isJournalled(namespace, topic));
}

function unstorable(): FluxError {
  return new FluxError('unavailable', `The message cannot be stored: ${store.state.cause}`);
}

/** The number of this start. When the file is unreadable, the last possible number: those of messages on disk are below it. */
function firstStart(): number {
  if (disk !== null) return disk.claimStart();
  return boot.dataPath === null ? 1 : START_MAX;
}

const sweep = setInterval(() => {
  memory.sweep(bytesOfSessions(table.values(), mesh.links.size));
  if (store.state.isFailing) router.confirmations.fail();
  if (disk?.keepTime()) durable?.schedule();
  offline.sweep();
  registry.sweep();
  clusterClaims?.sweep();
}, SWEEP_MS);
const retainedSweep = setInterval(() => {
  retainedAnswers.sweep();
  void retainedStore.sweep(steadyNow(), stamps.wall).then(() => durable?.schedule());
  rules.prune((endpoint) => registry.persistent.of(endpoint) > 0);
}, RETAINED_SWEEP_MS);

if (disk !== null && durable !== null) {
  // The heartbeat lets main wait for `ready` until everything is restored.
  keeper.restore(disk);
  offline.restoreAll(beat);
}
link.emit({ event: 'ready', protocolVersion: THREAD_PROTOCOL_VERSION });
