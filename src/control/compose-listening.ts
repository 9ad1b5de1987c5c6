/** First part of the control plane: the threads, the stored configuration, and what makes the endpoints of this node run as it says. */

import { availableParallelism } from 'node:os';
import { MetricsCollector } from '../metrics/collect.ts';
import type { ControlOptions } from './control-options.ts';
import { CertificateWatch } from './listening/certificate-watch.ts';
import { Driver } from './listening/driver.ts';
import { EndpointSupervisors } from './listening/endpoint-supervisors.ts';
import { Reconciler } from './listening/reconciler.ts';
import { newProbePrefix } from './probe/mqtt-probe.ts';
import { DesiredState } from './state/desired-state.ts';
import { type AccessPool, openAccessPool } from './workers/access-pool.ts';
import { ThreadSupervisor } from './workers/thread-supervisor.ts';

const VERIFY_TIMEOUT_MS = 10_000;

export interface ListeningParts {
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
export function composeListening({ settings, version, store, isStoreShared, workerUrls, logger }: ControlOptions): ListeningParts {
  const { node, auth, acl } = settings;
  const access = openAccessPool({ url: workerUrls.access, threads: availableParallelism(), timeoutMs: VERIFY_TIMEOUT_MS, logger });
  const probePrefix = newProbePrefix();
  const threads = new ThreadSupervisor({
    node: node.name,
    version,
    dataPath: settings.store.storeType === 'MEMORY' ? null : settings.store.local.dataPath,
    urls: workerUrls,
    probePrefix,
    memoryBudget: node.memoryBudget,
    logger,
    questions: { 'access.verify': (job) => access.verify(job) },
  });
  const collector = new MetricsCollector();
  const desired = new DesiredState(store, node.name);
  const supervisors = new EndpointSupervisors(threads, collector, logger);
  const driver = new Driver(supervisors, { auth, acl, bindAddress: node.bindAddress, websocketTransport: node.websocketTransport }, logger);
  const { interval: intervalMs, enabled: isPeriodic } = settings.cluster.sync;
  const reconciler = new Reconciler({ desired, driver, supervisors, logger, intervalMs, isPeriodic, isShared: isStoreShared });
  const certificates = new CertificateWatch({ supervisors, isLocked: (id) => desired.isLocked(id), logger });
  return { access, probePrefix, threads, collector, desired, supervisors, driver, reconciler, certificates };
}
