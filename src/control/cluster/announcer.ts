/** Tells the other nodes of a new revision, and collects what they made of it; answers the announcements of others. */

import { randomUUID } from 'node:crypto';
import type { Bus } from '../../bus/contract.ts';
import type { Subjects } from '../../bus/subjects.ts';
import type { NodeOutcome } from '../contract.ts';
import { Deadline } from '../deadline.ts';
import type { Announcement, NodeFacts, Receipt } from './contract.ts';
import type { Members } from './members.ts';
import { readAnnouncement, readReceipt } from './read-notice.ts';

/** Between two announcements of one revision, while a node has not answered. */
const REPEAT_MS = 500;
/** Announcements of others that wait for this node's listeners; the oldest is dropped, its sender says it again or reads the heartbeat. */
const OWED_MAX = 10_000;
/** An announcement is not answered any more after this long: nobody waits for it. */
const OWED_MS = 300_000;

export interface AnnouncerOptions {
  bus: Bus;
  subjects: Subjects;
  members: Members;
  /** who this node is */
  facts: () => NodeFacts;
  /** a notice is said again so often to nodes that have not answered */
  retryCount: number;
  /** What this node makes of a revision; null: it has not come to it yet. */
  outcomeOf: (announcement: Announcement) => Omit<NodeOutcome, 'node'> | null;
  /** A revision is announced that this node may not run yet. */
  onAnnounced: () => void;
}

/** Numbers of the cluster's sync, since the start. */
export interface SyncCounts {
  announced: number;
  repeated: number;
  heard: number;
  receiptsSent: number;
  receiptsHeard: number;
  /** nodes that had not answered when a change's time was over */
  receiptsMissed: number;
}

interface Waiting {
  receipts: Map<string, Receipt>;
  /** nodes that have not applied or failed */
  open: Set<string>;
  done: () => void;
}

export class Announcer {
  readonly counts: SyncCounts = { announced: 0, repeated: 0, heard: 0, receiptsSent: 0, receiptsHeard: 0, receiptsMissed: 0 };
  readonly #options: AnnouncerOptions;
  readonly #waiting = new Map<string, Waiting>();
  readonly #owed = new Map<string, { announcement: Announcement; until: number }>();

  constructor(options: AnnouncerOptions) {
    this.#options = options;
    const { bus, subjects } = options;
    bus.subscribe(subjects.announce, (body) => this.#heard(body));
    bus.subscribe(subjects.receipt, (body) => this.#receipt(body));
  }

  /**
   * Announces a revision and waits for the nodes that are up, at most `timeoutMs`; 0: does not wait.
   * @returns one outcome for each known node but this one, never fails: a node that was not reached is `pending`, and reads the store later
   */
  async announce(revision: number, ids: readonly string[], timeoutMs: number): Promise<NodeOutcome[]> {
    const { bus, subjects, members, facts, retryCount } = this.#options;
    const request = randomUUID();
    const notice: Announcement = { revision, ids, incarnation: facts().incarnation, request };
    const others = members.others();
    const waiting: Waiting = { receipts: new Map(), open: new Set(others.map(({ incarnation }) => incarnation)), done: () => {} };
    const answered = new Promise<void>((resolve) => {
      waiting.done = resolve;
    });
    this.#waiting.set(request, waiting);
    this.counts.announced++;
    const isSent = bus.publish(subjects.announce, notice);
    if (timeoutMs > 0 && isSent && waiting.open.size > 0) {
      let said = 0;
      const repeat = setInterval(() => {
        if (said++ >= retryCount) return clearInterval(repeat);
        this.counts.repeated++;
        bus.publish(subjects.announce, notice);
      }, REPEAT_MS);
      await new Deadline(timeoutMs).reaches(answered);
      clearInterval(repeat);
      this.counts.receiptsMissed += waiting.open.size;
    }
    this.#waiting.delete(request);
    const unreached = isSent ? 'it has not answered yet' : 'there is no connection to NATS: it follows when it reads the store';
    return [
      ...others.map((other): NodeOutcome => {
        const receipt = waiting.receipts.get(other.incarnation);
        if (receipt === undefined)
          return { node: other.name, state: 'pending', reason: timeoutMs === 0 && isSent ? 'not waited for' : unreached };
        return { node: other.name, state: receipt.state, reason: receipt.reason };
      }),
      ...members.missing().map(({ name }): NodeOutcome => ({ node: name, state: 'pending', reason: 'the node is down' })),
    ];
  }

  #heard(body: unknown): void {
    const announcement = readAnnouncement(body);
    if (announcement === null || announcement.incarnation === this.#options.facts().incarnation) return;
    this.counts.heard++;
    if (this.#owed.size >= OWED_MAX) this.#owed.delete(this.#owed.keys().next().value as string);
    this.#owed.set(announcement.request, { announcement, until: performance.now() + OWED_MS });
    this.#answer(announcement);
    if (this.#owed.has(announcement.request)) this.#options.onAnnounced();
  }

  /** A node has gone: nobody waits for it. */
  lost(incarnation: string): void {
    for (const waiting of this.#waiting.values()) {
      if (waiting.open.delete(incarnation) && waiting.open.size === 0) waiting.done();
    }
  }

  /** The listeners of this node have moved: answers what can be answered by now. */
  onReconciled(): void {
    const now = performance.now();
    for (const [request, { announcement, until }] of this.#owed) {
      if (until < now) this.#owed.delete(request);
      else this.#answer(announcement);
    }
  }

  /** An outcome that may still get better is told, and told again when it does. */
  #answer(announcement: Announcement): void {
    const { bus, subjects, facts, outcomeOf } = this.#options;
    const outcome = outcomeOf(announcement);
    if (outcome === null) return;
    const { name, incarnation } = facts();
    const receipt: Receipt = { request: announcement.request, incarnation, name, ...outcome };
    if (bus.publish(subjects.receipt, receipt)) this.counts.receiptsSent++;
    if (outcome.state !== 'pending') this.#owed.delete(announcement.request);
  }

  #receipt(body: unknown): void {
    const receipt = readReceipt(body);
    if (receipt === null) return;
    const waiting = this.#waiting.get(receipt.request);
    if (waiting === undefined || !(waiting.open.has(receipt.incarnation) || waiting.receipts.has(receipt.incarnation))) return;
    this.counts.receiptsHeard++;
    waiting.receipts.set(receipt.incarnation, receipt);
    if (receipt.state === 'pending') return;
    waiting.open.delete(receipt.incarnation);
    if (waiting.open.size === 0) waiting.done();
  }
}
