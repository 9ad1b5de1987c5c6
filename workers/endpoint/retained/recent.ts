/**
 * RETAIN publishes that passed through a worker while subscribers read retained messages: these are newer than a page, and delivered already.
 */

import { isForeign, type Message } from '../../shared/messages/message.ts';
import { isNewer } from '../../shared/messages/stamp.ts';

/** Limit of remembered topics. Above this limit all are dropped, and the readers request their pages again. */
const TOPICS_MAX = 100_000;

/** The recent retained messages of one namespace. */
export class RecentRetained {
  readonly #topics = new Map<string, { at: number; message: Pick<Message, 'source' | 'serial' | 'stamp'> }>();
  readonly #topicsMax: number;
  #last = 0;
  /** increases when all topics are dropped */
  epoch = 0;
  readers = 0;

  constructor(topicsMax = TOPICS_MAX) {
    this.#topicsMax = topicsMax;
  }

  /** Number of the last message. */
  get last(): number {
    return this.#last;
  }

  /** A retained publish has passed. @returns false: everything before was forgotten */
  note(message: Message): void {
    if (this.#topics.size >= this.#topicsMax && !this.#topics.has(message.topic)) {
      this.#topics.clear();
      this.epoch++;
    }
    const { source, serial, stamp } = message;
    this.#topics.set(message.topic, { at: ++this.#last, message: { source, serial, stamp } });
  }

  /**
   * True when a reader has had this message or a newer one. `beganAt`: the reader began to see the topic; since `askedAt` it sees every
   * message. Between the two it may have missed messages, so only this very message counts there.
   */
  isOvertaken(message: Message, beganAt: number, askedAt: number): boolean {
    if (this.#last === beganAt) return false;
    const newest = this.#topics.get(message.topic);
    if (newest === undefined) return false;
    const { source, serial, stamp } = newest.message;
    if (newest.at > beganAt && source === message.source && serial === message.serial) return true;
    if (newest.at <= askedAt) return false;
    // Two nodes may publish to one topic: the last arrival is not always the newest message.
    return !(isForeign(newest.message) || isForeign(message)) || !isNewer(message.stamp, stamp);
  }
}
