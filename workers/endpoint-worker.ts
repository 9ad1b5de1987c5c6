/** Thread entry: carries the MQTT traffic of one or more endpoints. */

import { parentPort, workerData } from 'node:worker_threads';
import type { Endpoint } from '../src/endpoint/endpoint.ts';
import { fetchSockets } from '../src/internals/socket-passing.ts';
import { steadyNow } from '../src/kernel/clock.ts';
import { Deadline, pause } from '../src/kernel/deadline.ts';
import { FluxError } from '../src/kernel/errors.ts';
import { LoginGate } from '../src/kernel/logins/login-gate.ts';
import { LoginMemory } from '../src/kernel/logins/login-memory.ts';
import { Pace } from '../src/kernel/turns/pace.ts';
import { loopDelay } from '../src/metrics/loop-delay.ts';
import { REASON } from '../src/mqtt/reason-codes.ts';
import { fromLatin1 } from '../src/mqtt/topic.ts';
import { type SocketOffer, THREAD_PROTOCOL_VERSION, type WireClient, type WorkerBoot } from '../src/thread/commands.ts';
import type { HostLink } from '../src/thread/host-link.ts';
import { IdentifierTable } from '../src/thread/identifier-table.ts';
import { MemoryBudget, QUEUE_PART } from '../src/thread/memory-budget.ts';
import { serialBase } from '../src/thread/message-numbers.ts';
import { StoreState } from '../src/thread/store-state.ts';
import { Authenticator } from './endpoint/access/authenticator.ts';
import { Client } from './endpoint/client/client.ts';
import type { WorkerContext } from './endpoint/client/context/context.ts';
import { HeldPublishes } from './endpoint/client/context/held-publishes.ts';
import { FlappingGuard } from './endpoint/client/limits/flapping.ts';
import { flushDirty } from './endpoint/client/output/output.ts';
import { Sender } from './endpoint/client/output/sender.ts';
import type { ListeningSocket } from './endpoint/connection/connection.ts';
import { DurableBarrier } from './endpoint/durable/durable-barrier.ts';
import { Outbox } from './endpoint/durable/outbox.ts';
import { Directory } from './endpoint/identifiers/directory.ts';
import { RetainedQueries } from './endpoint/retained/queries.ts';
import { EndpointRuntime } from './endpoint/runtime/endpoint-runtime.ts';
import { createBanIndex, takeBans } from './endpoint/runtime/take-bans.ts';
import { afterGathered } from './endpoint/uws/gather.ts';
import { Mesh } from './shared/mesh/mesh.ts';
import type { PeerLink } from './shared/mesh/peer-link.ts';
import { heldMessages } from './shared/messages/message.ts';
import { StampClock } from './shared/messages/stamp.ts';
import { HolderRules } from './shared/rights/holder-rules.ts';
import { Crossing } from './shared/routing/crossing.ts';
import { Namespace } from './shared/routing/namespace.ts';
import { Router } from './shared/routing/router.ts';
import { bytesOfSession } from './shared/session/footprint.ts';
import { SessionTable } from './shared/table/session-table.ts';
import { heapUse } from './usage.ts';
import { startWorker } from './worker-frame.ts';

const boot = workerData as WorkerBoot;
const VERIFY_TIMEOUT_MS = 5_000;
/** An authenticator has at most 9 s, and the asking thread answers in time. */
const ASK_TIMEOUT_MS = 11_000;
/** Burst of password checks of one user from one address; then one check per CHECK_EVERY_MS. */
const CHECKS_AT_ONCE = 20;
const CHECK_EVERY_MS = 200;
const SWEEP_MS = 500;
/** A list of all clients delays their messages by no more than this. */
const LIST_SLICE_MS = 5;
/** Longest wait for peers at shutdown: a hanging peer must not delay the end of this worker. */
const PEERS_KNOW_MS = 3_000;

afterGathered(flushDirty);

const runtimes = new Map<string, EndpointRuntime>();
const bans = createBanIndex();
const memory = new MemoryBudget(boot.memory, boot.memorySlot, heldMessages, heapUse);
const mesh = new Mesh(boot.peer, (name) => new Namespace(name), { hasRelay: boot.hasRelay });
const retained = new RetainedQueries(mesh);
const router = new Router(boot.peer, {
  onPeerOverload: (count) => counted(null)?.count('droppedPeerOverload', count),
  onRetainedPublish: (namespace, message) => retained.onPublish(namespace, message),
});
const barrier = new DurableBarrier(mesh);
const table = new SessionTable(mesh, router, {
  onDrop(session, reason, count) {
    const counter = (
      {
        queue_full: 'droppedQueueFull',
        queue_bytes: 'droppedQueueBytes',
        memory: 'droppedMemory',
        slow_consumer: 'droppedSlowConsumer',
        expired: 'droppedExpired',
        packet_too_large: 'droppedTooLarge',
        acl_denied: 'droppedAcl',
      } as const
    )[reason];
    counted(session.endpoint)?.count(counter, count);
  },
  refuseBytes({ endpoint, queue }, bytes) {
    if (queue.length > 0 && queue.bytes + bytes > queuedBytes(endpoint)) return 'queue_bytes';
    return memory.hasRoom(bytes, QUEUE_PART) ? null : 'memory';
  },
  flightBytes: ({ endpoint }) => queuedBytes(endpoint),
  onMoved: (bytes) => memory.release(bytes),
  onDurable: (session, op) => barrier.tell(session, op),
  whenDurable: (session, op) => barrier.request(session, op),
  mayPublishWill(session, { message }) {
    const runtime = runtimes.get(session.endpoint);
    const { clientId, holder } = session;
    if (runtime === undefined || holder === null) return true;
    const topic = fromLatin1(message.topic);
    if (new HolderRules(runtime.rules, clientId, holder).mayPublish(topic, message.qos, message.retain)) return true;
    runtime.context.count('droppedAcl');
    link.logger.warn(`Endpoint ${runtime.endpoint.port}: a will is not published: access rules deny it`, { clientId, topic });
    return false;
  },
});
const directory = new Directory(mesh, table, new IdentifierTable(boot.identifiers), !boot.hasRelay);
const outbox = new Outbox(() => mesh.onRelieved());
router.outbox = outbox;
router.stamps = new StampClock(boot.numbers, boot.node);
router.committed = () => barrier.committed();
router.crossing = boot.hasRelay ? new Crossing() : null;
router.prefersOwnMembers = boot.prefersOwnMembers;
router.confirmations.onRelieved = () => mesh.onRelieved();
mesh.backlog = {
  get isFull() {
    return outbox.isFull || router.confirmations.isFull;
  },
};

const frame = startWorker(boot, parentPort, mesh, router, {
  'endpoint.open': async ({ config, memory, sockets }) => {
    const known = runtimes.get(config.endpoint.id);
    if (known !== undefined) throw new FluxError('internal', `Endpoint ${config.endpoint.port} is already open in this worker`);
    // Clients come only after this point, and the session worker has already set the number of this start.
    router.numberFrom(serialBase(boot.numbers));
    const runtime = new EndpointRuntime(context, config, memory);
    const fetched = await fetchOffer(sockets);
    try {
      runtime.open(fetched);
    } catch (error) {
      for (const { handle } of fetched) handle.close();
      throw error;
    }
    runtimes.set(config.endpoint.id, runtime);
    if (mesh.sessionLink !== null) tellLimits(mesh.sessionLink, config.endpoint);
    tellRules(runtime);
    return null;
  },
  'endpoint.start-accepting': async ({ endpoint }) => {
    await find(endpoint).startAccepting();
    return null;
  },
  'endpoint.accept-from': async ({ endpoint, sockets }) => {
    const runtime = find(endpoint);
    await runtime.acceptFrom(await fetchOffer(sockets));
    return null;
  },
  'endpoint.drop': ({ endpoint, keys }) => {
    find(endpoint).drop(keys);
    return null;
  },
  'endpoint.update': async ({ config, isRebind }) => {
    const { id, maxQueuedMessages } = config.endpoint;
    const runtime = find(id);
    await runtime.update(config, isRebind);
    tellRules(runtime);
    table.setQueueLimit(id, maxQueuedMessages);
    mesh.sessionLink?.control({ t: 'queue-limit', endpoint: id, maxQueued: maxQueuedMessages });
    if (mesh.sessionLink !== null) tellLimits(mesh.sessionLink, config.endpoint);
    return null;
  },
  'endpoint.stop-accepting': async ({ endpoint, isShared }) => {
    await find(endpoint).retire(isShared);
    return null;
  },
  'endpoint.close': async ({ endpoint, drain }) => {
    const runtime = find(endpoint);
    const drained = await runtime.drain(drain);
    if (!drained.done) return drained;
    runtime.close();
    runtimes.delete(endpoint);
    await untilHandedOver();
    mesh.sessionLink?.control({ t: 'rules', endpoint, rules: null });
    return drained;
  },
  'endpoint.drain-former': async ({ endpoint, drain }) => {
    const drained = await find(endpoint).drainFormer(drain);
    await untilHandedOver();
    return drained;
  },
  'endpoint.cancel-drain': ({ endpoint }) => {
    find(endpoint).cancelDrain();
    return null;
  },
  'clients.list': async ({ endpoint }) => {
    const lists = new Map<string, string[]>();
    const pace = new Pace(LIST_SLICE_MS);
    for (const [id, runtime] of runtimes) {
      if (endpoint !== null && endpoint !== id) continue;
      for (const { session } of runtime.clients) {
        if (pace.isOver) await pace.next();
        if (session === null) continue;
        const { name } = session.namespace;
        const list = lists.get(name);
        if (list === undefined) lists.set(name, [session.clientId]);
        else list.push(session.clientId);
      }
    }
    return [...lists].map(([namespace, clientIds]) => ({ namespace, clientIds: clientIds.join('\0') }));
  },
  'clients.describe': ({ clientIds, namespaces }) =>
    clientIds.flatMap((clientId, i) => {
      const outlet = table.get(namespaces[i]!, clientId)?.outlet;
      return outlet instanceof Sender && outlet.owner instanceof Client ? [describe(outlet.owner)] : [];
    }),
  'clients.find': ({ ids, namespace }) => {
    const wanted = new Set(ids);
    const found: { clientId: string; namespace: string; endpoint: string }[] = [];
    for (const session of table.values()) {
      if (session.outlet === null || !wanted.has(session.clientId) || (namespace !== null && namespace !== session.namespace.name))
        continue;
      found.push({ clientId: session.clientId, namespace: session.namespace.name, endpoint: session.endpoint });
    }
    return found;
  },
  'clients.close': async ({ by, ids, namespace }) => {
    const wanted = new Set<string | null>(ids);
    const pace = new Pace();
    let closed = 0;
    for (const runtime of runtimes.values()) {
      for (const client of [...runtime.clients]) {
        if (client.session === null || !wanted.has(client[by])) continue;
        if (namespace !== null && client.endpoint.namespace.name !== namespace) continue;
        if (pace.isOver) await pace.next();
        if (client.isClosed) continue;
        client.close(REASON.administrativeAction);
        closed++;
      }
    }
    return { closed };
  },
  'bans.take': async ({ changes }) => ({ kicked: await takeBans(bans, changes, [...runtimes.values()]) }),
  shutdown: async ({ timeoutMs }) => {
    for (const runtime of runtimes.values()) runtime.stopAccepting();
    const drain = { ms: 0, reasonCode: REASON.serverShuttingDown, serverReferences: [] };
    const drained = Promise.all([...runtimes.values()].map((runtime) => runtime.drain(drain)));
    await new Deadline(timeoutMs).reaches(drained.then(() => untilHandedOver()).then(() => untilPeersKnow()));
    for (const runtime of runtimes.values()) runtime.close();
    clearInterval(sweep);
    mesh.close();
    return null;
  },
});

const link: HostLink = frame.link;
const context: WorkerContext = {
  mesh,
  router,
  table,
  directory,
  authenticator: new Authenticator(
    {
      verify: (job) => link.ask('access.verify', job, VERIFY_TIMEOUT_MS),
      ask: (job) => link.ask('access.ask', job, ASK_TIMEOUT_MS),
    },
    new LoginGate(
      new LoginMemory(boot.logins),
      { userBurst: CHECKS_AT_ONCE, userEveryMs: CHECK_EVERY_MS },
      new LoginMemory(boot.knownLogins),
    ),
  ),
  retained,
  bans,
  flapping: new FlappingGuard(boot.flapping, (event) => link.emit(event)),
  barrier,
  logger: link.logger,
  probePrefix: boot.probePrefix,
  memory,
  paused: new Set(),
  held: new HeldPublishes(),
  store: new StoreState(boot.storeState),
  tick: 0,
};

mesh.hooks = {
  onPublish(peer, namespace, record) {
    const space = mesh.namespace(namespace);
    const { orphans, kept } = router.receive(space, record, peer.id);
    if (orphans !== null) frame.bounce(peer, namespace, record.message, orphans);
    if (!record.store) return;
    const { source, serial } = record.message;
    if (kept === null) peer.control({ t: 'kept', source, serial });
    else void kept.then(() => peer.control({ t: 'kept', source, serial }));
  },
  onRun: (peer, namespace, run) => router.receiveRun(mesh.namespace(namespace), run, peer.id),
  onControl(peer, control) {
    if (directory.onControl(peer, control)) return;
    switch (control.t) {
      case 'stored':
        outbox.onStored(control.serial);
        barrier.onStored(control.serial);
        return;
      case 'refused':
        barrier.onRefused(control.serial, 'refused');
        return;
      case 'unstored':
        barrier.onRefused(control.serial, 'unstored');
        return;
      case 'durable-ok':
        barrier.onRequestDone(control.request);
        return;
      case 'retained-page':
        retained.onPage(control);
        return;
      case 'kept':
        router.confirmations.confirmed(peer, control.serial);
        return;
      case 'taken':
        router.crossing?.taken(control.serials);
        return;
      case 'shared-known':
        router.reports.known(control.request);
        return;
      case 'bounce': {
        const confirmation = frame.onBounce(peer, control);
        if (peer.role === 'session' && confirmation !== null) barrier.delay(control.message.serial, confirmation);
        return;
      }
      default:
        link.logger.warn(`A peer sent ${control.t}, which this worker does not handle`);
    }
  },
  onPeerAdded(peer) {
    table.mover.onPeerAdded(peer);
  },
  onPeerInformed(peer) {
    if (peer.role !== 'session') return;
    for (const runtime of runtimes.values()) tellLimits(peer, runtime.endpoint);
    directory.onSessionWorker(peer);
    barrier.onSessionWorker(peer, table.values());
    retained.onSessionWorker();
    for (const runtime of runtimes.values()) tellRules(runtime);
  },
  movesUnderWay: () => table.mover.movesUnderWay(),
  onPeerKnown(peer) {
    if (peer.role !== 'session') return;
    router.sessionPeer = peer;
    outbox.resend(peer);
  },
  onPeerRemoved(peer) {
    table.mover.onPeerRemoved(peer);
    if (peer.role === 'session') router.sessionPeer = null;
    else router.peerRemoved(peer);
  },
  onMoveAnnounced: (move, target) => table.mover.onAnnounced(move, target),
  onMoveAcknowledged: (move, peer) => table.mover.onAcknowledged(move, peer),
  onRelieved() {
    const clients = [...context.paused];
    context.paused.clear();
    for (const client of clients) client.onPeersRelieved();
  },
  onRelay: (state) => frame.onRelay(state),
  // The first copy of the message may still be on its way to the disk.
  onRepeat: (peer, source, serial) => void barrier.committed().then(() => peer.control({ t: 'kept', source, serial })),
};

const sweep = setInterval(() => {
  loopDelay.touch();
  context.tick++;
  if (context.store.isFailing) router.confirmations.fail();
  else context.held.release();
  let held = 0;
  for (const runtime of runtimes.values()) held += runtime.sweep(context.tick);
  // Sessions of offline clients, on their way to the session worker.
  for (const session of table.values()) if (session.outlet === null) held += bytesOfSession(session, mesh.links.size);
  memory.sweep(held);
}, SWEEP_MS);

/** Sends the endpoint's limits. They must reach the session worker before the first retained message of the endpoint's clients. */
function tellLimits(session: PeerLink, { id, port, maxRetainedMessages, maxRetainedBytes, maxQueuedBytes }: Endpoint): void {
  session.control({
    t: 'endpoint-limits',
    endpoint: id,
    port,
    messages: maxRetainedMessages,
    bytes: maxRetainedBytes,
    queuedBytes: maxQueuedBytes,
  });
}

async function fetchOffer({ path, keys }: SocketOffer): Promise<ListeningSocket[]> {
  const handles = await fetchSockets(path, keys.length);
  return handles.map((handle, index) => ({ key: keys[index]!, handle }));
}

/** The endpoint's limit; none for a closed endpoint. */
function queuedBytes(endpoint: string): number {
  return runtimes.get(endpoint)?.endpoint.maxQueuedBytes ?? Number.POSITIVE_INFINITY;
}

function find(id: string): EndpointRuntime {
  const runtime = runtimes.get(id);
  if (runtime === undefined) throw new FluxError('not-found', `Endpoint ${id} is not open in this worker`);
  return runtime;
}

/** Sends the rules to the session worker, which applies them to offline sessions. */
function tellRules(runtime: EndpointRuntime): void {
  mesh.sessionLink?.control({ t: 'rules', endpoint: runtime.endpoint.id, rules: runtime.rules });
}

/** The context that counts an event of an endpoint. Without the endpoint, any context of this worker counts. */
function counted(id: string | null): EndpointRuntime['context'] | undefined {
  const runtime = (id === null ? undefined : runtimes.get(id)) ?? runtimes.values().next().value;
  return runtime?.context;
}

/** Waits until the session worker has fetched the offline sessions: a worker that ends must not lose them. */
async function untilHandedOver(): Promise<void> {
  const deadline = steadyNow() + 5_000;
  while (mesh.sessionLink !== null && hasParked() && steadyNow() < deadline) await pause(2);
}

/** Waits until the peers know that no client is here: earlier messages for shared groups still arrive and must return to other members. */
async function untilPeersKnow(): Promise<void> {
  const known = mesh.fence(mesh.links.keys());
  if (known !== null) await new Deadline(PEERS_KNOW_MS).reaches(known);
}

function hasParked(): boolean {
  for (const session of table.values()) if (session.outlet === null) return true;
  return false;
}

function describe(client: Client): WireClient {
  const { endpoint } = client.endpoint.config;
  const session = client.session!;
  return {
    clientId: client.clientId,
    username: client.username,
    namespace: endpoint.namespace,
    endpoint: endpoint.id,
    port: endpoint.port,
    address: client.connection.address,
    protocolVersion: client.version,
    cleanStart: client.identity.cleanStart,
    keepAlive: client.identity.keepAlive,
    sessionExpiry: session.expirySeconds,
    connectedAt: client.identity.connectedAt,
    subscriptions: session.subscriptions.size,
    inflight: session.inflight.size,
    queued: session.queue.length,
  };
}

link.emit({ event: 'ready', protocolVersion: THREAD_PROTOCOL_VERSION });
