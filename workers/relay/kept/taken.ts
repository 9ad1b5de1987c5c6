/** QoS 1 and 2 messages that this node has taken from another node, as long as that node may send them again. */

import { Fifo } from '../../../src/kernel/fifo.ts';
import { WINDOW_BYTES } from '../../../src/link/link.ts';

/** A node has one window of unacknowledged bytes under way, counted in frames; packets are counted here. */
const REMEMBERED_BYTES = 2 * WINDOW_BYTES;

interface Packet {
  /** bytes that have been taken in this session of the link, with this packet */
  readonly upTo: number;
  /** source and serial of each message, in turns */
  readonly keys: readonly number[];
}

/**
 * When a session of the link ends, the other node may have missed acknowledgements, and it sends those messages again in the next session.
 * A worker that has started in between has no memory of them (mesh/repeats.ts), and would deliver them twice.
 */
export class TakenMessages {
  #incarnation = 0;
  #bytes = 0;
  readonly #recent = new Fifo<Packet>();
  /** source → serials of former sessions; null: none may come again */
  #former: Map<number, Set<number>> | null = null;

  /** A session of the link begins. A new process of the node repeats nothing. */
  begin(incarnation: number): void {
    if (incarnation !== this.#incarnation) this.#former = null;
    else for (const { keys } of this.#recent) this.#remember(keys);
    this.#recent.clear();
    this.#incarnation = incarnation;
    this.#bytes = 0;
  }

  #remember(keys: readonly number[]): void {
    this.#former ??= new Map();
    for (let at = 0; at < keys.length; at += 2) {
      const source = keys[at]!;
      const serials = this.#former.get(source);
      if (serials === undefined) this.#former.set(source, new Set([keys[at + 1]!]));
      else serials.add(keys[at + 1]!);
    }
  }

  /** True once for a message that was taken in a former session. */
  isRepeat(source: number, serial: number): boolean {
    return this.#former?.get(source)?.delete(serial) === true;
  }

  /** A packet has been taken. @param keys source and serial of each of its QoS 1 and 2 messages, in turns */
  took(bytes: number, keys: readonly number[]): void {
    this.#bytes += bytes;
    // The other node sends its repeats first.
    if (this.#bytes > REMEMBERED_BYTES) this.#former = null;
    if (keys.length > 0) this.#recent.push({ upTo: this.#bytes, keys });
    for (
      let oldest = this.#recent.peek();
      oldest !== undefined && this.#bytes - oldest.upTo > REMEMBERED_BYTES;
      oldest = this.#recent.peek()
    )
      this.#recent.shift();
  }
}
