/** The reads about every node of the cluster; a single node is all of its cluster. */

import type { ClusterStatus, EndpointStatus, NodeView, PortCheck, ProbeResult } from './answers.ts';

export interface ClusterReads {
  /** the cluster as this node sees it */
  overview(): ClusterStatus;
  /** this node and all nodes that it knows */
  nodes(): NodeView[];
  /** status of all endpoints, or of the one on `port`, on every node that answers; this node first */
  statusEverywhere(port?: number): Promise<EndpointStatus[]>;
  /** Binds the port on every node. @param host `0.0.0.0` by default */
  checkPort(port: number, host?: string): Promise<PortCheck>;
  /** Connects with MQTT to the endpoints of every node. @throws FluxError `not-found` */
  probe(port?: number): Promise<ProbeResult[]>;
}
