/** Third part of the control plane: reports about the node, its clients and its cluster. */

import { Alone } from './cluster/alone.ts';
import { NodeProbes } from './cluster/node-probes.ts';
import { Nodes } from './cluster/nodes.ts';
import type { ChangeParts } from './compose-changes.ts';
import type { ListeningParts } from './compose-listening.ts';
import type { ControlOptions } from './control-options.ts';
import { Monitor } from './report/monitor.ts';
import { SystemTopics } from './report/system-topics.ts';
import { WatchHub } from './report/watch-hub.ts';
import { Watchdog } from './workers/watchdog.ts';

export interface ReportParts {
  hub: WatchHub;
  systemTopics: SystemTopics;
  watchdog: Watchdog;
  monitor: Monitor;
  nodes: Nodes;
}

export function composeReport(
  options: ControlOptions,
  listening: ListeningParts,
  { facts, cluster, keeper, audit, clients }: ChangeParts,
): ReportParts {
  const { settings, version, logger, linesLost } = options;
  const { probePrefix, threads, collector, desired, supervisors, driver, reconciler, certificates, follower, bans, nodeAccess } = listening;
  const node = settings.node.name;
  const hub = watchEvents(new WatchHub(node), listening, cluster);
  const systemTopics = new SystemTopics({ version, desired, collector, clients, logger });
  const watchdog = new Watchdog({
    workers: () => threads.workers,
    isReplaceable: (worker) => supervisors.isReplaceable(worker),
    logger,
  });
  const monitor = new Monitor({
    node,
    version,
    storeType: settings.store.storeType,
    desired,
    supervisors,
    reconciler,
    threads,
    watchdog,
    hub,
    collector,
    clients,
    certificates,
    cluster,
    keeper,
    logger,
    linesLost,
    auditLost: () => audit.lost,
  });
  const probes = new NodeProbes(desired, supervisors, driver, probePrefix);
  const view = cluster ?? new Alone(facts, desired);
  const nodes = new Nodes({
    node,
    probes,
    ownStatus: (port) => monitor.status(port),
    clients,
    cluster,
    view,
    learn: async (revision) => {
      await follower.reach(revision);
      await Promise.all([bans.obeyed(), nodeAccess.obeyed()]);
    },
  });
  return { hub, systemTopics, watchdog, monitor, nodes };
}

/** The events of the HTTP watch; in a cluster NATS carries them too, with the result of each change. */
function watchEvents(hub: WatchHub, { desired, supervisors }: ListeningParts, cluster: ChangeParts['cluster']): WatchHub {
  desired.changed.subscribe(() => hub.configured(desired.list(), desired.revision));
  supervisors.changed.subscribe((supervisor) => hub.look(supervisor));
  supervisors.dropped.subscribe((id) => hub.forget(id));
  if (cluster === null) return hub;
  const { events } = cluster;
  supervisors.changed.subscribe((supervisor) => events.look(supervisor.id));
  hub.subscribe(null, { onEvent: (event) => events.watched(event), onEnd: () => {} });
  return hub;
}
