/**
 * Acknowledgements that wait for more than the session worker: until the chosen durable members of shared subscriptions have the message on
 * disk (issue 10), and until other nodes have taken it.
 */

import type { Message } from '../messages/message.ts';
import type { Namespace } from './namespace.ts';
import type { Peer } from './peer.ts';

/** Bytes of open confirmations. Above it, this worker stops reading from clients that publish QoS 1 and 2; below half of it, reading resumes. */
const FULL_BYTES = 16 * 1024 * 1024;
/** Cost of a confirmation beside its payload, bytes. */
const ENTRY_BYTES = 300;

/** Waits until every durable member that was chosen for one message has its copy on disk. */
export class Confirmation {
  readonly bytes: number;
  readonly #owner: SharedConfirmations;
  /** copies that are not on disk yet */
  #copies = 0;
  /** relays whose report `taken` is missing */
  #crossings = 0;
  #isStored = true;
  #isOver = false;
  readonly #waiting: ((isStored: boolean) => void)[] = [];

  constructor(owner: SharedConfirmations, message: Message) {
    this.#owner = owner;
    this.bytes = message.payload.length + ENTRY_BYTES;
  }

  /** Waits for one more copy, or for the other nodes. */
  begin(isCrossing = false): void {
    if (isCrossing) this.#crossings++;
    else this.#copies++;
  }

  /** One copy is on disk, or is not needed, or the other nodes have the message. */
  end(isCrossing = false): void {
    if (isCrossing) this.#crossings--;
    else this.#copies--;
    if (this.#copies === 0 && this.#crossings === 0) this.#finish();
  }

  follow(copy: Promise<void>): void {
    this.begin();
    void copy.then(() => this.end());
  }

  /** Gives up because the store cannot be written, unless only other nodes are waited for. */
  fail(): void {
    if (this.#copies === 0) return;
    this.#isStored = false;
    this.#finish();
  }

  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#owner.closed(this);
    for (const then of this.#waiting) then(this.#isStored);
  }

  /** Calls `then` when all copies are on disk, or with false when the store cannot be written. */
  when(then: (isStored: boolean) => void): void {
    if (this.#isOver) then(this.#isStored);
    else this.#waiting.push(then);
  }
}

/** A message for durable members at a peer. */
interface Sent {
  readonly confirmation: Confirmation;
  readonly namespace: Namespace;
  readonly message: Message;
  /** filter + NUL + group name */
  readonly groups: readonly string[];
}

/** The open confirmations of one worker. The clients' windows and FULL_BYTES bound them. */
export class SharedConfirmations {
  readonly #open = new Set<Confirmation>();
  /** by serial of the message */
  readonly #sent = new Map<Peer, Map<number, Sent[]>>();
  /** QoS 2 exchanges of sessions that wait for PUBREC: packet identifier → confirmation */
  readonly #exchanges = new WeakMap<object, Map<number, Confirmation>>();
  #bytes = 0;
  #wasFull = false;
  onRelieved: () => void = () => {};

  get isFull(): boolean {
    return this.#bytes > FULL_BYTES;
  }

  open(message: Message): Confirmation {
    const confirmation = new Confirmation(this, message);
    this.#open.add(confirmation);
    this.#bytes += confirmation.bytes;
    if (this.isFull) this.#wasFull = true;
    return confirmation;
  }

  closed(confirmation: Confirmation): void {
    this.#open.delete(confirmation);
    this.#bytes -= confirmation.bytes;
    if (!this.#wasFull || this.#bytes >= FULL_BYTES / 2) return;
    this.#wasFull = false;
    this.onRelieved();
  }

  /** Notes that a peer has the message, and answers when its members' copies are on disk. */
  sent(peer: Peer, sent: Sent): void {
    const { message, confirmation } = sent;
    let ofPeer = this.#sent.get(peer);
    if (ofPeer === undefined) {
      ofPeer = new Map();
      this.#sent.set(peer, ofPeer);
    }
    confirmation.begin();
    // A second record of the message goes to a peer when a group of the message came back from another peer.
    const known = ofPeer.get(message.serial);
    if (known === undefined) ofPeer.set(message.serial, [sent]);
    else known.push(sent);
  }

  /** The confirmation of a message that is on its way to a peer; null: no publisher waits. */
  find(peer: Peer, serial: number): Confirmation | null {
    return this.#sent.get(peer)?.get(serial)?.[0]?.confirmation ?? null;
  }

  /** The peer has the copies of its members on disk. */
  confirmed(peer: Peer, serial: number): void {
    const ofPeer = this.#sent.get(peer);
    const sent = ofPeer?.get(serial);
    if (sent === undefined) return;
    if (sent.length === 1) ofPeer!.delete(serial);
    sent.shift()!.confirmation.end();
  }

  /**
   * The peer has ended. `reroute` gets every QoS 1 message that it had not confirmed, and may send it to another member. A QoS 2 message
   * may be with its member already, so it goes to nobody else [MQTT-4.8.2-4].
   */
  peerRemoved(peer: Peer, reroute: (sent: Sent) => void): void {
    const ofPeer = this.#sent.get(peer);
    this.#sent.delete(peer);
    for (const sent of [...(ofPeer?.values() ?? [])].flat()) {
      if (sent.message.qos === 1) reroute(sent);
      sent.confirmation.end();
    }
  }

  /** Gives up every open confirmation, because the store cannot be written. */
  fail(): void {
    for (const confirmation of [...this.#open]) confirmation.fail();
  }

  /** Notes that PUBREC for a QoS 2 exchange waits for the confirmation. */
  noteExchange(session: object, packetId: number, confirmation: Confirmation): void {
    const exchanges = this.#exchanges.get(session) ?? new Map<number, Confirmation>();
    this.#exchanges.set(session, exchanges);
    exchanges.set(packetId, confirmation);
    confirmation.when(() => {
      if (exchanges.get(packetId) === confirmation) exchanges.delete(packetId);
    });
  }

  /** The confirmation that PUBREC for the exchange waits for; null: none. */
  ofExchange(session: object, packetId: number): Confirmation | null {
    return this.#exchanges.get(session)?.get(packetId) ?? null;
  }
}
