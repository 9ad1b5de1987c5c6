/** The requests about MQTT clients, of all nodes or of some, and messages to them. */

import type { Unreachable } from '../../answers/envelope.ts';
import type { UserId } from '../../endpoint/users/user.ts';
import type { ClientLocation, ClientsAnswer } from './answers.ts';

export interface PublishRequest {
  topic: string;
  payload: Uint8Array;
  qos: 0 | 1 | 2;
  retain: boolean;
  namespace: string;
}

/** The nodes that a request is about: all nodes, this node (`local`), or the nodes of a name. */
export interface NodeChoice {
  local?: boolean | undefined;
  node?: string | undefined;
}

/** The answer of several nodes. */
export interface Gathered<T> {
  answer: T;
  /** nodes without an answer */
  unreachable: Unreachable[];
}

/** Every method throws FluxError: `not-found` for a node that nobody knows, `invalid` for a choice of `local` and another node. */
export interface ClientRequests {
  /** Publishes a message from this node; it reaches the subscribers of all nodes. */
  publish(request: PublishRequest): Promise<void>;
  /** one answer for each known pair of identifier and namespace, and one for each identifier that nobody knows */
  locate(ids: string[], namespace: string | undefined, choice: NodeChoice): Promise<Gathered<ClientLocation[]>>;
  /** answers how many connections were closed */
  disconnect(ids: string[], namespace: string | undefined, choice: NodeChoice): Promise<Gathered<number>>;
  /** Disconnects the clients of a user on all nodes; answers how many connections were closed. */
  disconnectUser(user: UserId): Promise<Gathered<number>>;
  /** connected clients sorted by clientId, then by namespace; `page` counts from 1, `size` from 1 */
  connected(query: { endpoint?: string; page: number; size: number }, choice: NodeChoice): Promise<Gathered<ClientsAnswer>>;
}
