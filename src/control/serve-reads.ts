/** Answers reads of this node from the configuration in memory, the listeners, the store and the monitor. */

import type { EndpointStore, StoredEndpoint } from '../storage/endpoint-store.ts';
import type { ListeningParts } from './compose-listening.ts';
import type { ReportParts } from './compose-report.ts';
import type { EndpointView, HealthAnswer } from './contract/answers.ts';
import type { NodeReads } from './contract/node-reads.ts';
import { type AccessOfNode, testAcl } from './report/acl-test.ts';

export interface ServeReadsOptions {
  node: string;
  version: string;
  store: EndpointStore;
  /** authenticators and rules of endpoints without their own */
  access: Pick<AccessOfNode, 'acl' | 'auth'>;
  startup: NonNullable<HealthAnswer['startup']>;
}

export function serveReads(
  { node, version, store, access, startup }: ServeReadsOptions,
  { desired, supervisors, directory }: ListeningParts,
  { monitor }: ReportParts,
): NodeReads {
  return {
    node,
    version,
    list: () => desired.list().map(toView),
    revision: () => desired.revision,
    activePorts: () =>
      desired
        .list()
        .flatMap(({ endpoint: { id, port, enabled } }) => (enabled && supervisors.peek(id)?.listensOn(port) === true ? [port] : [])),
    get: (key) => toView(desired.find(key)),
    status: (port) => monitor.status(port),
    metrics: (port) => monitor.metrics(port),
    prometheus: (port) => monitor.prometheus(port),
    history: (query) => store.history(query),
    health: () => monitor.health(startup),
    resources: () => monitor.resources(),
    testAcl: (key, test) =>
      testAcl(desired.find(key).endpoint, { auth: access.auth, acl: access.acl, findUser: (id) => directory.get(id)?.user ?? null }, test),
  };
}

function toView({ endpoint, revision }: StoredEndpoint): EndpointView {
  return { endpoint, revision };
}
