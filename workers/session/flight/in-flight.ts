/** The messages of one session that are in flight, found by packet identifier. */

import type { Delivery } from './delivery.ts';

const FIRST_SLOTS = 16;
const HIGHEST_ID = 65_535;
const HEAVY_BYTES = 1024 * 1024;
/** All identifiers have a slot of their own. */
const SLOTS_MAX = HIGHEST_ID + 1;

/**
 * A ring of slots, of which an identifier has the one that its lower bits name. Identifiers are given out in ascending order and come
 * back in about the same, so slots are free again when their turn comes. A Map would do the same, but throws its tables away at each
 * turn: they reach the old generation, and keep what was in flight behind them alive.
 */
export class InFlight {
  #slots: (Delivery | null)[] = [];
  #size = 0;
  #bytes = 0;
  #lastOrder = 0;

  get size(): number {
    return this.#size;
  }

  /** Every packet identifier is in use. */
  get isFull(): boolean {
    return this.#size >= HIGHEST_ID;
  }

  /** More bytes than may be in flight to any session: its endpoint says how many may. */
  get isHeavy(): boolean {
    return this.#bytes >= HEAVY_BYTES;
  }

  /** Of all messages in flight. */
  get bytes(): number {
    return this.#bytes;
  }

  get(packetId: number): Delivery | undefined {
    const slots = this.#slots;
    if (slots.length === 0) return undefined;
    const delivery = slots[packetId & (slots.length - 1)]!;
    return delivery !== null && delivery.packetId === packetId ? delivery : undefined;
  }

  /** Puts a delivery into flight under `packetId` (1..65535), behind all that are there; one that has this identifier is replaced. */
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

  /** Takes the delivery of an identifier out; false: there is none. */
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
   * The first identifier from `from` (1..65535) on that may be used; never 0 [MQTT-2.2.1-3]. One whose slot is taken by another is
   * passed over: who leaves a message unacknowledged for ever does not make the ring grow. Not to be asked when 65535 are in flight.
   */
  freeId(from: number): number {
    if (this.#size * 2 >= this.#slots.length && this.#slots.length < SLOTS_MAX) this.#grow();
    const mask = this.#slots.length - 1;
    let id = from;
    while (this.#slots[id & mask] !== null) id = id === HIGHEST_ID ? 1 : id + 1;
    return id;
  }

  #grow(): void {
    const length = Math.max(FIRST_SLOTS, this.#slots.length * 2);
    const slots = new Array<Delivery | null>(length).fill(null);
    for (const delivery of this.#slots) if (delivery !== null) slots[delivery.packetId & (length - 1)] = delivery;
    this.#slots = slots;
  }

  /** In the order in which they went into flight. */
  inOrder(): Delivery[] {
    const deliveries = this.#slots.filter((delivery) => delivery !== null);
    return deliveries.sort((one, other) => one.order - other.order);
  }

  /** Gives the memory back; what was in flight is forgotten. */
  clear(): void {
    for (const delivery of this.#slots) delivery?.message.release();
    this.#bytes = 0;
    this.#slots = [];
    this.#size = 0;
  }
}
