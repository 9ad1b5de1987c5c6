/** The messages in flight of one session, by packet identifier. */

import type { Delivery } from './delivery.ts';

const FIRST_SLOTS = 16;
const HIGHEST_ID = 65_535;
const HEAVY_BYTES = 1024 * 1024;
/** Enough slots for every identifier to have its own. */
const SLOTS_MAX = HIGHEST_ID + 1;

/**
 * A ring of slots; the lower bits of an identifier choose its slot. Identifiers are used in ascending order and return in about the same
 * order, so a slot is free when its turn comes again. A Map would discard its tables at each turn; the tables would reach the old generation
 * of the heap and keep messages alive after their time in flight.
 */
export class InFlight {
  #slots: (Delivery | null)[] = [];
  #size = 0;
  #bytes = 0;
  #lastOrder = 0;
  /** the identifier that takeId() tries first (1..65535) */
  nextId = 1;

  get size(): number {
    return this.#size;
  }

  /** True when every packet identifier is in use. */
  get isFull(): boolean {
    return this.#size >= HIGHEST_ID;
  }

  /** True above the bytes that any session may have in flight; only then the endpoint's own limit is consulted. */
  get isHeavy(): boolean {
    return this.#bytes >= HEAVY_BYTES;
  }

  /** Bytes of all messages in flight. */
  get bytes(): number {
    return this.#bytes;
  }

  get(packetId: number): Delivery | undefined {
    const slots = this.#slots;
    if (slots.length === 0) return undefined;
    const delivery = slots[packetId & (slots.length - 1)]!;
    return delivery !== null && delivery.packetId === packetId ? delivery : undefined;
  }

  /** Adds a delivery under `packetId` (1..65535), behind all others. Replaces a delivery with the same identifier. */
  add(delivery: Delivery, packetId: number): void {
    delivery.packetId = packetId;
    delivery.order = ++this.#lastOrder;
    this.delete(packetId);
    while (this.#slots.length === 0 || this.#slots[packetId & (this.#slots.length - 1)] !== null) this.#grow();
    this.#slots[packetId & (this.#slots.length - 1)] = delivery;
    this.#size++;
    delivery.message.hold();
    this.#bytes += delivery.message.size;
  }

  /** Removes the delivery of an identifier; false when there is none. */
  delete(packetId: number): boolean {
    const delivery = this.get(packetId);
    if (delivery === undefined) return false;
    this.#slots[packetId & (this.#slots.length - 1)] = null;
    this.#size--;
    this.#bytes -= delivery.message.size;
    delivery.message.release();
    return true;
  }

  /**
   * The first usable identifier from `from` (1..65535) on; never 0 [MQTT-2.2.1-3]. An identifier is skipped when its slot holds another
   * delivery: a message that stays unacknowledged for ever therefore does not make the ring grow. Must not be called with 65535 messages in
   * flight.
   */
  freeId(from: number): number {
    if (this.#size * 2 >= this.#slots.length && this.#slots.length < SLOTS_MAX) this.#grow();
    const mask = this.#slots.length - 1;
    let id = from;
    while (this.#slots[id & mask] !== null) id = id === HIGHEST_ID ? 1 : id + 1;
    return id;
  }

  /** A free identifier for the next message, see freeId(). Successive calls go around 1..65535. */
  takeId(): number {
    const id = this.freeId(this.nextId);
    this.nextId = id === HIGHEST_ID ? 1 : id + 1;
    return id;
  }

  #grow(): void {
    const length = Math.max(FIRST_SLOTS, this.#slots.length * 2);
    const slots = new Array<Delivery | null>(length).fill(null);
    for (const delivery of this.#slots) if (delivery !== null) slots[delivery.packetId & (length - 1)] = delivery;
    this.#slots = slots;
  }

  /** Deliveries in the order of going into flight. */
  inOrder(): Delivery[] {
    const deliveries = this.#slots.filter((delivery) => delivery !== null);
    return deliveries.sort((one, other) => one.order - other.order);
  }

  /** Drops all deliveries and frees the memory. */
  clear(): void {
    for (const delivery of this.#slots) delivery?.message.release();
    this.#bytes = 0;
    this.#slots = [];
    this.#size = 0;
  }
}
