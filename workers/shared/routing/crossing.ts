/** QoS 1 and 2 messages on their way to other nodes: kept until every interested node has taken them, and given to each new relay again. */

import type { Message } from '../messages/message.ts';
import type { Namespace } from './namespace.ts';
import { INTEREST, type Peer, type PeerPublish } from './peer.ts';
import type { Confirmation } from './shared-confirmations.ts';

interface Entry {
  readonly namespace: Namespace;
  readonly record: PeerPublish;
  /** true when no relay ran: the interest of the next relay decides where the message goes */
  readonly isOpen: boolean;
  /** the publisher's acknowledgement waits for this; null: it does not wait */
  readonly confirmation: Confirmation;
}

/** The open confirmations bound it (SharedConfirmations.isFull). */
export class Crossing {
  /** by serial, in the order of the messages */
  #entries = new Map<number, Entry>();
  /** true while messages wait for a relay that is being started or replaced */
  isAway = true;

  get size(): number {
    return this.#entries.size;
  }

  /** Notes a numbered message that goes to the relay. */
  sent(namespace: Namespace, record: PeerPublish, confirmation: Confirmation): void {
    this.#add(namespace, record, false, confirmation);
  }

  /** Notes a numbered message for the next relay. */
  wait(namespace: Namespace, message: Message, confirmation: Confirmation): void {
    this.#add(namespace, { message, toSubscribers: true, groups: null, store: false }, true, confirmation);
  }

  #add(namespace: Namespace, record: PeerPublish, isOpen: boolean, confirmation: Confirmation): void {
    confirmation.begin(true);
    this.#entries.set(record.message.serial, { namespace, record, isOpen, confirmation });
  }

  /** The confirmation of a message that other nodes have not taken; null: all have taken it, or no publisher waits. */
  find(serial: number): Confirmation | null {
    return this.#entries.get(serial)?.confirmation ?? null;
  }

  /** All interested nodes have taken these messages. A serial may come again, from a relay that has ended. */
  taken(serials: readonly number[]): void {
    for (const serial of serials) {
      const entry = this.#entries.get(serial);
      if (entry === undefined) continue;
      this.#entries.delete(serial);
      entry.confirmation.end(true);
    }
  }

  /** Gives everything to a relay that is linked now, in order. Receivers recognize repeats by their numbers. */
  resend(relay: Peer): void {
    this.isAway = false;
    const entries = this.#entries;
    this.#entries = new Map();
    for (const [serial, { namespace, record, isOpen, confirmation }] of entries) {
      const again = isOpen ? chosen(namespace, record, relay) : record;
      if (again === null) confirmation.end(true);
      else {
        this.#entries.set(serial, { namespace, record: again, isOpen: false, confirmation });
        relay.publish(namespace.name, again);
      }
    }
  }

  /** No relay will come: no publisher waits for other nodes any longer. @returns the number of messages that other nodes may lack */
  giveUp(): number {
    this.isAway = false;
    const { size } = this.#entries;
    this.taken([...this.#entries.keys()]);
    return size;
  }
}

/** The record of a message that waited for a relay; null when no other node wants the message. */
function chosen(namespace: Namespace, { message }: PeerPublish, relay: Peer): PeerPublish | null {
  const entry = namespace.entry(message.topic);
  const flags = entry.peers.find(({ peer }) => peer === relay)?.flags ?? 0;
  // A member on this node has had the message of its group.
  const groups = entry.groups.filter((group) => group.isServedOnlyBy(relay)).map(({ id }) => id);
  const toSubscribers = (flags & INTEREST.queued) !== 0;
  // Every node keeps a retained message.
  if (!toSubscribers && groups.length === 0 && !message.retain) return null;
  return { message, toSubscribers, groups: groups.length > 0 ? groups : null, store: false };
}
