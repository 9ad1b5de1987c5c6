/** The links of a node to all others over one transport, with the timers that they need. */

import type { LinkOptions, LinkState, LinkUser } from './contract.ts';
import type { LinkCounts } from './counts.ts';
import { Link } from './link.ts';
import type { LinkTransport } from './transport.ts';

const TICK_MS = 20;

/** Timers by parameter, so that a test decides when time passes. */
export interface LinkTimers {
  /** @returns ends the repetition */
  every(ms: number, run: () => void): () => void;
  /** Runs once at the end of the present turn of the event loop. */
  soon(run: () => void): void;
}

export const PROCESS_TIMERS: LinkTimers = {
  every: (ms, run) => {
    const timer = setInterval(run, ms);
    return () => clearInterval(timer);
  },
  soon: (run) => void setImmediate(run),
};

export class Links {
  readonly #transport: LinkTransport;
  readonly #options: LinkOptions;
  readonly #timers: LinkTimers;
  readonly #links = new Map<string, Link>();
  /** links with something to send at the end of the turn */
  readonly #touched = new Set<Link>();
  readonly #stopTicks: () => void;
  #isConnected = false;
  #strangers = 0;
  #isClosed = false;

  /** The transport becomes part of this object: close() closes it. */
  constructor(transport: LinkTransport, options: LinkOptions, timers: LinkTimers = PROCESS_TIMERS) {
    this.#transport = transport;
    this.#options = options;
    this.#timers = timers;
    transport.onFrame((node, frame) => this.#heard(node, frame));
    transport.onState((isConnected) => {
      this.#isConnected = isConnected;
      for (const link of this.#links.values()) link.connected(isConnected);
    });
    this.#stopTicks = timers.every(TICK_MS, () => {
      for (const link of this.#links.values()) link.tick();
    });
  }

  /** Frames of nodes without a link. */
  get strangers(): number {
    return this.#strangers;
  }

  /** Greets another node from now on. @throws Error when there is such a link */
  add(node: string, hooks: Omit<LinkUser, 'send'>): Link {
    if (this.#isClosed || this.#links.has(node)) throw new Error(`a link to ${node} exists already, or the links are closed`);
    const link = new Link(this.#options, {
      send: (frame) => this.#transport.send(node, frame),
      up: (incarnation) => hooks.up(incarnation),
      down: (reason, unacknowledged) => hooks.down(reason, unacknowledged),
      deliver: (lane, packet, number) => hooks.deliver(lane, packet, number),
      acked: (lane, count) => hooks.acked(lane, count),
      room: () => hooks.room(),
    });
    this.#links.set(node, link);
    link.connected(this.#isConnected);
    return link;
  }

  /** See Link.write(); packets of one turn leave together at its end. @returns null also without such a link */
  write(node: string, lane: number, packet: Uint8Array): number | null {
    const link = this.#links.get(node);
    if (link === undefined) return null;
    const room = link.write(lane, packet);
    if (room !== null) this.#touch(link);
    return room;
  }

  /** See Link.take(). */
  take(node: string, upTo: number): void {
    const link = this.#links.get(node);
    if (link === undefined) return;
    link.take(upTo);
    this.#touch(link);
  }

  /** See Link.restart(). */
  restart(node: string, reason: string): void {
    this.#links.get(node)?.restart(reason);
  }

  /** See Link.silence: by node, while a session is up. */
  *silences(): IterableIterator<[node: string, silence: { ms: number; isOwing: boolean }]> {
    for (const [node, { silence }] of this.#links) if (silence !== null) yield [node, silence];
  }

  /** The counts and the state of the link to a node; null without such a link. */
  report(node: string): { state: LinkState; counts: LinkCounts } | null {
    const link = this.#links.get(node);
    return link === undefined ? null : { state: link.state, counts: link.counts };
  }

  /** Says goodbye to a node. */
  remove(node: string): void {
    this.#links.get(node)?.close();
    this.#links.delete(node);
  }

  /** Says goodbye to all. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#stopTicks();
    for (const node of [...this.#links.keys()]) this.remove(node);
    await this.#transport.close();
  }

  #heard(node: string, frame: Uint8Array): void {
    const link = this.#links.get(node);
    if (link === undefined) {
      this.#strangers++;
      return;
    }
    link.heard(frame);
    this.#touch(link);
  }

  #touch(link: Link): void {
    if (this.#touched.size === 0) this.#timers.soon(() => this.#flush());
    this.#touched.add(link);
  }

  #flush(): void {
    const touched = [...this.#touched];
    this.#touched.clear();
    for (const link of touched) link.flush();
  }
}
