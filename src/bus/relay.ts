/** Plain data between main and the relay, the thread that carries messages between nodes. */

import type { LinkState } from '../link/contract.ts';
import type { BusSettings } from './settings.ts';

/** Version of the protocol between relays. Nodes with different versions share configuration only. */
export const RELAY_VERSION = 2;

/** Number of a process among all of its cluster, 1..2^32-1. @param incarnation name of the process, from a heartbeat: any text */
export function processNumber(incarnation: string): number {
  let number = 0;
  for (let i = 0; i < incarnation.length; i++) number = (Math.imul(number, 31) + incarnation.charCodeAt(i)) >>> 0;
  return number === 0 ? 1 : number;
}

/** `even`: a shared subscription gives its messages to all connected members in turns; `local`: those of the publisher's node come first. */
export type SharedPreference = 'even' | 'local';

/** The settings of a relay. */
export interface RelayBoot {
  bus: BusSettings;
  /** first word of the subjects */
  cluster: string;
  /** of this process, 1..2^32-1: a frame of another process with the name of its node is not heard */
  incarnation: number;
  /** limits of the messages that are kept for an absent node */
  hold: { bytes: number; messages: number };
  /** the members of a shared subscription that come first: all connected members, or those of this node */
  sharedSubscriptions: SharedPreference;
  /** how long another node may be down before its clients' wills are published, ms */
  willGraceMs: number;
}

/** Another node that carries messages. */
export interface RelayedNode {
  name: string;
  /** of its process, as in RelayBoot */
  incarnation: number;
  /** main gets heartbeats of the node */
  isUp: boolean;
}

/** Messages to and from one other node since the relay started. */
export interface RelayedNodeReport {
  name: string;
  /** `greeting`: no session of the link is up */
  state: LinkState;
  /** smoothed round trip, ms; 0: not known */
  rttMs: number;
  /** main gets heartbeats of the node */
  isUp: boolean;
  /** publishers and subscribers of this node wait for the other node */
  isAwaited: boolean;
  /** this node has the retained messages that the other node had when the link began */
  isCompared: boolean;
  /** filters and groups that the node wants */
  interest: number;
  /** messages that the node has taken */
  delivered: number;
  /** messages that the node has not taken, and their bytes */
  waiting: number;
  waitingBytes: number;
  /** messages that the node did not get, by reason */
  lost: Record<string, number>;
  framesSent: number;
  framesResent: number;
  framesReceived: number;
  bytesSent: number;
  bytesReceived: number;
  /** unreadable packets from the node */
  invalid: number;
}

/** The report of this node's relay. */
export interface RelayReport {
  isConnected: boolean;
  /** without a connection for so long that this node works alone */
  isIsolated: boolean;
  isLinked: boolean;
  /** filters and groups that this node announces */
  ownInterest: number;
  /** messages of other nodes given to workers of this node */
  received: number;
  /** QoS 0 messages of other nodes that a worker of this node was too far behind for */
  receivedDropped: number;
  /** messages that publishers of this node wait for */
  unacknowledged: number;
  /** messages that came back because a shared subscription had lost its members, and for which it has none on any node */
  orphaned: number;
  /** messages of shared subscriptions at members elsewhere that are not settled */
  unsettled: number;
  /** such messages that are not kept for other members, because too many wait, or because a relay has ended */
  unkept: number;
  /** such messages that another member has got, because the first one's node or thread died */
  rerouted: number;
  /** frames of processes that main does not know */
  strangers: number;
  nodes: RelayedNodeReport[];
}
