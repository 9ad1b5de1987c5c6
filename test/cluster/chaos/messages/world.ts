/** What the clients of a run share: the nodes, the port, the trace, chance, and whether the nodes are whole now. */

import type { ChaosNode } from '../field.ts';
import type { Trace } from './trace.ts';

export interface World {
  readonly nodes: readonly ChaosNode[];
  /** of the endpoint whose sessions are on disk, the same on all nodes */
  readonly port: number;
  readonly trace: Trace;
  readonly random: () => number;
  readonly calm: Calm;
  /** publishers of counted messages, by name */
  readonly publishers: Map<string, Counted>;
}

/** What a subscriber must know about the publisher of a message. */
export interface Counted {
  readonly name: string;
  /** first level of its topic */
  readonly folder: string;
  readonly qos: 0 | 1 | 2;
  /** messages sent so far */
  readonly sent: number;
  /** moments by message number; `ackedAt` is 0 before the acknowledgement */
  readonly log: readonly Sent[];
}

export interface Sent {
  sentAt: number;
  ackedAt: number;
  /** true when the publisher's node or thread died before it had acknowledged: the message may come twice */
  isDoubtful: boolean;
}

/** Whether all nodes are linked with one another. Every harm that may part nodes is announced here. */
export class Calm {
  /** grows with each harm that begins */
  epoch = 0;
  /** session moves under way: a freeze or cut of the third node may lose messages then (docs/cluster.md) */
  hops = 0;
  readonly #spans: { began: number; ended: number }[] = [];
  readonly #open = new Set<object>();
  readonly #deaths: { began: number; ended: number }[] = [];

  get isCalm(): boolean {
    return this.#open.size === 0;
  }

  /** A harm begins. @returns its end, to be called when all nodes are linked again */
  begin(): () => void {
    this.epoch++;
    const span = { began: performance.now(), ended: Number.POSITIVE_INFINITY };
    this.#spans.push(span);
    this.#open.add(span);
    return () => {
      span.ended = performance.now();
      this.#open.delete(span);
    };
  }

  /** A thread dies. @returns to be called when its successor works */
  threadDies(): () => void {
    const span = { began: performance.now(), ended: Number.POSITIVE_INFINITY };
    this.#deaths.push(span);
    return () => {
      span.ended = performance.now();
    };
  }

  /** True when a thread that serves clients or keeps sessions was dead at some moment between these two. */
  hadDeath(from: number, to: number): boolean {
    return this.#deaths.some(({ began, ended }) => began <= to && ended >= from);
  }

  /** True when nodes were parted at some moment between these two. */
  wasHarmed(from: number, to: number): boolean {
    return this.#spans.some(({ began, ended }) => began <= to && ended >= from);
  }
}

export function pick<T>(list: readonly T[], random: () => number): T {
  return list[Math.floor(random() * list.length)]!;
}
