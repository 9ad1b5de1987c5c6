/** What this worker has routed and the session worker has not confirmed: kept, so that it is said again when the session worker had to be replaced. */

import { Fifo } from '../../src/kernel/fifo.ts';
import type { Message } from './message.ts';
import type { Namespace } from './namespace.ts';
import { INTEREST, type Peer } from './peer.ts';
import type { StoreOutbox } from './router.ts';

/** Bytes that may wait; over it, clients that publish QoS 1 and 2 are not read; half of it ends that. */
const FULL_BYTES = 16 * 1024 * 1024;
/** What an entry costs beside its payload. */
const ENTRY_BYTES = 200;

interface Entry {
  readonly namespace: Namespace;
  readonly message: Message;
  /** shared groups that the session worker was to serve; null: it was away, and what it would have been chosen for is decided when it is back */
  readonly groups: readonly string[] | null;
}

/** In the order of serials; bounded by the clients' windows and by FULL_BYTES. */
export class Outbox implements StoreOutbox {
  #entries = new Fifo<Entry>();
  #bytes = 0;
  #wasFull = false;
  readonly #onRelieved: () => void;

  constructor(onRelieved: () => void) {
    this.#onRelieved = onRelieved;
  }

  get isFull(): boolean {
    return this.#bytes > FULL_BYTES;
  }

  add(namespace: Namespace, message: Message, groups: readonly string[] | null): void {
    this.#entries.push({ namespace, message, groups });
    this.#bytes += message.payload.length + ENTRY_BYTES;
    if (this.isFull) this.#wasFull = true;
  }

  /** The session worker has stored every record up to this serial. */
  onStored(serial: number): void {
    for (let next = this.#entries.peek(); next !== undefined && next.message.serial <= serial; next = this.#entries.peek()) {
      this.#entries.shift();
      this.#bytes -= next.message.payload.length + ENTRY_BYTES;
    }
    if (this.#wasFull && this.#bytes < FULL_BYTES / 2) {
      this.#wasFull = false;
      this.#onRelieved();
    }
  }

  /** Says everything again, in order, to the session worker whose interest has just become known. */
  resend(peer: Peer): void {
    const entries = this.#entries;
    this.#entries = new Fifo<Entry>();
    this.#bytes = 0;
    for (const { namespace, message, groups } of entries) {
      const entry = namespace.entry(message.topic);
      const flags = entry.peers.find((each) => each.peer === peer)?.flags ?? 0;
      const wanted = message.qos > 0 ? INTEREST.queued | INTEREST.durable : INTEREST.live;
      const only = entry.groups.filter((group) => group.isServedOnlyBy(peer)).map((group) => group.id);
      const again = groups ?? (only.length > 0 ? only : []);
      // Also where it wants nothing: its answer is what the publisher waits for.
      peer.publish(namespace.name, {
        message,
        toSubscribers: (flags & wanted) !== 0,
        groups: again.length > 0 ? again : null,
        store: message.qos > 0,
      });
      if (message.qos > 0) this.add(namespace, message, again);
    }
  }
}
