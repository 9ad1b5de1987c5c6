/** When a link greets, repeats, demands and gives up. All times are milliseconds of a steady clock. */

import type { FrameHead } from './frame.ts';

const GREETING_MS = 200;
const GREETING_MS_MAX = 2_000;
const CONFIRMING_MS_MAX = 1_000;
/** Longest time without a frame to the other node. */
const BEAT_MS = 500;
const SUSPECT_MS = 1_500;
/** Time without progress after which everything is sent again; doubles with each time. */
const REPETITION_MS = 200;
const REPETITION_MS_MAX = 2_000;
/** Time after which missing frames are demanded again. */
const DEMAND_MS = 50;
/** A frame that was repeated so recently is not repeated again: the demand left before the repetition arrived. */
const RECENT_MS = 20;
/** A longer pause between two ticks is a pause of this process: frames that came during it are still unread. */
const TICK_MS_MAX = 100;
const NEVER = Number.NEGATIVE_INFINITY;

export class Timing {
  readonly #downMs: number;
  #tickedAt: number;
  /** time without a frame of the other node, without pauses of this process */
  #silentMs = 0;
  #greetedAt = NEVER;
  #greetingMs = GREETING_MS;
  #confirmingSince = 0;
  #sentAt = NEVER;
  #progressAt = 0;
  #repetitionMs = REPETITION_MS;
  #demandedAt = NEVER;
  /** smoothed; 0 before the first */
  #rttMs = 0;
  /** the last time of the other node, and when it came */
  #echo = 0;
  #echoAt = 0;

  constructor(now: number, downMs: number) {
    this.#tickedAt = now;
    this.#downMs = downMs;
  }

  get rttMs(): number {
    return this.#rttMs;
  }

  get silentMs(): number {
    return this.#silentMs;
  }

  get isSuspect(): boolean {
    return this.#silentMs >= SUSPECT_MS;
  }

  get isDown(): boolean {
    return this.#silentMs >= this.#downMs;
  }

  passed(now: number): void {
    this.#silentMs += Math.min(TICK_MS_MAX, now - this.#tickedAt);
    this.#tickedAt = now;
  }

  greetNow(): void {
    this.#greetedAt = NEVER;
    this.#greetingMs = GREETING_MS;
  }

  /** True when a greeting is due; it counts as sent. Each pause is longer, up to 2 s: the other node may be away for long. */
  isGreetingDue(now: number): boolean {
    if (now - this.#greetedAt < this.#greetingMs) return false;
    if (this.#greetedAt !== NEVER) this.#greetingMs = Math.min(GREETING_MS_MAX, this.#greetingMs * 2);
    this.#greetedAt = now;
    return true;
  }

  confirming(now: number): void {
    this.#confirmingSince = now;
    this.#greetedAt = now;
    this.#greetingMs = GREETING_MS;
  }

  isConfirmingOver(now: number): boolean {
    return now - this.#confirmingSince >= CONFIRMING_MS_MAX;
  }

  up(now: number): void {
    this.#silentMs = 0;
    this.#progressAt = now;
    this.#repetitionMs = REPETITION_MS;
    this.#demandedAt = NEVER;
    this.#rttMs = 0;
    this.#echo = 0;
  }

  heard({ sentAt, echo, keptMs }: FrameHead, now: number): void {
    this.#silentMs = 0;
    this.#echo = sentAt;
    this.#echoAt = now;
    if (echo === 0) return;
    const rtt = ((this.stamp(now) - echo) | 0) - keptMs;
    // A frame older than any session gives no valid round-trip time.
    if (rtt < 0 || rtt > this.#downMs) return;
    this.#rttMs = this.#rttMs === 0 ? rtt : this.#rttMs + (rtt - this.#rttMs) / 8;
  }

  echo(now: number): { echo: number; keptMs: number } {
    return { echo: this.#echo, keptMs: Math.max(0, Math.round(now - this.#echoAt)) };
  }

  /** 1..2^32-1 */
  stamp(now: number): number {
    return Math.floor(now) % 2 ** 32 || 1;
  }

  sent(now: number): void {
    this.#sentAt = now;
  }

  isBeatDue(now: number): boolean {
    return now - this.#sentAt >= BEAT_MS;
  }

  progressed(now: number): void {
    this.#progressAt = now;
    this.#repetitionMs = Math.max(REPETITION_MS, Math.min(REPETITION_MS_MAX, 3 * this.#rttMs));
  }

  /** @param isWaiting whether a frame may have been lost that the transport took; time without one does not count */
  isRepetitionDue(now: number, isWaiting: boolean): boolean {
    if (!isWaiting) {
      this.#progressAt = now;
      return false;
    }
    if (now - this.#progressAt < this.#repetitionMs) return false;
    this.#progressAt = now;
    this.#repetitionMs = Math.min(REPETITION_MS_MAX, this.#repetitionMs * 2);
    return true;
  }

  isDemandDue(now: number): boolean {
    return now - this.#demandedAt >= Math.max(DEMAND_MS, this.#rttMs);
  }

  demanded(now: number): void {
    this.#demandedAt = now;
  }

  /** @param repeatedAt 0 for a frame that was sent once */
  isRecent(repeatedAt: number, now: number): boolean {
    return repeatedAt !== 0 && now - repeatedAt < Math.max(RECENT_MS, this.#rttMs);
  }
}
