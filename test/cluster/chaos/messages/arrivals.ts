/** The counted messages that one subscriber got, judged as they come: repeats and disorder at once, losses at the end. */

import type { Publish } from '../../../kit/decode.ts';
import type { Counted, World } from './world.ts';

export class Arrivals {
  readonly #world: World;
  readonly #who: string;
  readonly #byPublisher = new Map<string, { last: number; seen: Set<number>; from: number }>();
  count = 0;

  readonly #folder: string | null;

  /** @param folder of the publishers whose messages are judged; null: none, because others may have had them before */
  constructor(world: World, who: string, folder: string | null) {
    this.#world = world;
    this.#who = who;
    this.#folder = folder;
  }

  /** Messages that a publisher sends from now on have to come, beside those that had to come before. */
  expectFromNow(): void {
    for (const { name, folder, sent } of this.#world.publishers.values()) {
      if (folder !== this.#folder) continue;
      const known = this.#byPublisher.get(name);
      if (known === undefined) this.#byPublisher.set(name, { last: -1, seen: new Set(), from: sent });
      else known.from = Math.min(known.from, sent);
    }
  }

  /** @param isAfterDeath the subscriber's node or thread has died since the message before */
  take(message: Publish, at: string, isAfterDeath = false): void {
    const [name = '', text = ''] = message.payload.toString().split(':');
    const publisher = this.#world.publishers.get(name);
    if (publisher === undefined || publisher.folder !== this.#folder) return;
    const number = Number(text);
    let known = this.#byPublisher.get(name);
    if (known === undefined) {
      known = { last: -1, seen: new Set(), from: Number.POSITIVE_INFINITY };
      this.#byPublisher.set(name, known);
    }
    this.count++;
    const isDoubtful = publisher.log[number]?.isDoubtful === true;
    if (known.seen.has(number)) {
      if (isDoubtful) this.#world.trace.count('repeated after the death of the publisher’s node');
      else if (publisher.qos === 1 && (message.dup || isAfterDeath))
        this.#world.trace.count(`QoS 1 again, ${message.dup ? 'with' : 'without'} DUP`);
      else
        this.#world.trace.fault('repeated', `${this.tale(publisher, number)}, to ${this.#who} at ${at}${message.dup ? ' with DUP' : ''}`);
      return;
    }
    known.seen.add(number);
    // One that its publisher sends again comes behind those that were on their way.
    if (number < known.last && !isDoubtful)
      this.#world.trace.fault('reordered', `${this.tale(publisher, number)} came after ${known.last}, to ${this.#who} at ${at}`);
    else known.last = Math.max(known.last, number);
  }

  /** Acknowledged messages that have not come, of publishers with QoS 1 and 2. @param until those acknowledged before it */
  missing(until = Number.POSITIVE_INFINITY): { publisher: Counted; number: number }[] {
    const missing: { publisher: Counted; number: number }[] = [];
    for (const publisher of this.#world.publishers.values()) {
      const known = this.#byPublisher.get(publisher.name);
      if (publisher.qos === 0 || known === undefined) continue;
      for (let number = known.from; number < publisher.sent; number++) {
        const { ackedAt } = publisher.log[number]!;
        if (ackedAt > 0 && ackedAt <= until && !known.seen.has(number)) missing.push({ publisher, number });
      }
    }
    return missing;
  }

  has(name: string, number: number): boolean {
    return this.#byPublisher.get(name)?.seen.has(number) === true;
  }

  /** Messages of QoS 0 that have not come. */
  missed(): number {
    let sum = 0;
    for (const { name, qos, sent } of this.#world.publishers.values()) {
      const known = this.#byPublisher.get(name);
      if (qos === 0 && known !== undefined && known.from < sent) sum += Math.max(0, sent - known.from - known.seen.size);
    }
    return sum;
  }

  /** Reports what is missing as lost. */
  judge(until?: number): void {
    for (const { publisher, number } of this.missing(until))
      this.#world.trace.fault('lost', `${this.tale(publisher, number)}, for ${this.#who}`);
  }

  /** A message with its moments. */
  tale({ name, log }: Counted, number: number): string {
    const { at } = this.#world.trace;
    const { sentAt, ackedAt } = log[number] ?? { sentAt: 0, ackedAt: 0 };
    const shown = (time: number) => at.call(this.#world.trace, time);
    return `${name}:${number} (sent ${shown(sentAt)}, ${ackedAt === 0 ? 'not acknowledged' : `acknowledged ${shown(ackedAt)}`})`;
  }
}
