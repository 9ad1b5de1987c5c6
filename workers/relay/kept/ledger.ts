/** QoS 1 and 2 messages of this node on their way to other nodes. Publishers get their acknowledgements when every node has taken the message. */

import { Fifo } from '../../../src/kernel/fifo.ts';
import type { Control } from '../../shared/wire/controls.ts';

/** Numbers below the lowest open one that may still come: a message published while another is routed overtakes it. */
export const SLACK = 1024;

/** The worker that a message comes from. */
export interface DepartureOrigin {
  readonly id: number;
  control(control: Control): void;
}

/** One message. */
export interface Departure {
  readonly origin: DepartureOrigin;
  readonly serial: number;
  /** number of nodes that the publisher waits for */
  awaited: number;
  /** number of nodes that may still be sent the message, or a repeat */
  open: number;
  /** all nodes that get the message are known */
  isSealed: boolean;
}

interface Source {
  readonly departures: Fifo<Departure>;
  last: number;
}

export class Ledger {
  readonly #sources = new Map<number, Source>();
  #taken = new Map<DepartureOrigin, number[]>();
  #open = 0;

  /** Number of messages with a waiting publisher. */
  get open(): number {
    return this.#open;
  }

  begin(origin: DepartureOrigin, serial: number): Departure {
    const departure: Departure = { origin, serial, awaited: 0, open: 0, isSealed: false };
    let source = this.#sources.get(origin.id);
    if (source === undefined) {
      source = { departures: new Fifo(), last: serial };
      this.#sources.set(origin.id, source);
    }
    forgetClosed(source);
    source.departures.push(departure);
    source.last = Math.max(source.last, serial);
    this.#open++;
    return departure;
  }

  /** Every node that gets the message has it in its queue. */
  seal(departure: Departure): void {
    departure.isSealed = true;
    this.#judge(departure);
  }

  /** A node has taken the message, or is no longer awaited. */
  release(departure: Departure): void {
    departure.awaited--;
    this.#judge(departure);
  }

  #judge(departure: Departure): void {
    if (!departure.isSealed || departure.awaited > 0) return;
    const { origin, serial } = departure;
    const taken = this.#taken.get(origin);
    if (taken === undefined) this.#taken.set(origin, [serial]);
    else taken.push(serial);
    this.#open--;
  }

  /** See BatchForm.floorOf. */
  floorOf(id: number): number {
    const source = this.#sources.get(id);
    if (source === undefined) return -1;
    forgetClosed(source);
    const { departures } = source;
    return (departures.peek()?.serial ?? source.last + 1) - 1 - SLACK;
  }

  /** A worker has ended: its messages continue, and no publisher waits for them. */
  forget(id: number): void {
    for (const origin of this.#taken.keys()) if (origin.id === id) this.#taken.delete(origin);
    const source = this.#sources.get(id);
    if (source === undefined) return;
    forgetClosed(source);
    if (source.departures.length === 0) this.#sources.delete(id);
  }

  /** Reports the messages taken since the last report. */
  flush(): void {
    if (this.#taken.size === 0) return;
    const taken = this.#taken;
    this.#taken = new Map();
    for (const [origin, serials] of taken) origin.control({ t: 'taken', serials });
  }
}

/** Drops departures that no node will be sent again. */
function forgetClosed({ departures }: Source): void {
  for (let next = departures.peek(); next?.isSealed === true && next.open === 0; next = departures.peek()) departures.shift();
}
