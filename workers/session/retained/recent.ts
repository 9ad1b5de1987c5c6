/** Retained messages that passed through a worker while subscribers read what is retained: what the worker has delivered is newer than a page. */

import type { Message } from '../../routing/message.ts';

/** Topics that are remembered; with more, all are forgotten, and pages that readers hold are asked for anew. */
const TOPICS_MAX = 100_000;

/** Of one namespace. */
export class RecentRetained {
  readonly #topics = new Map<string, { at: number; identity: string }>();
  readonly #topicsMax: number;
  #last = 0;
  /** moves when everything was forgotten */
  epoch = 0;
  readers = 0;

  constructor(topicsMax = TOPICS_MAX) {
    this.#topicsMax = topicsMax;
  }

  /** The number of the last message. */
  get last(): number {
    return this.#last;
  }

  /** A retained publish has passed. @returns false: everything before was forgotten */
  note(message: Message): void {
    if (this.#topics.size >= this.#topicsMax && !this.#topics.has(message.topic)) {
      this.#topics.clear();
      this.epoch++;
    }
    this.#topics.set(message.topic, { at: ++this.#last, identity: identity(message) });
  }

  /**
   * A reader that began to hear the topic at `beganAt`, and hears everything since `askedAt`, has had this message or a newer one. In between it may
   * have missed some: only the very message counts.
   */
  isOvertaken(message: Message, beganAt: number, askedAt: number): boolean {
    if (this.#last === beganAt) return false;
    const newest = this.#topics.get(message.topic);
    if (newest === undefined) return false;
    return newest.at > askedAt || (newest.at > beganAt && newest.identity === identity(message));
  }
}

function identity({ source, serial }: Message): string {
  return `${source}:${serial}`;
}
