/** First part of the control plane: the threads, the stored configuration, and the parts that make this node's endpoints follow it. */

import { randomUUID } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { processNumber, type RelayBoot } from '../bus/relay.ts';
import { BAN_KIND } from '../endpoint/bans/ban.ts';
import { MetricsCollector } from '../metrics/collect.ts';
import type { Settings } from '../settings/settings.ts';
import { type DocumentCopy, openDocumentCopy } from '../storage/local/document-copy.ts';
import { ACCESS_KIND, NodeAccess } from './access/node-access.ts';
import { BanKeeper } from './bans/ban-keeper.ts';
import { FlappingBans } from './bans/flapping-bans.ts';
import type { ControlOptions } from './control-options.ts';
import { DocumentFollower } from './documents/follower.ts';
import { wordOfDocument } from './documents/words.ts';
import { CertificateWatch } from './listening/certificate-watch.ts';
import { Driver } from './listening/driver.ts';
import { EndpointSupervisors } from './listening/endpoint-supervisors.ts';
import { Reconciler } from './listening/reconciler.ts';
import { newProbePrefix } from './probe/mqtt-probe.ts';
import { DesiredState } from './state/desired-state.ts';
import { UserDirectory } from './users/directory.ts';
import { type AccessPool, openAccessPool } from './workers/access-pool.ts';
import { ThreadSupervisor } from './workers/thread-supervisor.ts';

const VERIFY_TIMEOUT_MS = 10_000;
/** Messages that are kept for a node that is away, beside the bytes of `cluster.hold`. */
const HELD_MESSAGES_MAX = 100_000;

export interface ListeningParts {
  copy: DocumentCopy;
  directory: UserDirectory;
  follower: DocumentFollower;
  bans: BanKeeper;
  nodeAccess: NodeAccess;
  /** null: clients may connect as often as they like */
  flapping: FlappingBans | null;
  /** name of this process in the cluster, made anew at each start */
  incarnation: string;
  access: AccessPool;
  /** by which workers know a health check */
  probePrefix: string;
  threads: ThreadSupervisor;
  collector: MetricsCollector;
  desired: DesiredState;
  supervisors: EndpointSupervisors;
  driver: Driver;
  reconciler: Reconciler;
  certificates: CertificateWatch;
}

/** Starts nothing but the timer of the certificate watch. */
export function composeListening({ settings, version, store, isStoreShared, workerUrls, logger, sealer }: ControlOptions): ListeningParts {
  const { node } = settings;
  const access = openAccessPool({
    url: workerUrls.access,
    askUrl: workerUrls.asking,
    threads: availableParallelism(),
    timeoutMs: VERIFY_TIMEOUT_MS,
    logger,
  });
  const dataPath = settings.store.storeType === 'MEMORY' ? null : settings.store.local.dataPath;
  const { interval: intervalMs, enabled: isPeriodic } = settings.cluster.sync;
  const copy = openDocumentCopy(dataPath, wordOfDocument);
  const follower = new DocumentFollower({
    store: store.documents,
    copy,
    logger,
    intervalMs: isStoreShared && isPeriodic ? intervalMs : null,
    reported: new Set([BAN_KIND, ACCESS_KIND]),
  });
  const bans = new BanKeeper({ copy, store: store.documents, follower, node: node.name, logger });
  const nodeAccess = new NodeAccess({ copy, sealer, follower, configured: { auth: settings.auth, acl: settings.acl }, logger });
  const limits = settings.flapping;
  const flapping =
    limits === null ? null : new FlappingBans({ keeper: bans, store: store.documents, follower, limits, node: node.name, logger });
  const directory = new UserDirectory(copy, sealer, () => follower.isKnown);
  const probePrefix = newProbePrefix();
  const incarnation = randomUUID();
  const threads = new ThreadSupervisor({
    node: node.name,
    version,
    dataPath,
    urls: workerUrls,
    probePrefix,
    relay: relayBoot(settings, incarnation),
    memoryBudget: node.memoryBudget,
    logger,
    prepare: (worker, deadline) => bans.attach(worker, deadline),
    flapping: settings.flapping,
    onFlapping: (namespace, clientId) => flapping?.ban(namespace, clientId),
    questions: { 'access.verify': (job) => access.verify(job), 'access.ask': (job) => access.ask(directory.lookUp(job)) },
  });
  const collector = new MetricsCollector();
  const desired = new DesiredState(store, node.name);
  const supervisors = new EndpointSupervisors(threads, collector, logger);
  const driver = new Driver(
    supervisors,
    { access: nodeAccess, bindAddress: node.bindAddress, websocketTransport: node.websocketTransport },
    logger,
  );
  const reconciler = new Reconciler({ desired, driver, supervisors, logger, intervalMs, isPeriodic, isShared: isStoreShared });
  const certificates = new CertificateWatch({ supervisors, isLocked: (id) => desired.isLocked(id), logger });
  return {
    copy,
    directory,
    follower,
    bans,
    nodeAccess,
    flapping,
    incarnation,
    access,
    probePrefix,
    threads,
    collector,
    desired,
    supervisors,
    driver,
    reconciler,
    certificates,
  };
}

/** Null: messages stay on this node. */
function relayBoot({ cluster }: Settings, incarnation: string): RelayBoot | null {
  const { bus, name, messages, hold, sharedSubscriptions, willGrace: willGraceMs } = cluster;
  if (bus === null || !messages) return null;
  const held = { bytes: hold, messages: HELD_MESSAGES_MAX };
  return { bus, cluster: name, incarnation: processNumber(incarnation), hold: held, sharedSubscriptions, willGraceMs };
}
