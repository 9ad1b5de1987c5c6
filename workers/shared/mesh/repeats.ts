/** Which QoS 1 and 2 messages of other nodes this worker has had: a relay that starts anew, here or there, sends again what may be missing. */

import { isForeign } from '../messages/message.ts';

/** Threads of other nodes that are remembered; the one that was silent for longest is forgotten. */
const SOURCES_MAX = 4096;

interface Source {
  /** messages with these and lower numbers never come again, except as repeats */
  floor: number;
  /** numbers above it that have come; messages of one source may pass one another */
  readonly seen: Set<number>;
}

export class Repeats {
  readonly #sources = new Map<number, Source>();

  /** The sender of these messages repeats none with this number or a lower one as new. */
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

  /** @returns true when the message has come before. Otherwise it counts as come */
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
