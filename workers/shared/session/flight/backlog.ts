/** The QoS 1/2 messages that wait for one session, and their bytes. */

import { Fifo } from '../../../../src/kernel/fifo.ts';
import type { Delivery } from './delivery.ts';

export class Backlog {
  readonly #waiting = new Fifo<Delivery>();
  #bytes = 0;

  get length(): number {
    return this.#waiting.length;
  }

  /** Bytes of topics, payloads and properties of all waiting messages. A message that also waits elsewhere counts here too. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Appends a delivery and copies its bytes out of the read buffer. */
  push(delivery: Delivery): void {
    const { message } = delivery;
    message.detach();
    message.hold();
    this.#bytes += message.size;
    this.#waiting.push(delivery);
  }

  /** The message at this position, 0 for the first. */
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

  /** Removes every message that `isMeant` accepts. @returns the removed messages */
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
