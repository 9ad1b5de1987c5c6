/** State shared by all clients of a worker, and state shared by the clients of one endpoint. */

import type { BanIndex } from '../../../../src/endpoint/bans/ban-index.ts';
import type { Logger } from '../../../../src/kernel/logger.ts';
import { type CounterName, SLOT } from '../../../../src/metrics/counters.ts';
import type { SharedLimits } from '../../../../src/metrics/shared-limits.ts';
import { Unlogged, UnloggedCauses } from '../../../../src/metrics/unlogged.ts';
import type { EndpointRuntimeConfig } from '../../../../src/thread/commands.ts';
import type { MemoryBudget } from '../../../../src/thread/memory-budget.ts';
import type { StoreState } from '../../../../src/thread/store-state.ts';
import type { Mesh } from '../../../shared/mesh/mesh.ts';
import type { Namespace } from '../../../shared/routing/namespace.ts';
import type { Router } from '../../../shared/routing/router.ts';
import type { SessionTable } from '../../../shared/table/session-table.ts';
import type { Authenticator } from '../../access/authenticator.ts';
import type { DurableBarrier } from '../../durable/durable-barrier.ts';
import type { Directory } from '../../identifiers/directory.ts';
import type { RetainedQueries } from '../../retained/queries.ts';
import type { HeldPublishes } from './held-publishes.ts';

/** One per worker. */
export interface WorkerContext {
  readonly mesh: Mesh;
  readonly router: Router;
  readonly table: SessionTable;
  readonly directory: Directory;
  readonly authenticator: Authenticator;
  readonly retained: RetainedQueries;
  /** who may not connect */
  readonly bans: BanIndex;
  /** counts connects */
  readonly flapping: { isOver(namespace: string, clientId: string): boolean };
  readonly barrier: DurableBarrier;
  /** whether messages can be stored */
  readonly store: StoreState;
  readonly logger: Logger;
  /** from `WorkerBoot`: the prefix of the client identifiers of this node's health checks */
  readonly probePrefix: string;
  /** memory that this thread may hold for its clients */
  readonly memory: MemoryBudget;
  /** clients that wait until the peers have caught up */
  readonly paused: Set<{ onPeersRelieved(): void }>;
  /** publishes of MQTT 3 clients that wait until messages can be stored */
  readonly held: HeldPublishes;
  /** half seconds since the worker started: cheaper to read than a clock, because the sweep advances it */
  tick: number;
}

/** An endpoint in one worker: configuration and counters. */
export class EndpointContext {
  config: EndpointRuntimeConfig;
  /** increases with each new configuration, which voids the cached decisions of clients */
  version = 1;
  readonly namespace: Namespace;
  #isTapped: boolean;
  readonly slots: Float64Array;
  readonly limits: SharedLimits;
  /** bytes of the node's memory that the endpoint's clients may hold; set by the sweep */
  shareBytes = Number.POSITIVE_INFINITY;
  /** true when the clients held more at the last sweep */
  wasOverShare = false;
  /** connections that did not begin with CONNECT */
  readonly strangers = new Unlogged();
  /** refused and disconnected clients whose bans are not logged yet */
  readonly banned = new UnloggedCauses();

  constructor(config: EndpointRuntimeConfig, namespace: Namespace, slots: Float64Array, limits: SharedLimits) {
    this.config = config;
    this.#isTapped = config.endpoint.wiretap;
    this.namespace = namespace;
    this.slots = slots;
    this.limits = limits;
  }

  /** true when every packet is logged */
  get isTapped(): boolean {
    return this.#isTapped;
  }

  get id(): string {
    return this.config.endpoint.id;
  }

  count(counter: CounterName, by = 1): void {
    this.slots[SLOT[counter]]! += by;
  }

  /** True while the clients hold more of the node's memory than one endpoint may. Other workers may have freed memory after the sweep. */
  get isOverShare(): boolean {
    return this.wasOverShare && this.limits.heldBytes > this.shareBytes;
  }

  update(config: EndpointRuntimeConfig): void {
    this.config = config;
    this.#isTapped = config.endpoint.wiretap;
    this.version++;
  }
}
