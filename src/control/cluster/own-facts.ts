/** A node's description of itself, in a cluster or alone, and its form in answers. */

import { RELAY_VERSION } from '../../bus/relay.ts';
import { wallNow } from '../../kernel/clock.ts';
import type { NodeView } from '../contract/answers.ts';
import type { EndpointSupervisors } from '../listening/endpoint-supervisors.ts';
import type { Reconciler } from '../listening/reconciler.ts';
import type { DesiredState } from '../state/desired-state.ts';
import type { ClusterMember, NodeFacts } from './notices.ts';

/** Most failed endpoints that a heartbeat names: it must fit into one NATS message. */
const FAILED_MAX = 1_000;

export interface OwnFactsOptions {
  /** name of this process, made anew at each start */
  incarnation: string;
  /** true when messages cross to and from this node */
  carriesMessages: boolean;
  node: string;
  version: string;
  /** address announced to the other nodes */
  address: string;
  desired: DesiredState;
  supervisors: EndpointSupervisors;
  reconciler: Reconciler;
}

export class OwnFacts {
  readonly incarnation: string;
  /** Port of the admin API. */
  adminPort = 0;
  readonly #options: OwnFactsOptions;
  readonly #upSince = wallNow();

  constructor(options: OwnFactsOptions) {
    this.#options = options;
    this.incarnation = options.incarnation;
  }

  /** The current facts. */
  read(): NodeFacts {
    const { node, address, version, desired, supervisors, reconciler, carriesMessages } = this.#options;
    const ids = desired.all().map(({ endpoint }) => endpoint.id);
    const failed = ids.filter((id) => supervisors.peek(id)?.state === 'failed' || reconciler.problemOf(id) !== null);
    const storeOk = desired.storeError === null;
    return {
      name: node,
      incarnation: this.incarnation,
      address,
      adminPort: this.adminPort,
      version,
      upSince: this.#upSince,
      revision: reconciler.reached,
      known: desired.revision,
      status: storeOk && failed.length === 0 ? 'ok' : 'degraded',
      storeOk,
      failed: failed.slice(0, FAILED_MAX),
      messages: carriesMessages ? RELAY_VERSION : 0,
    };
  }
}

/** @param newest the newest revision that any node knows */
export function toNodeView(member: ClusterMember, newest: number): NodeView {
  return {
    name: member.name,
    incarnation: member.incarnation,
    address: member.address,
    adminPort: member.adminPort,
    version: member.version,
    upSince: new Date(member.upSince).toISOString(),
    lastSeen: new Date(member.lastSeen).toISOString(),
    state: member.isUp ? 'up' : 'down',
    status: member.status,
    self: member.isSelf,
    twin: member.isTwin,
    revision: member.revision,
    lag: newest - member.revision,
    store: { ok: member.storeOk },
    failed: [...member.failed],
    carriesMessages: member.messages > 0,
  };
}
