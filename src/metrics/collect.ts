/** Sums the shared counters of an endpoint over all its workers, living, lingering and dead, and samples rates each second. */

import { BoundedMap } from '../kernel/bounded-map.ts';
import { steadyNow } from '../kernel/clock.ts';
import { COUNTER_NAMES, COUNTER_SLOTS, type CounterName, SLOT } from './counters.ts';

/** Slots with a present value; all others only grow. */
const GAUGES: readonly CounterName[] = [
  'connectionsCurrent',
  'connectionsMax',
  'sessionsCurrent',
  'subscriptionsCurrent',
  'formerCurrent',
  'heldBytes',
];
const IS_GAUGE = Uint8Array.from({ length: COUNTER_SLOTS }, (_, slot) => (GAUGES.some((name) => SLOT[name] === slot) ? 1 : 0));

/** Removed endpoints whose counters are kept: an endpoint that comes back continues to count. */
const REMEMBERED_MAX = 10_000;

/** Sums that last no longer than a sample, which 2,000 endpoints take each second. */
const sums = new Float64Array(COUNTER_NAMES.length);

/** The counters of one endpoint. */
export class EndpointCounters {
  readonly #live = new Map<SharedArrayBuffer, Float64Array>();
  readonly #retired = new Float64Array(COUNTER_SLOTS);
  readonly #before = new Float64Array(COUNTER_NAMES.length);
  #beforeMs: number | null = null;
  readonly #rates = new Float64Array(COUNTER_NAMES.length);
  #connectionsMax = 0;
  #sessionsMax = 0;
  #readPeak: () => number = () => 0;

  /** Adds the block of a worker. */
  attach(memory: SharedArrayBuffer): void {
    this.#live.set(memory, new Float64Array(memory));
  }

  /** The worker has ended or closed the endpoint: its counts stay in the sums, its gauges do not. */
  detach(memory: SharedArrayBuffer): void {
    const slots = this.#live.get(memory);
    if (slots === undefined) return;
    this.#connectionsMax = Math.max(this.#connectionsMax, slots[SLOT.connectionsMax]!);
    this.#live.delete(memory);
    for (let slot = 0; slot < COUNTER_SLOTS; slot++) if (IS_GAUGE[slot] === 0) this.#retired[slot]! += slots[slot]!;
  }

  /** Sets the reader of the most connections at once over all workers; an earlier maximum is kept. */
  watchPeak(read: () => number): void {
    this.#connectionsMax = this.connectionsMax;
    this.#readPeak = read;
  }

  /** Counts events outside of the endpoint's workers: those of its offline sessions. */
  add(name: CounterName, count: number): void {
    this.#retired[SLOT[name]]! += count;
  }

  /** Sum of every slot. */
  totals(): Float64Array {
    const sums = this.#retired.slice();
    for (const slots of this.#live.values()) for (let slot = 0; slot < COUNTER_SLOTS; slot++) sums[slot]! += slots[slot]!;
    return sums;
  }

  /** Sum of one counter. */
  total(name: CounterName): number {
    let sum = this.#retired[SLOT[name]]!;
    for (const slots of this.#live.values()) sum += slots[SLOT[name]]!;
    return sum;
  }

  /** Growth a second between the last two samples; 0 before there were two. */
  rate(name: CounterName): number {
    return this.#rates[SLOT[name]]!;
  }

  /** Most connections at once. */
  get connectionsMax(): number {
    let max = Math.max(this.#connectionsMax, this.#readPeak(), this.total('connectionsCurrent'));
    for (const slots of this.#live.values()) max = Math.max(max, slots[SLOT.connectionsMax]!);
    return max;
  }

  /** Most sessions at once, exact to the second. */
  get sessionsMax(): number {
    return Math.max(this.#sessionsMax, this.total('sessionsCurrent'));
  }

  /**
   * Samples the numbers of this moment for the rates and the maxima.
   * @param nowMs milliseconds of a steady clock
   */
  sample(nowMs: number): void {
    this.#connectionsMax = this.connectionsMax;
    this.#sessionsMax = this.sessionsMax;
    const width = COUNTER_NAMES.length;
    for (let slot = 0; slot < width; slot++) sums[slot] = this.#retired[slot]!;
    for (const slots of this.#live.values()) for (let slot = 0; slot < width; slot++) sums[slot]! += slots[slot]!;
    const seconds = this.#beforeMs === null ? 0 : (nowMs - this.#beforeMs) / 1000;
    for (let slot = 0; slot < width; slot++) {
      this.#rates[slot] = seconds > 0 ? Math.max(0, sums[slot]! - this.#before[slot]!) / seconds : 0;
    }
    this.#before.set(sums);
    this.#beforeMs = nowMs;
  }
}

/** The counters of all endpoints of a node, by endpoint id. */
export class MetricsCollector {
  readonly #endpoints = new BoundedMap<string, EndpointCounters>(REMEMBERED_MAX);

  /** The counters of one endpoint; made on first use. Beyond 10,000 the oldest identifier is evicted. */
  of(id: string): EndpointCounters {
    let counters = this.#endpoints.get(id);
    if (counters === undefined) {
      counters = new EndpointCounters();
      this.#endpoints.set(id, counters);
    }
    return counters;
  }

  /** The counters of one endpoint, if anything was counted for it. */
  peek(id: string): EndpointCounters | undefined {
    return this.#endpoints.get(id);
  }

  /** To be called each second. */
  sample(nowMs: number = steadyNow()): void {
    for (const counters of this.#endpoints.values()) counters.sample(nowMs);
  }
}
