/** The QoS 1/2 messages that wait for one session, with the bytes that they have. */

import { Fifo } from '../../../src/kernel/fifo.ts';
import type { Delivery } from './delivery.ts';

export class Backlog {
  readonly #waiting = new Fifo<Delivery>();
  #bytes = 0;

  get length(): number {
    return this.#waiting.length;
  }

  /** Topics, payloads and properties of all that wait; a message that waits elsewhere too counts here as well. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Its bytes are copied out of the buffer that they came in. */
  push(delivery: Delivery): void {
    const { message } = delivery;
    message.detach();
    message.hold();
    this.#bytes += message.size;
    this.#waiting.push(delivery);
  }

  /** The message that has so many before it. */
  at(index: number): Delivery | undefined {
    return this.#waiting.at(index);
  }

  shift(): Delivery | undefined {
    const delivery = this.#waiting.shift();
    if (delivery === undefined) return undefined;
    this.#bytes -= delivery.message.size;
    delivery.message.release();
    return delivery;
  }

  /** Takes out every message that `isMeant` is true of. @returns what was taken out */
  remove(isMeant: (delivery: Delivery) => boolean): Delivery[] {
    const removed = this.#waiting.remove(isMeant);
    for (const { message } of removed) {
      this.#bytes -= message.size;
      message.release();
    }
    return removed;
  }

  clear(): void {
    for (const { message } of this.#waiting) message.release();
    this.#waiting.clear();
    this.#bytes = 0;
  }

  [Symbol.iterator](): Iterator<Delivery> {
    return this.#waiting[Symbol.iterator]();
  }
}
