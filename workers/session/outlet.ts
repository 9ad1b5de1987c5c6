/** What a session needs of the connection that it is attached to; the client implements it. */

import type { QoS } from '../../src/mqtt/packet.ts';
import type { Message } from '../routing/message.ts';
import type { Run } from '../routing/subscriber.ts';

export interface SessionOutlet {
  /** QoS 1/2 messages that may be in flight: the lower of the endpoint's window and the client's Receive Maximum [MQTT-3.3.4-9] */
  readonly sendWindow: number;
  /** More bytes wait for the client than a slow reader may have. */
  readonly isSlow: boolean;
  /** QoS 0 runs may be appended as bytes: no topic aliases and no small Maximum Packet Size to obey. */
  readonly takesRuns: boolean;
  sendRun(run: Run): void;
  /** @returns false when the packet would be larger than the client's Maximum Packet Size */
  sendPublish(message: Message, qos: QoS, retain: boolean, dup: boolean, packetId: number, identifiers: readonly number[]): boolean;
  sendPubrel(packetId: number): void;
  /** Another connection took the session: DISCONNECT 0x8E, then close [MQTT-3.1.4-3]. */
  takenOver(): void;
}

/** Decides which sources a session takes messages from while it moves between workers (see mover.ts). */
export interface SourceGate {
  accepts(source: number): boolean;
}
