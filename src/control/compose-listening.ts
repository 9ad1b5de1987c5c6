/** First part of the control plane: the threads, the stored configuration, and what makes the endpoints of this node run as it says. */

import { availableParallelism } from 'node:os';
import { MetricsCollector } from '../metrics/collect.ts';
import type { ControlOptions } from './control-options.ts';
import { CertificateWatch } from './listening/certificate-watch.ts';
import { Driver } from './listening/driver.ts';
import { Reconciler } from './listening/reconciler.ts';
import { Runners } from './listening/runners.ts';
import { newProbePrefix } from './probe/mqtt-probe.ts';
import { Desired } from './state/desired.ts';
import { type AccessPool, openAccessPool } from './workers/access-pool.ts';
import { Supervisor } from './workers/supervisor.ts';

const VERIFY_TIMEOUT_MS = 10_000;

export interface ListeningParts {
  access: AccessPool;
  /** by which workers know a health check */
  probePrefix: string;
  supervisor: Supervisor;
  collector: MetricsCollector;
  desired: Desired;
  runners: Runners;
  driver: Driver;
  reconciler: Reconciler;
  certificates: CertificateWatch;
}

/** Nothing runs yet, but for the timer of the certificate watch. */
export function composeListening({ settings, version, store, isStoreShared, workerUrls, logger }: ControlOptions): ListeningParts {
  const { node, auth, acl } = settings;
  const access = openAccessPool({ url: workerUrls.access, threads: availableParallelism(), timeoutMs: VERIFY_TIMEOUT_MS, logger });
  const probePrefix = newProbePrefix();
  const supervisor = new Supervisor({
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
  const desired = new Desired(store, node.name);
  const runners = new Runners(supervisor, collector, logger);
  const driver = new Driver(runners, { auth, acl, bindAddress: node.bindAddress }, logger);
  const { interval: intervalMs, enabled: isPeriodic } = settings.cluster.sync;
  const reconciler = new Reconciler({ desired, driver, runners, logger, intervalMs, isPeriodic, isShared: isStoreShared });
  const certificates = new CertificateWatch({ runners, isLocked: (id) => desired.isLocked(id), logger });
  return { access, probePrefix, supervisor, collector, desired, runners, driver, reconciler, certificates };
}
