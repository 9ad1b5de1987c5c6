/** The answers of the control plane to the admin API. */

import type { Confirm, NodeOutcome, SetAnswer } from '../../answers/changes.ts';
import type { EndpointStatus } from '../../answers/endpoints.ts';
import type { Effect, Endpoint, KeyChange } from '../../endpoint/endpoint.ts';

export type {
  Confirm as ConfirmView,
  ConfirmAnswer,
  EndpointOutcome,
  ImportAnswer,
  NodeOutcome,
  PlanAnswer,
  RestoreAnswer,
  SetAnswer,
  ValidateAnswer,
} from '../../answers/changes.ts';
export type { EndpointMetrics, EndpointStatus, PortCheck, ProbeResult } from '../../answers/endpoints.ts';
export type {
  AclVerdict,
  ClientInfo,
  ClientLocation,
  ClientsAnswer,
  ClusterStatus,
  HealthAnswer,
  NodeView,
  ResourcesAnswer,
} from '../../answers/node.ts';

export interface ChangeAnswer {
  endpoint: Endpoint;
  revision: number;
  /** hardest effect among the changed keys; only on update, enable, disable */
  effect?: Effect;
  /** every changed key with its effect; with `effect` only */
  changes?: KeyChange[];
  nodes: NodeOutcome[];
  warnings: string[];
  confirm?: Confirm | undefined;
}

export interface EndpointView {
  endpoint: Endpoint;
  revision: number;
}

/** State of one endpoint on one node (docs/endpoints.md). */
export type EndpointState = EndpointStatus['state'];

/** The certificate that an endpoint presents. */
export type CertificateStatus = NonNullable<EndpointStatus['certificate']>;

export interface RollbackAnswer extends SetAnswer {
  /** for a rollback of one endpoint: its new form; null when it is removed */
  endpoint?: Endpoint | null;
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
