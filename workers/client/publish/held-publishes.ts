/** Publishes of MQTT 3 clients that cannot be stored now: there is no code to refuse them with, so they wait, within bounds, unacknowledged. */

import type { Message } from '../../routing/message.ts';

/** Whose publishes wait. */
export interface HeldPublisher {
  /** Routes a message that has waited, and acknowledges it. */
  again(message: Message, packetId: number, size: number): void;
  /** Ends the connection: the client sends again what was not acknowledged [MQTT-4.4.0-1]. */
  giveUp(): void;
}

interface Held {
  message: Message;
  packetId: number;
  size: number;
}

const PER_CLIENT = { messages: 100, bytes: 1024 * 1024 };
/** Of all clients of a worker. */
const BYTES_MAX = 32 * 1024 * 1024;

export class HeldPublishes {
  readonly #clients = new Map<HeldPublisher, { list: Held[]; bytes: number }>();
  #bytes = 0;

  /** Keeps a publish until release(), or ends the connection that has too many. */
  hold(client: HeldPublisher, message: Message, packetId: number, size: number): void {
    const own = this.#clients.get(client) ?? { list: [], bytes: 0 };
    // A repeat of what waits: the client has lost patience, not the message.
    if (own.list.some((held) => held.packetId === packetId)) return;
    if (own.list.length >= PER_CLIENT.messages || own.bytes + size > PER_CLIENT.bytes || this.#bytes + size > BYTES_MAX) {
      client.giveUp();
      return;
    }
    own.list.push({ message: message.detach(), packetId, size });
    own.bytes += size;
    this.#bytes += size;
    this.#clients.set(client, own);
  }

  /** The client has gone. */
  forget(client: HeldPublisher): void {
    const own = this.#clients.get(client);
    if (own === undefined) return;
    this.#bytes -= own.bytes;
    this.#clients.delete(client);
  }

  /** Messages can be stored again: what waits is routed, each client's in its order. */
  release(): void {
    if (this.#clients.size === 0) return;
    const all = [...this.#clients];
    this.#clients.clear();
    this.#bytes = 0;
    for (const [client, { list }] of all) for (const { message, packetId, size } of list) client.again(message, packetId, size);
  }
}
