/** Assembles the control plane of a node, which implements the requests of the admin API. */

import { availableParallelism } from 'node:os';
import type { Bus } from '../bus/contract.ts';
import { isObject } from '../endpoint/problems.ts';
import { parseEndpoint } from '../endpoint/schema.ts';
import { steadyNow } from '../kernel/clock.ts';
import { Deadline } from '../kernel/deadline.ts';
import { FluxError } from '../kernel/errors.ts';
import type { Logger } from '../kernel/logger.ts';
import { MetricsCollector } from '../metrics/collect.ts';
import type { Settings } from '../settings/settings.ts';
import type { EndpointStore, HistoryQuery, StoredEndpoint } from '../storage/contract.ts';
import type { Sealer } from '../storage/sealed/sealer.ts';
import { readAdd, readPlan } from './changes/change-request.ts';
import { ChangeRunner } from './changes/change-runner.ts';
import { Confirmations } from './changes/confirmations.ts';
import { EndpointManager } from './changes/endpoint-manager.ts';
import { Rollback } from './changes/rollback.ts';
import { ALONE } from './changes/spreader.ts';
import { Clients } from './clients/clients.ts';
import { Alone } from './cluster/alone.ts';
import { Cluster } from './cluster/cluster.ts';
import { NodeProbes } from './cluster/node-probes.ts';
import { Nodes } from './cluster/nodes.ts';
import { OwnFacts } from './cluster/own-facts.ts';
import type {
  ClusterStatus,
  Control,
  EndpointView,
  HealthAnswer,
  NodeView,
  PlanAnswer,
  ValidateAnswer,
  Watcher,
  WatchStart,
} from './contract/answers.ts';
import type { RequestContext } from './contract/requests.ts';
import { CertificateWatch } from './listening/certificate-watch.ts';
import { SHUTDOWN } from './listening/drain-order.ts';
import { Driver, tlsOf } from './listening/driver.ts';
import { Reconciler } from './listening/reconciler.ts';
import { Runners } from './listening/runners.ts';
import type { LinesLost } from './log/log.ts';
import { newProbePrefix } from './probe/mqtt-probe.ts';
import { recommendQueueMigration } from './probe/queue-migration.ts';
import { Monitor } from './report/monitor.ts';
import { SystemTopics } from './report/system-topics.ts';
import { WatchHub } from './report/watch-hub.ts';
import { reachStep } from './state/change-steps.ts';
import { Desired } from './state/desired.ts';
import { HistoryKeeper } from './state/history-keeper.ts';
import { Transfer } from './transfer/transfer.ts';
import { openAccessPool } from './workers/access-pool.ts';
import { Supervisor } from './workers/supervisor.ts';
import { Watchdog } from './workers/watchdog.ts';

/** Built files of the threads. */
export interface WorkerUrls {
  endpoint: URL;
  session: URL;
  access: URL;
}

export interface ControlOptions {
  settings: Settings;
  version: string;
  store: EndpointStore;
  /** null: a single node */
  bus: Bus | null;
  /** seals secrets in files that leave the node */
  sealer: Sealer;
  /** other processes may write to the store */
  isStoreShared: boolean;
  workerUrls: WorkerUrls;
  logger: Logger;
  /** lost log lines since the start */
  linesLost: () => LinesLost;
}

export interface RunningControl {
  control: Control;
  /** Announces the port of this node's admin API to the other nodes. */
  announceAdmin(port: number): void;
  /** Checks the certificate files of endpoints now. @returns a text for each change */
  reload(): Promise<string[]>;
  /** Drains and ends every thread. @returns true when all threads ended in order within `timeoutMs` */
  stop(timeoutMs: number): Promise<boolean>;
}

/** Longest wait for the first opening of all endpoints; the runners keep trying those that are not up. */
const START_TIMEOUT_MS = 30_000;
const VERIFY_TIMEOUT_MS = 10_000;

/**
 * Starts threads and endpoints. Resolves when each endpoint was tried once.
 * @throws FluxError when the store cannot be read or the session worker cannot start; no thread is left behind then
 */
export async function startControl(options: ControlOptions): Promise<RunningControl> {
  const { settings, version, store, workerUrls, logger } = options;
  const startedAt = steadyNow();
  const node = settings.node.name;
  const access = openAccessPool({ url: workerUrls.access, threads: availableParallelism(), timeoutMs: VERIFY_TIMEOUT_MS, logger });
  const probePrefix = newProbePrefix();
  const supervisor = new Supervisor({
    node,
    version,
    dataPath: settings.store.storeType === 'MEMORY' ? null : settings.store.local.dataPath,
    urls: workerUrls,
    probePrefix,
    memoryBudget: settings.node.memoryBudget,
    logger,
    questions: { 'access.verify': (job) => access.verify(job) },
  });
  const collector = new MetricsCollector();
  const desired = new Desired(store, settings.node.name);
  const runners = new Runners(supervisor, collector, logger);
  const hub = new WatchHub(node);
  desired.changed.subscribe(() => hub.configured(desired.list(), desired.revision));
  runners.changed.subscribe((runner) => hub.look(runner));
  runners.dropped.subscribe((id) => hub.forget(id));
  const driver = new Driver(runners, { auth: settings.auth, acl: settings.acl, bindAddress: settings.node.bindAddress }, logger);
  const { storeType } = settings.store;
  const isShared = options.isStoreShared;
  const { interval: intervalMs, enabled: isPeriodic } = settings.cluster.sync;
  const reconciler = new Reconciler({ desired, driver, runners, logger, intervalMs, isPeriodic, isShared });
  const address = settings.cluster.localAddress;
  const facts = new OwnFacts({ node, version: options.version, address, desired, runners, reconciler });
  const cluster = options.bus === null ? null : joinCluster(options, options.bus, { facts, desired, runners, reconciler });
  if (cluster !== null) tellEvents(cluster, runners, hub);
  const spreadTimeoutMs = settings.cluster.sync.timeout;
  const changes = new ChangeRunner({
    desired,
    runners,
    driver,
    spreader: cluster ?? ALONE,
    spreadTimeoutMs,
    node,
    logger,
    onUnapplied: () => reconciler.wake(),
  });
  const keepsSecretsInClear = options.sealer.keyId === null && settings.store.storeType !== 'MEMORY';
  const manager = new EndpointManager({ desired, runners, driver, changes, keepsSecretsInClear, node, logger });
  const rollback = new Rollback({ desired, runners, changes, keepsSecretsInClear });
  const transfer = new Transfer({ desired, runners, changes, sealer: options.sealer, keepsSecretsInClear, node });
  const confirmations = new Confirmations({ desired, changes, logger });
  const isRead = () => transfer.isReading;
  const keeper = new HistoryKeeper({ store, desired, limits: settings.history, isRead, logger });
  const clients = new Clients(supervisor, node);
  const systemTopics = new SystemTopics({ version, desired, collector, clients, logger });
  const watchdog = new Watchdog({
    workers: () => supervisor.workers,
    isReplaceable: (worker) => runners.isReplaceable(worker),
    logger,
  });
  const certificates = new CertificateWatch({ runners, isLocked: (id) => desired.isLocked(id), logger });
  const monitor = new Monitor({
    node,
    version,
    storeType,
    desired,
    runners,
    reconciler,
    supervisor,
    watchdog,
    hub,
    collector,
    clients,
    certificates,
    cluster,
    keeper,
    logger,
    linesLost: options.linesLost,
  });
  const nodes = new Nodes({
    node,
    probes: new NodeProbes(desired, runners, driver, probePrefix),
    ownStatus: (port) => monitor.status(port),
    cluster,
  });
  const stop = async (timeoutMs: number) => {
    cluster?.close();
    monitor.close();
    watchdog.close();
    systemTopics.close();
    hub.close();
    const deadline = new Deadline(timeoutMs);
    await deadline.reaches(Promise.all([reconciler.close(), confirmations.close(), certificates.close(), keeper.close()]));
    const stopped = Promise.all(
      runners.all().map(async (runner) => {
        const { drained } = await runner.stop(SHUTDOWN);
        await drained;
      }),
    );
    await new Deadline(Math.ceil(timeoutMs * 0.7)).reaches(stopped);
    const inOrder = await supervisor.stop(deadline.leftMs);
    await access.close();
    return inOrder;
  };
  try {
    // The session worker starts while the store is read. Endpoint workers start beside it, and are used only when it is up.
    const sessionUp = supervisor.start();
    sessionUp.catch(() => {});
    await desired.load();
    const away = desired.storeError;
    if (away !== null) logger.error('ConfigSync: started with the last known configuration, because the store is away', { reason: away });
    const seeded = away === null ? await desired.onNewest(() => manager.seed(settings.endpoints, settings.areEndpointsGiven)) : 0;
    if (away === null) await confirmations.undoOverdue();
    await Promise.all([sessionUp, manager.startAll(new Deadline(START_TIMEOUT_MS)), recommendQueueMigration(logger)]);
    reconciler.start();
    confirmations.start();
    const startup = { durationMs: Math.round(steadyNow() - startedAt), seeded, endpoints: desired.list().length };
    const parts = {
      node,
      version,
      store,
      desired,
      runners,
      manager,
      rollback,
      transfer,
      confirmations,
      clients,
      monitor,
      hub,
      nodes,
      cluster: cluster ?? new Alone(facts, desired),
      startup,
    };
    const announceAdmin = (port: number) => {
      facts.adminPort = port;
    };
    return { control: new NodeControl(parts), announceAdmin, reload: () => certificates.lookNow(), stop };
  } catch (error) {
    await stop(START_TIMEOUT_MS);
    throw error;
  }
}

/** Publishes over NATS the events of the HTTP watch, and the result of each change. */
function tellEvents({ events }: Cluster, runners: Runners, hub: WatchHub): void {
  runners.changed.subscribe((runner) => events.look(runner.id));
  hub.watch(null, { onEvent: (event) => events.watched(event), onEnd: () => {} });
}

function joinCluster(
  { settings, logger }: ControlOptions,
  bus: Bus,
  parts: { facts: OwnFacts; desired: Desired; runners: Runners; reconciler: Reconciler },
): Cluster {
  const { name, sync } = settings.cluster;
  return new Cluster({
    ...parts,
    bus,
    name,
    retryCount: sync.retryCount,
    node: settings.node.name,
    logger,
  });
}

interface Parts {
  node: string;
  version: string;
  store: EndpointStore;
  desired: Desired;
  runners: Runners;
  manager: EndpointManager;
  rollback: Rollback;
  transfer: Transfer;
  confirmations: Confirmations;
  clients: Clients;
  monitor: Monitor;
  hub: WatchHub;
  nodes: Nodes;
  cluster: Cluster | Alone;
  startup: NonNullable<HealthAnswer['startup']>;
}

class NodeControl implements Control {
  readonly node: string;
  readonly version: string;
  readonly add: Control['add'];
  readonly update: Control['update'];
  readonly remove: Control['remove'];
  readonly setEnabled: Control['setEnabled'];
  readonly rollback: Control['rollback'];
  readonly confirm: Control['confirm'];
  readonly exportAll: Control['exportAll'];
  readonly importAll: Control['importAll'];
  readonly backup: Control['backup'];
  readonly restore: Control['restore'];
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.node = parts.node;
    this.version = parts.version;
    const { manager, rollback, transfer, confirmations, desired } = parts;
    const change = async <T>(attempt: () => Promise<T>) => {
      const answer = await desired.onNewest(attempt);
      reachStep('announced');
      return answer;
    };
    this.add = (body, context) => change(() => manager.change('add', body, context));
    this.update = (body, context) => change(() => manager.change('update', body, context));
    this.remove = (body, context) => change(() => manager.change('remove', body, context));
    this.setEnabled = (enabled, body, context) => change(() => manager.change(enabled ? 'enable' : 'disable', body, context));
    this.rollback = (body, context) => change(() => rollback.run(body, context));
    this.confirm = (body, context) => confirmations.confirm(body, context);
    this.exportAll = (wanted) => transfer.exportAll(wanted);
    this.importAll = (body, context) => change(() => transfer.importAll(toBody(body), context));
    this.backup = (wanted, hasHistory) => transfer.backup(wanted, hasHistory);
    this.restore = (upload, context) => change(() => transfer.restore(upload, context));
  }

  async plan(body: unknown, context: RequestContext): Promise<PlanAnswer> {
    const { action, body: rest } = readPlan(body);
    if (action === 'rollback') return this.#parts.rollback.plan(rest, context);
    if (action === 'import') return this.#parts.transfer.plan(rest, context);
    return this.#parts.manager.plan(action, rest, context);
  }

  async validate(body: unknown): Promise<ValidateAnswer> {
    try {
      const { endpoint, warnings } = parseEndpoint(readAdd(body).input);
      const { warnings: more } = await tlsOf(endpoint, null);
      return { valid: true, issues: [], warnings: [...warnings, ...more] };
    } catch (error) {
      if (!(error instanceof FluxError) || error.kind === 'internal') throw error;
      const issues = error.issues.length > 0 ? error.issues : [{ path: '', message: error.message }];
      return { valid: false, issues, warnings: [] };
    }
  }

  list(): EndpointView[] {
    return this.#parts.desired.list().map(toView);
  }

  revision(): number {
    return this.#parts.desired.revision;
  }

  activePorts(): number[] {
    return this.#enabled()
      .filter(({ endpoint }) => this.#parts.runners.peek(endpoint.id)?.listensOn(endpoint.port) === true)
      .map(({ endpoint }) => endpoint.port);
  }

  get(key: { port?: number; id?: string }): EndpointView {
    return toView(this.#parts.desired.find(key));
  }

  status(port?: number) {
    return this.#parts.monitor.status(port);
  }

  statusEverywhere(port?: number) {
    return this.#parts.nodes.status(port);
  }

  metrics(port?: number) {
    return this.#parts.monitor.metrics(port);
  }

  prometheus(port?: number) {
    return this.#parts.monitor.prometheus(port);
  }

  checkPort(port: number, host = '0.0.0.0') {
    return this.#parts.nodes.checkPort(port, host);
  }

  probe(port?: number) {
    return this.#parts.nodes.probe(port);
  }

  cluster(): ClusterStatus {
    return this.#parts.cluster.status();
  }

  nodes(): NodeView[] {
    return this.#parts.cluster.nodes();
  }

  history(query: HistoryQuery) {
    return this.#parts.store.history(query);
  }

  watch(after: number | null, watcher: Watcher): WatchStart {
    const start = this.#parts.hub.watch(after, watcher);
    if (start === null) throw new FluxError('unavailable', 'there are too many watchers');
    return start;
  }

  watchTooSlow(): void {
    this.#parts.hub.countSlow();
  }

  health(): HealthAnswer {
    return this.#parts.monitor.health(this.#parts.startup);
  }

  resources() {
    return this.#parts.monitor.resources();
  }

  publish(request: Parameters<Control['publish']>[0]) {
    return this.#parts.clients.publish(request);
  }

  locate(ids: string[], namespace?: string) {
    return this.#parts.clients.locate(ids, namespace);
  }

  disconnect(ids: string[], namespace?: string) {
    return this.#parts.clients.disconnect(ids, namespace);
  }

  clients(query: { endpoint?: string; page: number; size: number }) {
    return this.#parts.clients.list(query);
  }

  #enabled(): StoredEndpoint[] {
    return this.#parts.desired.list().filter(({ endpoint }) => endpoint.enabled);
  }
}

/** @throws FluxError `invalid` when the body is not an object */
function toBody(body: unknown): Record<string, unknown> {
  if (isObject(body)) return body;
  throw new FluxError('invalid', 'the body must be a JSON object', { issues: [{ path: '', message: 'must be an object' }] });
}

function toView({ endpoint, revision }: StoredEndpoint): EndpointView {
  return { endpoint, revision };
}
