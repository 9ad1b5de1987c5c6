/** The form of a case of effects.test.ts: the change of one key, and the clients that see it. */

import type { Effect } from '../../../src/endpoint/endpoint.ts';
import type { ConnectOptions } from '../../kit/encode.ts';
import type { RawClient } from '../../kit/raw-client.ts';
import type { TransportName } from '../../kit/transport.ts';

/** A request. */
export type Body = Record<string, unknown>;

/** The clients of a change, and the endpoint that they are on. */
export interface Scene {
  port: number;
  topic: string;
  /** connected before it */
  before: RawClient;
  /** its socket was accepted before the change; it sends CONNECT now. @returns the code of CONNACK */
  during(options?: ConnectOptions): Promise<{ code: number; client: RawClient }>;
  /** connects after it */
  after(options?: ConnectOptions, transport?: TransportName): Promise<{ code: number; client: RawClient }>;
}

/** A change of a key, and what it is expected to do. */
export interface Case {
  from?: Body;
  to: Body;
  effect: Effect;
  /** paths of the changed keys; by default those of `to` */
  paths?: string[];
  transport?: TransportName;
  beforeOptions?: ConnectOptions;
  /** runs before the change */
  prepare?(scene: Scene): Promise<void>;
  check(scene: Scene): Promise<void>;
}
