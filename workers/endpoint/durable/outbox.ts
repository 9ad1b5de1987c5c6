/** Routed records that the session worker has not confirmed. The outbox sends them again to the successor of a dead session worker. */

import { Fifo } from '../../../src/kernel/fifo.ts';
import type { Message } from '../../shared/messages/message.ts';
import type { Namespace } from '../../shared/routing/namespace.ts';
import { INTEREST, type Peer } from '../../shared/routing/peer.ts';
import type { StoreOutbox } from '../../shared/routing/router.ts';

/** Bytes that may wait. Above this limit the worker stops reading from clients that publish QoS 1 and 2; below half of it, reading resumes. */
const FULL_BYTES = 16 * 1024 * 1024;
/** Cost of an entry beside its payload, bytes. */
const ENTRY_BYTES = 200;

interface Entry {
  readonly namespace: Namespace;
  readonly message: Message;
  /** shared groups that the session worker should serve; null: no session worker ran, and the choice waits for the next one */
  readonly groups: readonly string[] | null;
}

/** In the order of serials; the clients' windows and FULL_BYTES bound it. */
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

  /** Sends everything again, in order, to a session worker whose interest has just become known. */
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
      // Records that the session worker does not want go there, too: their publishers wait for its answer.
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
