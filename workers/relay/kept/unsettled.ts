/**
 * QoS 1 and 2 messages that this relay has given to members of shared groups, at another node or at a worker of this one, until they are settled
 * there. When the place dies, another member gets them. The limits of `cluster.hold` bound the messages of each place.
 */

import type { Message } from '../../shared/messages/message.ts';
import type { Peer } from '../../shared/routing/peer.ts';

/** Cost of a message beside its payload and topic, bytes. */
const MESSAGE_BYTES = 300;

export interface UnsettledLimits {
  readonly bytes: number;
  readonly messages: number;
}

/** A message that one group gets. */
export interface Unsettled {
  /** another node, or a worker of this one */
  place: Peer;
  readonly namespace: string;
  /** filter + NUL + name */
  readonly group: string;
  readonly message: Message;
  /** session of the link to the place */
  readonly session: number;
  /** session key of the client that may have the message, with QoS 2; '': none has it */
  client: string;
  /** its place is gone, and the group has no other member so far */
  isStranded: boolean;
}

interface Use {
  bytes: number;
  messages: number;
}

const bytesOf = ({ message }: Unsettled): number => message.size + MESSAGE_BYTES;

export class UnsettledMessages {
  readonly #limits: UnsettledLimits;
  readonly #kept = new Map<string, Unsettled>();
  readonly #uses = new Map<Peer, Use>();
  /** messages that are not kept, because too many wait, or because the relay of their place has ended */
  unkept = 0;
  #stranded = 0;

  constructor(limits: UnsettledLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#kept.size;
  }

  get hasStranded(): boolean {
    return this.#stranded > 0;
  }

  /** The places whose messages are stranded. */
  strandedAt(): Set<Peer> {
    const places = new Set<Peer>();
    for (const { isStranded, place } of this.#kept.values()) if (isStranded) places.add(place);
    return places;
  }

  /** Names of all messages of a place: see keyOf(). */
  namesOf(place: Peer): Set<string> {
    const names = new Set<string>();
    for (const [key, kept] of this.#kept) if (kept.place === place) names.add(key);
    return names;
  }

  /** @param peer number of the peer of this node that the message comes from, under which the place knows it */
  keep(peer: number, unsettled: Omit<Unsettled, 'client' | 'isStranded'>): void {
    const kept: Unsettled = { ...unsettled, client: '', isStranded: false };
    const { place, message, group } = kept;
    const bytes = bytesOf(kept);
    const use = this.#uses.get(place);
    if (use !== undefined && (use.messages >= this.#limits.messages || use.bytes + bytes > this.#limits.bytes)) {
      this.unkept++;
      return;
    }
    // A view would keep a whole batch alive.
    message.detach();
    const key = keyOf(peer, message.serial, group);
    this.#remove(key);
    this.#kept.set(key, kept);
    this.#count(place, 1, bytes);
  }

  /** Keeps a message that no member may have now. @param client see Unsettled */
  strand(peer: number, unsettled: Omit<Unsettled, 'client' | 'isStranded'>, client: string): void {
    this.keep(peer, unsettled);
    const kept = this.#kept.get(keyOf(peer, unsettled.message.serial, unsettled.group));
    if (kept === undefined) return;
    kept.client = client;
    this.#strand(kept, true);
  }

  #count(place: Peer, messages: number, bytes: number): void {
    const use = this.#uses.get(place) ?? { bytes: 0, messages: 0 };
    use.messages += messages;
    use.bytes += bytes;
    if (use.messages === 0) this.#uses.delete(place);
    else this.#uses.set(place, use);
  }

  #remove(key: string): void {
    const kept = this.#kept.get(key);
    if (kept === undefined) return;
    this.#kept.delete(key);
    this.#count(kept.place, -1, -bytesOf(kept));
    if (kept.isStranded) this.#stranded--;
  }

  /** No other member gets the message. */
  settled(peer: number, serial: number, group: string): void {
    this.#remove(keyOf(peer, serial, group));
  }

  /** The message has moved with its session. */
  moved(place: Peer, peer: number, serial: number, group: string): void {
    const kept = this.#kept.get(keyOf(peer, serial, group));
    if (kept === undefined) return;
    this.#count(kept.place, -1, -bytesOf(kept));
    kept.place = place;
    this.#count(place, 1, bytesOf(kept));
  }

  /** This client may have the message from now on. */
  named(peer: number, serial: number, group: string, client: string): void {
    const kept = this.#kept.get(keyOf(peer, serial, group));
    if (kept !== undefined) kept.client = client;
  }

  /** The relay of the place has ended, and with it reports that it had not passed on. @param session that began afterwards */
  forgetBefore(place: Peer, session: number): void {
    for (const [key, kept] of this.#kept) {
      if (kept.place !== place || kept.session >= session || kept.isStranded) continue;
      this.#remove(key);
      this.unkept++;
    }
  }

  /** The place lives: its messages are there. */
  returned(place: Peer): void {
    if (!this.hasStranded) return;
    for (const kept of this.#kept.values()) if (kept.place === place) this.#strand(kept, false);
  }

  #strand(kept: Unsettled, isStranded: boolean): void {
    if (kept.isStranded === isStranded) return;
    kept.isStranded = isStranded;
    this.#stranded += isStranded ? 1 : -1;
  }

  /**
   * Gives messages to other members, in the order in which they were sent.
   * @param isMeant which ones
   * @param give false: the group has no other member now; the message stays, stranded
   * @returns names of the messages that are no longer kept for their place: see keyOf()
   */
  giveOn(isMeant: (kept: Unsettled) => boolean, give: (kept: Unsettled) => boolean): Set<string> {
    const given = new Set<string>();
    for (const [key, kept] of [...this.#kept]) {
      if (!isMeant(kept)) continue;
      if (give(kept)) {
        this.#remove(key);
        given.add(key);
      } else this.#strand(kept, true);
    }
    return given;
  }

  /** Drops the messages of a place. @returns their number */
  forget(place: Peer): number {
    const names = this.namesOf(place);
    for (const name of names) this.#remove(name);
    return names.size;
  }
}

/** The name of a message of one group. @param peer see keep() */
export function keyOf(peer: number, serial: number, group: string): string {
  return `${peer} ${serial} ${group}`;
}
