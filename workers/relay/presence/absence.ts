/**
 * Finds out that the process of a node has ended before its silence proves it (Timing.isDown): NATS drops the subscriptions of a connection
 * that closes, as all do at kill -9, and says that nobody listens. A node that is frozen or cut off keeps its subscriptions, and is waited for.
 */

import type { Presence } from '../../../src/bus/node-wire.ts';

/** A node that owes an acknowledgement is asked about after this silence, ms. */
const OWING_MS = 200;
/** Any other one is, ms: it sends something every 500 ms. */
const SILENT_MS = 600;
const ASK_MS = 100;
/** A node that has lost its NATS server is back at another one within this time, ms. */
const ABSENT_MS = 500;
/** Answers within that time. Fewer may mean that this process itself paused. */
const ABSENT_ANSWERS = 4;
/** NATS is believed when its servers have been the same for so long, ms; nodes that lost theirs may be looking for another one until then. */
const SETTLED_MS = 5_000;

export interface AbsencePorts {
  /** Steady time, ms. */
  now(): number;
  /** See Links.silences(). */
  silences(): Iterable<[node: string, silence: { ms: number; isOwing: boolean }]>;
  /** See NodeWire. */
  presence(node: string): Promise<Presence>;
  settledMs(): number;
  /** The process of this node has ended. */
  onEnded(node: string): void;
}

/** What NATS has said about a silent node. */
interface Inquiry {
  askedAt: number;
  isAsking: boolean;
  /** when the first of the present answers in a row was asked for that said `absent` */
  absentSince: number;
  answers: number;
}

export class Absence {
  readonly #ports: AbsencePorts;
  #inquiries = new Map<string, Inquiry>();

  constructor(ports: AbsencePorts) {
    this.#ports = ports;
  }

  /** To be called each 50 ms or so. */
  tick(): void {
    const { silences, settledMs, now } = this.#ports;
    const isSettled = settledMs() >= SETTLED_MS;
    const before = this.#inquiries;
    this.#inquiries = new Map();
    for (const [node, { ms, isOwing }] of silences()) {
      if (!isSettled || ms < (isOwing ? OWING_MS : SILENT_MS)) continue;
      const inquiry = before.get(node) ?? { askedAt: 0, isAsking: false, absentSince: 0, answers: 0 };
      this.#inquiries.set(node, inquiry);
      if (!inquiry.isAsking && now() - inquiry.askedAt >= ASK_MS) void this.#ask(node, inquiry);
    }
  }

  async #ask(node: string, inquiry: Inquiry): Promise<void> {
    const { presence, now, settledMs, onEnded } = this.#ports;
    inquiry.isAsking = true;
    inquiry.askedAt = now();
    const answer = await presence(node);
    inquiry.isAsking = false;
    // It has been heard in the meantime, or NATS has changed.
    if (this.#inquiries.get(node) !== inquiry) return;
    if (answer !== 'absent') {
      inquiry.answers = 0;
      return;
    }
    if (inquiry.answers++ === 0) inquiry.absentSince = inquiry.askedAt;
    if (inquiry.answers < ABSENT_ANSWERS || now() - inquiry.absentSince < ABSENT_MS || settledMs() < SETTLED_MS) return;
    this.#inquiries.delete(node);
    onEnded(node);
  }
}
