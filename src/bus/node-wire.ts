/** The wire of the links, as the relay opens it: it can also ask NATS whether anybody is at the other end. */

import type { LinkTransport } from '../link/transport.ts';

/** `absent`: NATS says that nobody listens. `present`: somebody does. `unknown`: NATS gave no answer, or could be wrong. */
export type Presence = 'present' | 'absent' | 'unknown';

export interface NodeWire extends LinkTransport {
  /**
   * Asks NATS whether a process of a node listens to its frames and to main's subject. A process that ends loses both subscriptions at once, on
   * every server; one that is frozen or cut off keeps them.
   * @param process its number
   * @returns never fails, and takes at most 200 ms
   */
  presence(node: string, process: number): Promise<Presence>;
  /**
   * How long this connection lasts with the same NATS servers behind it, ms; 0 without one. When a server goes, nodes that were at it listen
   * nowhere until they have found another one.
   */
  settledMs(): number;
}
