/** The node's report about itself: status, numbers, health, resources; sampled each second. */

import { getHeapStatistics } from 'node:v8';
import { testNode } from '../../internals/self-test.ts';
import { steadyNow } from '../../kernel/clock.ts';
import { messageOf } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import { descriptorLimit } from '../../kernel/system/descriptors.ts';
import { residentBytes } from '../../kernel/system/resident-memory.ts';
import { mapInTurns } from '../../kernel/turns/pace.ts';
import type { MetricsCollector } from '../../metrics/collect.ts';
import { DROP_REASONS } from '../../metrics/counters.ts';
import { type EndpointSample, endpointsText } from '../../metrics/endpoint-text.ts';
import {
  type ClusterSample,
  claimsText,
  clusterRetainedText,
  configurationText,
  crossingText,
  lostMessages,
  memoryText,
  messageStoreText,
  ProcessMetrics,
  workersText,
} from '../../metrics/prometheus.ts';
import { type EndpointExtras, reportEndpoint } from '../../metrics/report.ts';
import { storeSizeText } from '../../metrics/store-size.ts';
import type { StoredEndpoint } from '../../storage/endpoint-store.ts';
import type { ClaimCounts } from '../../thread/commands.ts';
import type { WorkerHandle } from '../../thread/worker-handle.ts';
import type { Clients } from '../clients/clients.ts';
import type { ClusterStatus, EndpointMetrics, EndpointStatus, HealthAnswer, NodeView, ResourcesAnswer } from '../contract/answers.ts';
import type { CertificateWatch } from '../listening/certificate-watch.ts';
import type { EndpointSupervisors } from '../listening/endpoint-supervisors.ts';
import type { Reconciler } from '../listening/reconciler.ts';
import { websocketOf } from '../listening/websocket.ts';
import type { LinesLost } from '../log/log.ts';
import type { DesiredState } from '../state/desired-state.ts';
import type { HistoryKeeper } from '../state/history-keeper.ts';
import type { ThreadSupervisor } from '../workers/thread-supervisor.ts';
import { ThreadUsageReader, type Usage } from '../workers/thread-usage.ts';
import type { Watchdog } from '../workers/watchdog.ts';
import { RetainedTotals } from './retained-totals.ts';
import type { WatchHub } from './watch-hub.ts';

/** The part of the cluster that the report tells. */
export interface ClusterView {
  status(): ClusterStatus;
  nodes(): NodeView[];
  /** announcements and receipts since the start */
  readonly counts: ClusterSample['counts'];
}

export interface MonitorOptions {
  node: string;
  version: string;
  storeType: string;
  desired: DesiredState;
  supervisors: EndpointSupervisors;
  reconciler: Reconciler;
  threads: ThreadSupervisor;
  watchdog: Watchdog;
  hub: WatchHub;
  collector: MetricsCollector;
  clients: Clients;
  certificates: CertificateWatch;
  /** null: a single node */
  cluster: ClusterView | null;
  keeper: HistoryKeeper;
  logger: Logger;
  linesLost: () => LinesLost;
  /** entries of the audit that were lost */
  auditLost: () => number;
}

/** Features that fail while the store is away; everything else continues from memory. */
const NEED_THE_STORE = ['changes', 'history'];
const TICK_MS = 1_000;
/** Ticks between two counts of sessions: each count makes the session worker walk over all of them. */
const SESSION_COUNT_TICKS = 5;

export class Monitor {
  readonly #options: MonitorOptions;
  readonly #usage = new ThreadUsageReader();
  readonly #process = new ProcessMetrics();
  readonly #timer: NodeJS.Timeout;
  #ticks = 0;
  #wasTight = false;
  readonly #retained = new RetainedTotals();
  #claims: ClaimCounts | null = null;
  #sessions = new Map<string, { persistent: number; offline: number }>();
  #cpuBefore = { usage: process.cpuUsage(), at: steadyNow(), percent: 0 };

  constructor(options: MonitorOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** Status of all endpoints, or of the endpoint on `port`; empty when no endpoint has the port. */
  status(port?: number): EndpointStatus[] {
    return [...this.#chosen(port).map((stored) => this.#statusOf(stored)), ...this.#removed(port)];
  }

  /** Numbers of all endpoints, or of the endpoint on `port`, in the form of `GET /api/endpoints/metrics`. Made in turns. */
  async metrics(port?: number): Promise<EndpointMetrics[]> {
    return mapInTurns(await this.#samples(port), ({ counters, extras }) => reportEndpoint(counters, extras));
  }

  /** Prometheus text, made while it is read: with `port` of one endpoint, else of the whole node with the metrics of the process. */
  async prometheus(port?: number): Promise<Iterable<string>> {
    const endpoints = endpointsText(await this.#samples(port));
    if (port !== undefined) return endpoints;
    const node = await this.#nodeText();
    function* text(): Generator<string> {
      yield* endpoints;
      yield node;
    }
    return text();
  }

  /** In turns. */
  async #samples(port: number | undefined): Promise<EndpointSample[]> {
    const [usages] = await Promise.all([this.#usages(), this.#countSessions()]);
    return mapInTurns(this.#chosen(port), (stored) => ({
      counters: this.#options.collector.of(stored.endpoint.id),
      extras: this.#extras(stored, usages),
    }));
  }

  async #nodeText(): Promise<string> {
    const workers = `${await this.#workersText()}\n${await memoryText(this.#memory())}`;
    const messages = await messageStoreText(this.#options.threads.messages);
    const configuration = await configurationText(this.#configuration(), this.#clusterSample());
    const store = storeSizeText(this.#options.keeper.size);
    const { relay } = this.#options.threads;
    const { sample } = this.#retained;
    const crossing =
      relay === null ? '' : `${await crossingText(relay.report)}\n${await clusterRetainedText(sample)}\n${await claimsText(this.#claims)}`;
    const ofProcess = await this.#process.text(this.#totals(), sample);
    return `${configuration}\n${crossing}\n${store}\n${workers}\n${messages}\n${ofProcess}`;
  }

  #configuration() {
    const { desired, reconciler } = this.#options;
    const diverged = this.#states().failed.length;
    return { revision: desired.revision, isStoreUp: desired.storeError === null, diverged, ...reconciler.counts };
  }

  #clusterSample(): ClusterSample | null {
    const { cluster } = this.#options;
    if (cluster === null) return null;
    const { nats, lag, nodes } = cluster.status();
    const diverged = cluster.nodes().filter(({ state, lag: behind, failed }) => state === 'up' && (behind > 0 || failed.length > 0)).length;
    return { isNatsUp: nats.connected, lag, up: nodes.up, down: nodes.total - nodes.up, diverged, counts: cluster.counts };
  }

  /** The number of running endpoints, and the endpoints that do not run as the store says. Cheaper than `status`. */
  #states(): { total: number; running: number; areAllStopped: boolean; failed: HealthAnswer['endpoints']['failed'] } {
    const { supervisors, reconciler } = this.#options;
    const all = this.#chosen(undefined);
    const failed: HealthAnswer['endpoints']['failed'] = [];
    let [running, stopped] = [0, 0];
    for (const { endpoint } of all) {
      const { id, port } = endpoint;
      const supervisor = supervisors.peek(id);
      const state = supervisor?.state ?? 'stopped';
      if (state === 'running') running++;
      if (state === 'stopped') stopped++;
      const problem = reconciler.problemOf(id);
      if (state === 'failed' || problem !== null) failed.push({ id, port, reason: supervisor?.lastError ?? problem ?? 'unknown' });
    }
    return { total: all.length, running, areAllStopped: stopped === all.length, failed };
  }

  #totals() {
    const { threads, watchdog, hub, linesLost, auditLost } = this.#options;
    const { restarts, identityConflicts } = threads;
    const { file, terminal } = linesLost();
    return {
      workerRestarts: restarts,
      workersBlocked: watchdog.total,
      slowWatchers: hub.slowWatchers,
      identityConflicts,
      retainedRefused: this.#retained.refused,
      linesLostFile: file,
      linesLostTerminal: terminal,
      auditLost: auditLost(),
    };
  }

  async #workersText(): Promise<string> {
    const answered = [...(await this.#usages())].flatMap(([worker, usage]) =>
      usage === null ? [] : { worker: worker.name, role: worker.boot.role, ...usage },
    );
    return workersText(answered);
  }

  /** The usage of every living thread; null for a thread that does not answer within a second. */
  async #usages(): Promise<Map<WorkerHandle, Usage | null>> {
    const all = this.#options.threads.workers.map(async (worker) => [worker, await this.#usage.of(worker)] as const);
    return new Map(await Promise.all(all));
  }

  health(startup: NonNullable<HealthAnswer['startup']>): HealthAnswer {
    const { node, version, storeType, desired, threads, watchdog, cluster } = this.#options;
    const { total, running, areAllStopped, failed } = this.#states();
    const blockedWorkers = watchdog.blocked.map(({ name }) => name);
    const { nats = null, messages: crossing = null } = cluster?.status() ?? {};
    const isWhole = failed.length === 0 && blockedWorkers.length === 0 && threads.hasSession;
    const { cause, counts } = threads.messages;
    const isOk = isWhole && desired.storeError === null && cause === null && nats?.connected !== false && crossing?.ok !== false;
    const isServing = running > 0 || areAllStopped;
    return {
      status: isOk ? 'ok' : isServing ? 'degraded' : 'failed',
      node,
      version,
      uptimeSeconds: Math.round(process.uptime()),
      store: {
        type: storeType,
        ok: desired.storeError === null,
        reason: desired.storeError,
        refused: desired.storeError === null ? [] : [...NEED_THE_STORE],
      },
      messages: { ok: cause === null, reason: this.#storeProblem, refused: counts.refused, lost: counts.lost },
      nats,
      crossing: crossing === null ? null : { ok: crossing.ok, reason: crossing.reason, lost: lostMessages(crossing.nodes) },
      endpoints: { total, running, failed },
      workerRestarts: threads.restarts,
      blockedWorkers,
      startup,
      runtime: testNode(),
    };
  }

  /** Null while messages can be stored. */
  get #storeProblem(): string | null {
    const { cause } = this.#options.threads.messages;
    return cause === null ? null : `messages cannot be stored: ${cause}`;
  }

  async resources(): Promise<ResourcesAnswer> {
    const { supervisors, node } = this.#options;
    const { used_heap_size: heapUsedBytes, external_memory: externalBytes } = getHeapStatistics();
    const cpu = process.cpuUsage();
    const usages = await this.#usages();
    const endpoints = new Map<WorkerHandle, string[]>([...usages.keys()].map((worker) => [worker, []]));
    for (const supervisor of supervisors.all()) for (const worker of supervisor.workers) endpoints.get(worker)?.push(supervisor.id);
    const threads = [...usages].map(([worker, usage]) => {
      return {
        name: worker.name,
        role: worker.boot.role,
        endpoints: endpoints.get(worker) ?? [],
        cpuPercent: usage?.cpuPercent ?? 0,
        heapUsedBytes: usage?.heapUsedBytes ?? 0,
        eventLoopLagMsP99: usage?.eventLoopLagMsP99 ?? 0,
        eventLoopLagMsMax: usage?.eventLoopLagMsMax ?? 0,
        eventLoopBlocks: usage?.eventLoopBlocks ?? 0,
      };
    });
    return {
      cpu: { userSeconds: cpu.user / 1e6, systemSeconds: cpu.system / 1e6, percent: this.#cpuBefore.percent },
      memory: { rssBytes: residentBytes(), heapUsedBytes, externalBytes, ...this.#memory() },
      threads,
      node,
      pid: process.pid,
    };
  }

  #chosen(port: number | undefined): StoredEndpoint[] {
    const all = this.#options.desired.list();
    return port === undefined ? all : all.filter(({ endpoint }) => endpoint.port === port);
  }

  /** Endpoints that are no longer in the store and still have clients to disconnect. */
  #removed(port?: number): EndpointStatus[] {
    const { desired, supervisors } = this.#options;
    return supervisors.all().flatMap((supervisor) => {
      const config = supervisor.draining === null || desired.byId(supervisor.id) !== undefined ? null : supervisor.last;
      return config === null || (port !== undefined && config.endpoint.port !== port) ? [] : [this.#statusOf(config)];
    });
  }

  #statusOf({ endpoint, revision }: StoredEndpoint): EndpointStatus {
    const supervisor = this.#options.supervisors.peek(endpoint.id);
    const since = supervisor?.listeningSince ?? null;
    const online = this.#options.collector.peek(endpoint.id)?.total('sessionsCurrent') ?? 0;
    return {
      id: endpoint.id,
      port: endpoint.port,
      node: this.#options.node,
      state: supervisor?.state ?? 'stopped',
      workers: supervisor?.workerCount ?? 0,
      connections: supervisor?.connections ?? 0,
      sessions: online + (this.#sessions.get(endpoint.id)?.offline ?? 0),
      listeningSince: since === null ? null : new Date(since).toISOString(),
      runningRevision: supervisor !== undefined && supervisor.workerCount > 0 ? (supervisor.wanted?.revision ?? null) : null,
      desiredRevision: revision,
      lastError:
        supervisor?.lastError ??
        this.#options.reconciler.problemOf(endpoint.id) ??
        (endpoint.sessionPersistence ? this.#storeProblem : null),
      restarts: supervisor?.restarts ?? 0,
      blockedWorkers:
        supervisor === undefined ? 0 : this.#options.watchdog.blocked.filter((worker) => supervisor.workers.includes(worker)).length,
      draining: supervisor?.draining ?? null,
      certificate: this.#options.certificates.statusOf(supervisor),
      websocket: websocketOf(supervisor?.wanted ?? null),
    };
  }

  #extras({ endpoint, revision }: StoredEndpoint, all: ReadonlyMap<WorkerHandle, Usage | null>): EndpointExtras {
    const supervisor = this.#options.supervisors.peek(endpoint.id);
    const certificate = this.#options.certificates.statusOf(supervisor);
    const usages = (supervisor?.workers ?? []).flatMap((worker) => all.get(worker) ?? []);
    const sum = (read: (usage: Usage) => number) => usages.reduce((total, usage) => total + read(usage), 0);
    return {
      port: endpoint.port,
      endpoint: endpoint.id,
      persistent: this.#sessions.get(endpoint.id)?.persistent ?? 0,
      cpuPercent: sum((usage) => usage.cpuPercent),
      heapUsedBytes: sum((usage) => usage.heapUsedBytes),
      externalBytes: sum((usage) => usage.externalBytes),
      retained: this.#retained.of(endpoint.id),
      revision,
      state: supervisor?.state ?? 'stopped',
      certificateEndsAt: certificate === null ? null : Date.parse(certificate.notAfter),
    };
  }

  #memory() {
    const { budgetBytes, heldBytes, machineBytes, isTight } = this.#options.threads.memory;
    return { budgetBytes, heldBytes, machineBytes, isTight };
  }

  #tick(): void {
    const { collector, supervisors, desired } = this.#options;
    collector.sample();
    supervisors.sweep((id) => desired.byId(id) !== undefined || desired.isLocked(id));
    this.#sampleCpu();
    this.#judgeMemory();
    void this.#options.threads.relay?.look();
    if (this.#ticks++ % SESSION_COUNT_TICKS === 0) void this.#countSessions();
  }

  #judgeMemory(): void {
    const { memory } = this.#options.threads;
    memory.judge(residentBytes());
    const descriptors = descriptorLimit();
    // An operator may change the limit of a process (prlimit).
    if (descriptors !== null) memory.limitDescriptors(descriptors);
    if (memory.isTight === this.#wasTight) return;
    this.#wasTight = memory.isTight;
    const said = this.#wasTight ? 'Memory is short: new clients and large packets are refused' : 'Memory is no longer short';
    this.#options.logger.warn(said, this.#memory());
  }

  #sampleCpu(): void {
    const { usage, at } = this.#cpuBefore;
    const now = steadyNow();
    const spent = process.cpuUsage(usage);
    this.#cpuBefore = { usage: process.cpuUsage(), at: now, percent: (spent.user + spent.system) / 10 / (now - at) };
  }

  async #countSessions(): Promise<void> {
    if (!this.#options.threads.hasSession) return;
    try {
      const { clients, threads } = this.#options;
      const [counts, retained] = await Promise.all([clients.sessionCounts(), clients.retainedCount()]);
      if (threads.relay !== null) this.#claims = await clients.claimCounts();
      this.#retained.count(retained, (endpoint, refused) => this.#options.collector.of(endpoint).add('retainedRefused', refused));
      for (const { endpoint, dropped, withdrawn } of counts) {
        this.#options.collector.of(endpoint).add('subscriptionsWithdrawn', withdrawn);
        for (const [reason, name] of Object.entries(DROP_REASONS)) this.#options.collector.of(endpoint).add(name, dropped[reason] ?? 0);
      }
      this.#sessions = new Map(counts.map(({ endpoint, persistent, offline }) => [endpoint, { persistent, offline }]));
    } catch (error) {
      this.#options.logger.warn('the session worker did not count its sessions', { reason: messageOf(error) });
    }
  }
}
