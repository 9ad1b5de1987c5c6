/** The answers of the admin API, as far as the command line reads them (docs/admin-api.md). */

/** An endpoint in an answer, with every key (docs/endpoints.md) and masked secrets. */
export interface PublicEndpoint {
  id: string;
  port: number;
  host: string;
  useWebsocket: boolean;
  enableAuth: boolean;
  namespace: string;
  maxConnectionSize: number;
  serverOptions: { workerGroupSize: number | 'auto' };
  sessionPersistence: boolean;
  enabled: boolean;
  isDefault: boolean;
  sslConfig?: Record<string, unknown> | null;
  [key: string]: unknown;
}

export interface ListAnswer {
  endpoints: Record<string, PublicEndpoint>;
  activePorts: number[];
}

export interface GetAnswer {
  endpoint: PublicEndpoint;
  revision: number;
}

export interface StatusRow {
  id: string;
  port: number;
  node: string;
  state: string;
  workers: number;
  connections: number;
  sessions: number;
  listeningSince: string | null;
  runningRevision: number | null;
  desiredRevision: number;
  lastError: string | null;
  /** `refused`: the reason why changed certificate files are not used */
  certificate: { refused: string | null } | null;
}

export interface KeyChange {
  path: string;
  from: unknown;
  to: unknown;
  effect?: string;
  secret?: boolean;
}

export interface NodeOutcome {
  node: string;
  state: string;
  reason: string | null;
}

/** A change under `?confirmWithin=`. */
export interface Confirm {
  revision: number;
  /** ISO 8601 */
  until: string;
}

export interface ChangeAnswer {
  endpoint: PublicEndpoint;
  revision: number;
  effect?: string;
  nodes: NodeOutcome[];
  warnings: string[];
  confirm?: Confirm;
}

/** The actual or planned change of one endpoint among several. */
export interface EndpointChange {
  id: string;
  port: number;
  action: 'added' | 'updated' | 'removed';
  effect?: string;
  clientsAffected?: number;
  changes?: KeyChange[];
}

export interface PlanAnswer {
  changes: KeyChange[];
  clientsAffected: number;
  warnings: string[];
  /** for a rollback or an import */
  endpoints?: EndpointChange[];
}

export interface RollbackAnswer {
  revision: number | null;
  changes: EndpointChange[];
  nodes: NodeOutcome[];
  warnings: string[];
  confirm?: Confirm;
}

export interface ImportAnswer extends RollbackAnswer {
  added: number;
  updated: number;
  removed: number;
  unchanged: number;
  /** for a restore: whether the store took the history too */
  adopted?: boolean;
}

export interface ConfirmAnswer {
  revision: number;
  endpoints: { id: string; port: number }[];
  nodes: NodeOutcome[];
  warnings: string[];
}

export interface HistoryRow {
  revision: number;
  action: string;
  port: number;
  id: string;
  actor: string;
  source: string;
  node: string;
  /** ISO 8601 */
  at: string;
  reason: string | null;
  before: PublicEndpoint | null;
  after: PublicEndpoint | null;
  diff: KeyChange[];
}
