/** Recognizes QoS 1 and 2 messages of other nodes that come again: a new relay, here or there, repeats what may be missing. */

import { isForeign } from '../messages/message.ts';

/** Threads of other nodes that are remembered. Above this number the thread that was silent for longest is evicted. */
const SOURCES_MAX = 4096;

interface Source {
  /** a message with this number or a lower one is a repeat */
  floor: number;
  /** numbers above the floor that have come; messages of one source may overtake one another */
  readonly seen: Set<number>;
}

export class Repeats {
  readonly #sources = new Map<number, Source>();

  /** The sender promises that every new message of this source has a higher number. */
  raise(source: number, floor: number): void {
    if (!isForeign({ source })) return;
    const known = this.#source(source);
    if (floor <= known.floor) return;
    known.floor = floor;
    for (const serial of known.seen) {
      if (serial > floor) break;
      known.seen.delete(serial);
    }
  }

  /** Notes the message. @returns true when it has come before */
  isRepeat(source: number, serial: number): boolean {
    const { floor, seen } = this.#source(source);
    if (serial <= floor || seen.has(serial)) return true;
    seen.add(serial);
    return false;
  }

  #source(source: number): Source {
    let known = this.#sources.get(source);
    if (known !== undefined) return known;
    known = { floor: -1, seen: new Set() };
    this.#sources.set(source, known);
    for (const oldest of this.#sources.keys()) {
      if (this.#sources.size <= SOURCES_MAX) break;
      this.#sources.delete(oldest);
    }
    return known;
  }
}
