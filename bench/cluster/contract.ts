/** A scenario of the cluster. */

import type { Options } from '../options.ts';
import type { Figure } from './figures.ts';
import type { ClusterPeer } from './peers/cluster-peer.ts';

export interface ClusterContext {
  options: Options;
  /** folder for files of the brokers */
  dir: string;
  /** the brokers that are on this machine, fluxmq first */
  peers: readonly ClusterPeer[];
  add(figure: Figure): void;
  /** Runs `work` for a broker; an error becomes a refusal. */
  attempt(peer: ClusterPeer, work: () => Promise<void>): Promise<void>;
  say(text: string): void;
}

export interface ClusterScenario {
  name: string;
  title: string;
  run(context: ClusterContext): Promise<void>;
}
