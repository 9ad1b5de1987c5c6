/** The reads that this node answers by itself: its configuration, states and numbers. */

import type { AclRequest } from '../../endpoint/access/rules/authoriser.ts';
import type { HistoryQuery, HistoryRow } from '../../storage/endpoint-store.ts';
import type { AclVerdict, EndpointMetrics, EndpointStatus, EndpointView, HealthAnswer, ResourcesAnswer } from './answers.ts';
import type { EndpointKey } from './request-parts.ts';

/** A request that a client could make. */
export interface AclTest extends AclRequest {
  readonly clientId: string;
  /** null: the client has no user */
  readonly username: string | null;
  /** address of the client */
  readonly ip: string;
  /** beside those that the user has in the store */
  readonly groups: readonly string[];
  /** of the client's certificate; null: there is none */
  readonly certCommonName: string | null;
}

export interface NodeReads {
  readonly node: string;
  readonly version: string;
  list(): EndpointView[];
  /** newest revision of the whole configuration that this node knows; the ETag of the list (a removal moves it too) */
  revision(): number;
  /** ports that are listening now on this node */
  activePorts(): number[];
  /** @throws FluxError `not-found` */
  get(key: EndpointKey): EndpointView;
  /** all endpoints without `port`, on this node */
  status(port?: number): EndpointStatus[];
  metrics(port?: number): Promise<EndpointMetrics[]>;
  /** Prometheus text, in pieces that are made while they are read: with `port` of one endpoint, else of the whole node with process metrics */
  prometheus(port?: number): Promise<Iterable<string>>;
  /** @throws FluxError `unavailable` */
  history(query: HistoryQuery): Promise<HistoryRow[]>;
  health(): HealthAnswer;
  resources(): Promise<ResourcesAnswer>;
  /** @throws FluxError `not-found` */
  testAcl(key: EndpointKey, test: AclTest): AclVerdict;
}
