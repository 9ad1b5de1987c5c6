/** Sends the acknowledgements of one client in the order of its publishes [MQTT-4.6.0-2, MQTT-4.6.0-3]. */

import { Fifo } from '../../../../src/kernel/fifo.ts';

/** The place of one acknowledgement in the order. */
export interface AnswerPlace {
  /** sends the acknowledgement; null: its message is not stored yet */
  send: (() => void) | null;
}

/** The client's receive window bounds the number of places. */
export class Answers {
  readonly #places = new Fifo<AnswerPlace>();

  /** True when no acknowledgement waits: the next one may be sent at once. */
  get isEmpty(): boolean {
    return this.#places.length === 0;
  }

  /** Takes the next place in the order. */
  take(): AnswerPlace {
    const place: AnswerPlace = { send: null };
    this.#places.push(place);
    return place;
  }

  /** Sends an acknowledgement as soon as all earlier ones are sent. */
  send(place: AnswerPlace, send: () => void): void {
    place.send = send;
    for (let next = this.#places.peek(); next !== undefined && next.send !== null; next = this.#places.peek()) {
      this.#places.shift();
      next.send();
    }
  }
}
