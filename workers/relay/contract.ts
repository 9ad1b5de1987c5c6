/** The contract of the gateway: the workers of this node, the links to other nodes, and a clock. */

import type { Logger } from '../../src/kernel/logger.ts';
import type { LinkUser } from '../../src/link/contract.ts';
import type { Namespace } from '../shared/routing/namespace.ts';
import type { InterestNews } from '../shared/wire/controls.ts';
import type { LocalPeer } from './arrivals.ts';
import type { DepartureOrigin } from './kept/ledger.ts';
import type { HoldLimits } from './remote-node.ts';

/** A worker of this node, as the gateway sees it. */
export type Worker = LocalPeer & DepartureOrigin;

/** The workers of this node. */
export interface LocalSide {
  /** a namespace with the interest of the workers */
  namespace(name: string): Namespace;
  /** Resolves when all of them know the interest of other nodes. */
  announce(news: InterestNews): Promise<void>;
  /** Resolves when everything that these workers have routed so far has come to the relay; null: it has. */
  fence(workers: Iterable<number>): Promise<void> | null;
  readonly links: ReadonlyMap<number, Worker>;
  readonly isOverloaded: boolean;
}

/** The part of the links that the gateway uses. */
export interface NodeLinks {
  add(node: string, user: Omit<LinkUser, 'send'>): unknown;
  remove(node: string): void;
  restart(node: string, reason: string): void;
  write(node: string, lane: number, packet: Uint8Array): number | null;
  take(node: string, upTo: number): void;
}

export interface GatewayOptions {
  /** number of the relay among the peers of this node */
  self: number;
  /** number of this process, 1..2^32-1 */
  incarnation: number;
  hold: HoldLimits;
  /** messages of shared subscriptions go to connected members of this node first */
  prefersOwnMembers: boolean;
  local: LocalSide;
  links: NodeLinks;
  /** Steady time, ms. */
  now(): number;
  /** Runs once at the end of the present turn of the event loop, behind the posts to the workers. */
  soon(run: () => void): void;
  /** Every node that is up knows this node's interest, and the reverse. Called once. */
  onLinked(): void;
  logger: Logger;
}
