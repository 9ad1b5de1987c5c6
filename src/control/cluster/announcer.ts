/** Announces a new revision to the other nodes and collects their receipts; answers the announcements of others. */

import { randomUUID } from 'node:crypto';
import type { Bus } from '../../bus/bus.ts';
import type { Subjects } from '../../bus/subjects.ts';
import { BoundedMap } from '../../kernel/bounded-map.ts';
import { steadyNow } from '../../kernel/clock.ts';
import { Deadline } from '../../kernel/deadline.ts';
import type { SyncCounts } from '../../metrics/prometheus.ts';
import type { NodeOutcome } from '../contract/answers.ts';
import type { Members } from './members.ts';
import type { Announcement, NodeFacts, Receipt } from './notices.ts';
import { readAnnouncement, readReceipt } from './read-notice.ts';

/** Pause between two announcements of one revision while a receipt is missing, ms. */
const REPEAT_MS = 500;
/** A change stops waiting after this many announcements without a NATS connection. */
const AWAY_MAX = 4;
/** Most announcements that wait for this node's listeners. The oldest is evicted: its sender repeats it, or learns from the heartbeat. */
const OWED_MAX = 10_000;
/** An older announcement gets no receipt, because no change waits that long (ms). */
const OWED_MS = 300_000;

export interface AnnouncerOptions {
  bus: Bus;
  subjects: Subjects;
  members: Members;
  /** facts of this node */
  self: { readonly name: string; readonly incarnation: string };
  /** how often a notice is repeated to nodes that have not answered */
  retryCount: number;
  /** This node's receipt for a revision; null while it has not tried the revision. */
  outcomeOf: (announcement: Announcement) => Omit<NodeOutcome, 'node'> | null;
  /** Called for an announcement that this node may not know, or not run yet. */
  onAnnounced: (announcement: Announcement) => void;
}

/** The content of an announcement. */
export type News = Pick<Announcement, 'revision' | 'ids' | 'drain'>;

interface Waiting {
  news: News;
  /** by incarnation */
  outcomes: Map<string, Omit<NodeOutcome, 'node'>>;
  /** nodes without a final receipt */
  open: Set<string>;
  done: () => void;
}

export class Announcer {
  readonly counts: SyncCounts = { announced: 0, repeated: 0, heard: 0, receiptsSent: 0, receiptsHeard: 0, receiptsMissed: 0 };
  readonly #options: AnnouncerOptions;
  readonly #waiting = new Map<string, Waiting>();
  readonly #owed = new BoundedMap<string, { announcement: Announcement; until: number }>(OWED_MAX);

  constructor(options: AnnouncerOptions) {
    this.#options = options;
    const { bus, subjects } = options;
    bus.subscribe(subjects.announce, (body) => this.#heard(body));
    bus.subscribe(subjects.receipt, (body) => this.#receipt(body));
  }

  /**
   * Announces a revision and waits for the nodes that are up, at most `timeoutMs`; 0: does not wait.
   * @returns one outcome for each other known node. Never fails: an unreached node is `pending`, and reads the store later
   */
  async announce(news: News, timeoutMs: number): Promise<NodeOutcome[]> {
    const { bus, subjects, members, self } = this.#options;
    const request = randomUUID();
    const notice: Announcement = { ...news, incarnation: self.incarnation, request };
    const asked = members.others();
    const waiting: Waiting = { news, outcomes: new Map(), open: new Set(asked.map(({ incarnation }) => incarnation)), done: () => {} };
    const answered = new Promise<void>((resolve) => {
      waiting.done = resolve;
    });
    this.#waiting.set(request, waiting);
    this.counts.announced++;
    const isSent = bus.publish(subjects.announce, notice);
    if (timeoutMs > 0 && isSent && waiting.open.size > 0) {
      const repeating = this.#repeat(notice, waiting);
      await new Deadline(timeoutMs).reaches(answered);
      clearInterval(repeating);
      this.counts.receiptsMissed += waiting.open.size;
    }
    this.#waiting.delete(request);
    const unreached = bus.state.connected
      ? 'it has not answered yet'
      : 'there is no connection to NATS: the node follows when it reads the store';
    const reason = timeoutMs === 0 && isSent ? 'not waited for' : unreached;
    return this.#outcomes(asked, waiting, reason);
  }

  /** A node has gone: no change waits for it any more. */
  lost(incarnation: string): void {
    for (const waiting of this.#waiting.values()) {
      if (waiting.open.delete(incarnation) && waiting.open.size === 0) waiting.done();
    }
  }

  /** Takes a heartbeat as a receipt, because the receipt may be lost. */
  heartbeat({ incarnation, revision, failed }: NodeFacts): void {
    for (const waiting of this.#waiting.values()) {
      const { news, open, outcomes } = waiting;
      if (revision < news.revision || !open.delete(incarnation)) continue;
      const bad = news.ids.find((id) => failed.includes(id));
      outcomes.set(incarnation, {
        state: bad === undefined ? 'applied' : 'failed',
        reason: bad === undefined ? null : 'see the status of that node',
      });
      if (open.size === 0) waiting.done();
    }
  }

  /** The listeners of this node have moved: sends each receipt that is final now. */
  onReconciled(): void {
    const now = steadyNow();
    for (const [request, { announcement, until }] of this.#owed) {
      if (until < now) this.#owed.delete(request);
      else this.#answer(announcement);
    }
  }

  #repeat(notice: Announcement, waiting: Waiting): NodeJS.Timeout {
    const { bus, subjects, retryCount } = this.#options;
    let said = 0;
    let away = 0;
    return setInterval(() => {
      away = bus.state.connected ? 0 : away + 1;
      if (away >= AWAY_MAX) waiting.done();
      if (said >= retryCount || !bus.publish(subjects.announce, notice)) return;
      said++;
      this.counts.repeated++;
    }, REPEAT_MS);
  }

  /** Outcomes of the asked nodes and of nodes that are down. A restarted node replaces its former incarnation. */
  #outcomes(asked: NodeFacts[], { news, outcomes }: Waiting, unanswered: string): NodeOutcome[] {
    const { members } = this.#options;
    const now = new Map(members.others().map((facts) => [facts.incarnation, facts]));
    const names = new Set([...now.values()].map(({ name }) => name));
    const all = new Map([...asked.map((facts) => [facts.incarnation, facts] as const), ...now]);
    const listed = [...all.values()].filter(
      ({ name, incarnation }) => now.has(incarnation) || outcomes.has(incarnation) || !names.has(name),
    );
    const missing = members.missing().filter(({ incarnation }) => !all.has(incarnation));
    return [
      ...listed.map((facts): NodeOutcome => {
        const isThere = facts.revision >= news.revision && !news.ids.some((id) => facts.failed.includes(id));
        const known = outcomes.get(facts.incarnation) ?? (isThere ? { state: 'applied' as const, reason: null } : null);
        const reason = now.has(facts.incarnation) ? unanswered : 'the node is down';
        return { node: members.labelOf(facts), ...(known ?? { state: 'pending', reason }) };
      }),
      ...missing.map(({ name }): NodeOutcome => ({ node: name, state: 'pending', reason: 'the node is down' })),
    ];
  }

  #heard(body: unknown): void {
    const announcement = readAnnouncement(body);
    if (announcement === null || announcement.incarnation === this.#options.self.incarnation) return;
    this.counts.heard++;
    this.#owed.set(announcement.request, { announcement, until: steadyNow() + OWED_MS });
    this.#answer(announcement);
    if (this.#owed.has(announcement.request) || announcement.ids.length === 0) this.#options.onAnnounced(announcement);
  }

  /** Sends a pending receipt at once, and a final one later. */
  #answer(announcement: Announcement): void {
    const { bus, subjects, self, outcomeOf } = this.#options;
    const outcome = outcomeOf(announcement);
    if (outcome === null) return;
    const receipt: Receipt = { request: announcement.request, ...self, ...outcome };
    if (bus.publish(subjects.receipt, receipt)) this.counts.receiptsSent++;
    if (outcome.state !== 'pending') this.#owed.delete(announcement.request);
  }

  #receipt(body: unknown): void {
    const receipt = readReceipt(body);
    if (receipt === null) return;
    const { request, incarnation, state, reason } = receipt;
    const waiting = this.#waiting.get(request);
    if (waiting === undefined || !(waiting.open.has(incarnation) || waiting.outcomes.has(incarnation))) return;
    this.counts.receiptsHeard++;
    waiting.outcomes.set(incarnation, { state, reason });
    if (state === 'pending') return;
    waiting.open.delete(incarnation);
    if (waiting.open.size === 0) waiting.done();
  }
}
