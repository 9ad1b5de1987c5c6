/** The requests about MQTT clients of this node, and messages to them. */

import type { ClientLocation, ClientsAnswer } from './answers.ts';

export interface PublishRequest {
  topic: string;
  payload: Uint8Array;
  qos: 0 | 1 | 2;
  retain: boolean;
  namespace: string;
}

/** Every method throws FluxError. */
export interface ClientRequests {
  publish(request: PublishRequest): Promise<void>;
  locate(ids: string[], namespace?: string): Promise<ClientLocation[]>;
  /** returns how many connections were closed */
  disconnect(ids: string[], namespace?: string): Promise<number>;
  /** connected clients sorted by clientId, then by namespace; `page` counts from 1, `size` from 1 */
  connected(query: { endpoint?: string; page: number; size: number }): Promise<ClientsAnswer>;
}
