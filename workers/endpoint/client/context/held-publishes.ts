/** Publishes of MQTT 3 clients that cannot be stored now. MQTT 3 has no code to refuse a publish: these wait unacknowledged, within bounds. */

import type { Message } from '../../../shared/messages/message.ts';

/** A client whose publishes wait. */
export interface HeldPublisher {
  /** Routes a waiting message again and acknowledges it. */
  again(message: Message, packetId: number, size: number): void;
  /** Ends the connection. The client resends its unacknowledged publishes [MQTT-4.4.0-1]. */
  giveUp(): void;
}

interface Held {
  message: Message;
  packetId: number;
  size: number;
}

const PER_CLIENT = { messages: 100, bytes: 1024 * 1024 };
/** For all clients of a worker together. */
const BYTES_MAX = 32 * 1024 * 1024;

export class HeldPublishes {
  readonly #clients = new Map<HeldPublisher, { list: Held[]; bytes: number }>();
  #bytes = 0;

  /** Keeps a publish until release(), or ends a connection with too many of them. */
  hold(client: HeldPublisher, message: Message, packetId: number, size: number): void {
    const own = this.#clients.get(client) ?? { list: [], bytes: 0 };
    // A repeat of a waiting publish: the client has resent it too early, and one copy suffices.
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

  /** Routes the waiting publishes, each client's in order, because messages can be stored again. */
  release(): void {
    if (this.#clients.size === 0) return;
    const all = [...this.#clients];
    this.#clients.clear();
    this.#bytes = 0;
    for (const [client, { list }] of all) for (const { message, packetId, size } of list) client.again(message, packetId, size);
  }
}
