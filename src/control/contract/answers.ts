/** The answers of the control plane to the admin API. */

import type { Effect, Endpoint, KeyChange } from '../../endpoint/endpoint.ts';
import type { Issue } from '../../kernel/errors.ts';
import type { WireClient } from '../../thread/commands.ts';
import type { CertificateFacts } from '../../thread/tls-material.ts';

/** A change that is undone unless `confirm` follows in time. */
export interface ConfirmView {
  revision: number;
  /** ISO 8601 */
  until: string;
}

/** Result of a change on one node. */
export interface NodeOutcome {
  node: string;
  state: 'applied' | 'pending' | 'failed';
  reason: string | null;
}

export interface ChangeAnswer {
  endpoint: Endpoint;
  revision: number;
  /** hardest effect among the changed keys; only on update, enable, disable */
  effect?: Effect;
  /** every changed key with its effect; with `effect` only */
  changes?: KeyChange[];
  nodes: NodeOutcome[];
  warnings: string[];
  confirm?: ConfirmView;
}

export interface EndpointView {
  endpoint: Endpoint;
  revision: number;
}

/** State of one endpoint on one node (docs/endpoints.md). */
export type EndpointState = 'starting' | 'running' | 'draining' | 'stopped' | 'failed';

/** The certificate that an endpoint presents. */
export interface CertificateStatus extends CertificateFacts {
  /** why the present content of its files is not in use; null when it is */
  refused: string | null;
}

export interface EndpointStatus {
  id: string;
  port: number;
  node: string;
  state: EndpointState;
  workers: number;
  connections: number;
  sessions: number;
  /** ISO 8601, null when not listening */
  listeningSince: string | null;
  runningRevision: number | null;
  desiredRevision: number;
  lastError: string | null;
  restarts: number;
  /** how many of its threads have had a blocked event loop for over 5 s */
  blockedWorkers: number;
  /** clients under disconnection; null when there are none. A removed endpoint stays listed until its last client has gone */
  draining: { total: number; left: number; until: string } | null;
  /** null: no TLS */
  certificate: CertificateStatus | null;
}

/** Result, or planned result, for one endpoint among several. */
export interface EndpointOutcome {
  id: string;
  port: number;
  action: 'added' | 'updated' | 'removed';
  effect: Effect;
}

/** Answer to a change of any number of endpoints in one revision. */
export interface SetAnswer {
  /** null for a dry run; the newest known revision when nothing changed */
  revision: number | null;
  /** without the endpoints that did not change */
  changes: EndpointOutcome[];
  nodes: NodeOutcome[];
  warnings: string[];
  confirm?: ConfirmView;
}

export interface RollbackAnswer extends SetAnswer {
  /** for a rollback of one endpoint: its new form; null when it is removed */
  endpoint?: Endpoint | null;
}

export interface ConfirmAnswer {
  revision: number;
  /** the endpoints that the revision had changed */
  endpoints: { id: string; port: number }[];
  nodes: NodeOutcome[];
  warnings: string[];
}

export interface ImportAnswer extends SetAnswer {
  added: number;
  updated: number;
  removed: number;
  /** endpoints that the file names and that already are as it says */
  unchanged: number;
}

export interface RestoreAnswer extends ImportAnswer {
  /** true when the node took over the history of the file, with its revisions */
  adopted: boolean;
}

/** The head of a file of endpoints. */
interface FileHead {
  /** version of the file's form: 1 */
  version: number;
  revision: number;
  /** form of the secrets in the file */
  secrets: 'none' | 'sealed' | 'masked' | 'clear';
  /** identifies the key that seals them */
  keyId?: string;
  note?: string;
  /** endpoints as in the answer of `list`, except for their secrets; sorted by port */
  configs: Record<string, unknown>[];
}

export interface ExportDocument extends FileHead {
  /** ISO 8601 */
  exportedAt: string;
}

/** A backup that is made while it is read. */
export interface BackupStream extends Omit<FileHead, 'configs' | 'version'> {
  /** a JSON object: kind, version, takenAt, node, revision, configs, history (oldest first), and the form of the secrets at its end */
  text: AsyncIterable<string>;
}

/** One changed key of a plan; `endpoint` is the id of its endpoint when the plan covers several. */
export interface PlannedChange extends KeyChange {
  endpoint?: string;
}

export interface PlanAnswer {
  changes: PlannedChange[];
  clientsAffected: number;
  warnings: string[];
  /** for a rollback or an import: the plan of each endpoint */
  endpoints?: (EndpointOutcome & { clientsAffected: number; changes: KeyChange[] })[];
}

export interface ValidateAnswer {
  valid: boolean;
  issues: Issue[];
  warnings: string[];
}

export interface PortCheck {
  port: number;
  available: boolean;
  nodes: { node: string; available: boolean; reason: string | null }[];
}

export interface ProbeResult {
  port: number;
  id: string;
  healthy: boolean;
  nodes: { node: string; healthy: boolean; reason: string | null; latencyMs: number | null }[];
}

/** One connected client. */
export interface ClientInfo extends Omit<WireClient, 'connectedAt'> {
  /** ISO 8601 */
  connectedAt: string;
}

/** Where a client is; `connected: false` with `session: true` is an offline session. */
export interface ClientLocation {
  clientId: string;
  namespace: string;
  connected: boolean;
  session: boolean;
  node: string;
  endpoint: string | null;
}

export interface HealthAnswer {
  /** `failed`: no client is served although endpoints are enabled; `degraded`: clients are served, but something else is wrong */
  status: 'ok' | 'degraded' | 'failed';
  node: string;
  version: string;
  uptimeSeconds: number;
  /** `refused`: the features that answer 503 while the store is away */
  store: { type: string; ok: boolean; reason: string | null; refused: string[] };
  /** whether messages, sessions and retained messages can be stored; `refused` and `lost` count since the start */
  messages: { ok: boolean; reason: string | null; refused: number; lost: number };
  /** null: a single node */
  nats: ClusterStatus['nats'] | null;
  endpoints: { total: number; running: number; failed: { id: string; port: number; reason: string }[] };
  /** worker threads replaced since the start */
  workerRestarts: number;
  /** names of threads whose event loop has stood still for over 5 s */
  blockedWorkers: string[];
  /** the start: time until every endpoint was tried once, endpoints written from the configuration file to an empty store, all endpoints */
  startup?: { durationMs: number; seeded: number; endpoints: number };
  /** the Node that runs the broker: its version, and the undocumented pieces that it lacks, each with what is used instead */
  runtime?: { version: string; lacking: { piece: string; instead: string }[] };
}

/** Numbers of one endpoint, summed over its workers, as `GET /api/endpoints/metrics` answers them (docs/metrics-and-logs.md). */
export interface EndpointMetrics {
  port: number;
  endpoint: string;
  timestamp: string;
  metrics: {
    connections: { current: number; max: number; rate: number; total: number };
    messages: {
      received: number;
      sent: number;
      dropped: number;
      droppedByReason: Record<string, number>;
      receivedRate: number;
      sentRate: number;
    };
    bytes: { received: number; sent: number };
    sessions: { current: number; max: number; persistent: number };
    subscriptions: { current: number };
    performance: {
      cpuUsage: number;
      memoryUsage: number;
      responseTime: Record<string, { count: number; sumSeconds: number; p50: number; p99: number }>;
    };
    errors: { rate: number; authFailed: number; aclDenied: number; protocolError: number; connectionErrors: number };
  };
}

/** The cluster as this node sees it. */
export interface ClusterStatus {
  name: string;
  node: string;
  /** false: a single node */
  enabled: boolean;
  nats: { connected: boolean; server: string | null; reason: string | null };
  store: { ok: boolean; reason: string | null };
  revision: number;
  /** revisions that another node has and this one lacks */
  lag: number;
  nodes: { total: number; up: number };
  /** every node that is up runs the newest revision */
  inStep: boolean;
  /** announcements and receipts since the start */
  sync: Record<string, number>;
}

/** A node of the cluster. */
export interface NodeView {
  name: string;
  /** new at each start of the node */
  incarnation: string;
  address: string;
  adminPort: number;
  version: string;
  /** ISO 8601 */
  upSince: string;
  /** ISO 8601 */
  lastSeen: string;
  state: 'up' | 'down';
  status: 'ok' | 'degraded' | 'failed';
  self: boolean;
  /** another node that is up has the same name */
  twin: boolean;
  revision: number;
  lag: number;
  store: { ok: boolean };
  /** ids of endpoints that do not run as the store says */
  failed: string[];
}

export interface ResourcesAnswer {
  cpu: { userSeconds: number; systemSeconds: number; percent: number };
  memory: {
    rssBytes: number;
    heapUsedBytes: number;
    externalBytes: number;
    /** memory that clients may use, and memory that they use */
    budgetBytes: number;
    heldBytes: number;
    /** of the machine or container */
    machineBytes: number;
    /** new clients and large packets are refused */
    isTight: boolean;
  };
  threads: {
    name: string;
    role: string;
    endpoints: string[];
    cpuPercent: number;
    heapUsedBytes: number;
    /** of the last 30 to 60 s */
    eventLoopLagMsP99: number;
    eventLoopLagMsMax: number;
    /** delays over 50 ms since the start of the thread */
    eventLoopBlocks: number;
  }[];
  node: string;
  pid: number;
}
