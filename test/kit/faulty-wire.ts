/**
 * A wire between nodes in virtual time that drops, doubles, delays, reorders and cuts, all by a seed: the transport below links in tests.
 * Nothing happens by itself: advance() moves the time on.
 */

import type { LinkTransport } from '../../src/link/transport.ts';

/** A small generator of numbers (mulberry32): 0 to 1, the same ones for a seed. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** How the wire treats each frame. */
export interface Faults {
  /** 0..1 */
  drop: number;
  /** 0..1 */
  double: number;
  /** 0..1: a frame that comes up to `lateMs` later */
  late: number;
  lateMs: number;
  /** delay of a healthy frame, at least 1 */
  delayMs: number;
  /** 0..1: send() refuses */
  refuse: number;
  /** limit of each node's output; 0: no limit */
  bytesPerMs: number;
}

export const HEALTHY: Readonly<Faults> = { drop: 0, double: 0, late: 0, lateMs: 0, delayMs: 1, refuse: 0, bytesPerMs: 0 };

interface Flight {
  at: number;
  order: number;
  from: string;
  to: string;
  frame: Buffer;
}

interface Port {
  onFrame: (node: string, frame: Uint8Array) => void;
  onState: (isConnected: boolean) => void;
  isConnected: boolean;
  isFrozen: boolean;
  /** time until which the node's output is busy */
  busyUntil: number;
  /** frames that came while the node was frozen */
  waiting: Flight[];
}

export class FaultyWire {
  faults: Faults = { ...HEALTHY };
  readonly #random: () => number;
  readonly #ports = new Map<string, Port>();
  #flights: Flight[] = [];
  #order = 0;
  #now = 1_000_000;

  constructor(random: () => number) {
    this.#random = random;
  }

  readonly now = (): number => this.#now;

  get underWay(): number {
    return this.#flights.length;
  }

  /** The wire's end at a node. A later end of the same name replaces the former, as a restarted process does, and gets the frames under way. */
  transport(node: string): LinkTransport {
    const port: Port = { onFrame: () => {}, onState: () => {}, isConnected: true, isFrozen: false, busyUntil: 0, waiting: [] };
    this.#ports.set(node, port);
    const isCurrent = () => this.#ports.get(node) === port;
    return {
      send: (to, frame) => isCurrent() && this.#send(port, node, to, frame),
      onFrame: (listener) => {
        port.onFrame = listener;
      },
      onState: (listener) => {
        port.onState = listener;
        listener(port.isConnected);
      },
      close: async () => {
        if (isCurrent()) this.#ports.delete(node);
      },
    };
  }

  /** Cuts a node off, or connects it again. Frames to a node that is cut off are lost. */
  connect(node: string, isConnected: boolean): void {
    const port = this.#ports.get(node);
    if (port === undefined || port.isConnected === isConnected) return;
    port.isConnected = isConnected;
    port.onState(isConnected);
  }

  /** A frozen node gets no frame until it thaws, and then all of them. Its owner must not tick it. */
  freeze(node: string, isFrozen: boolean): void {
    const port = this.#ports.get(node);
    if (port === undefined) return;
    port.isFrozen = isFrozen;
    if (!isFrozen) for (const { from, frame } of port.waiting.splice(0)) port.onFrame(from, frame);
  }

  /** Advances the time, and delivers the frames that are due. */
  advance(ms: number): void {
    this.#now += ms;
    const due = this.#flights.filter(({ at }) => at <= this.#now).sort((a, b) => a.at - b.at || a.order - b.order);
    this.#flights = this.#flights.filter(({ at }) => at > this.#now);
    for (const flight of due) this.#arrive(flight);
  }

  #arrive(flight: Flight): void {
    const port = this.#ports.get(flight.to);
    if (port?.isConnected !== true) return;
    if (port.isFrozen) port.waiting.push(flight);
    else port.onFrame(flight.from, flight.frame);
  }

  #send(port: Port, from: string, to: string, bytes: Uint8Array): boolean {
    const { drop, double, late, lateMs, delayMs, refuse, bytesPerMs } = this.faults;
    const random = this.#random;
    if (!port.isConnected || random() < refuse) return false;
    for (let copies = random() < double ? 2 : 1; copies > 0; copies--) {
      if (random() < drop) continue;
      const extra = random() < late ? random() * lateMs : 0;
      if (bytesPerMs > 0) port.busyUntil = Math.max(this.#now, port.busyUntil) + bytes.length / bytesPerMs;
      const at = Math.max(this.#now, port.busyUntil) + delayMs + extra;
      this.#flights.push({ at, order: this.#order++, from, to, frame: Buffer.from(bytes) });
    }
    return true;
  }
}
