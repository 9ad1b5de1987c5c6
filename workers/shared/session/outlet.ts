/** The connection of a session, as the session uses it. A client's Sender implements it. */

import type { QoS } from '../../../src/mqtt/packet.ts';
import type { Message } from '../messages/message.ts';
import type { Run } from '../messages/run.ts';

export interface SessionOutlet {
  /** QoS 1/2 messages that may be in flight: the lower of the endpoint's window and the client's Receive Maximum [MQTT-3.3.4-9] */
  readonly sendWindow: number;
  /** More bytes wait for the client than are allowed for a slow reader. */
  readonly isSlow: boolean;
  /** QoS 0 runs may be appended as bytes: the client uses neither topic aliases nor a Maximum Packet Size. */
  readonly takesRuns: boolean;
  sendRun(run: Run): void;
  /** @returns false when the packet would be larger than the client's Maximum Packet Size */
  sendPublish(message: Message, qos: QoS, retain: boolean, dup: boolean, packetId: number, identifiers: readonly number[]): boolean;
  sendPubrel(packetId: number): void;
  /** Another connection has taken the session: sends DISCONNECT 0x8E and closes [MQTT-3.1.4-3]. */
  takenOver(): void;
  /** The will of the connection has been published. */
  willPublished(): void;
}

/** Decides from which sources a session accepts messages while it moves between workers (see move/mover.ts). */
export interface SourceGate {
  /** the session is on its way here */
  readonly isArriving: boolean;
  /** the session is on its way to another worker, and this worker's publishers must reach it there */
  readonly isLeaving: boolean;
  accepts(source: number): boolean;
}
