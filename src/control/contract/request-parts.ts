/** The parts of a request for a change that every floor knows: its caller, its endpoint, and the drain that it asks for. */

/** The caller of a request, and its transport. */
export interface RequestContext {
  actor: string;
  source: 'http' | 'nats' | 'file';
  requestId: string;
  reason: string | null;
  /** from If-Match; null: last write wins */
  expectedRevision: number | null;
  /** from ?timeout=, milliseconds, 1..300000 */
  timeoutMs: number;
  /** from ?confirmWithin=, milliseconds, 1000..86400000: the change is undone unless it is confirmed in time; absent: it stays */
  confirmWithinMs?: number;
  /** from ?wait=: `local` does not wait for the other nodes; absent: `all` */
  wait?: 'local' | 'all';
  /** from ?policy=: `all` changes nothing unless every node can make the change; absent: `each` */
  policy?: 'each' | 'all';
}

/** The endpoint of a change: by port, by id, or by both when they agree. */
export interface EndpointKey {
  port?: number;
  id?: string;
}

/** Longest time of a drain, milliseconds. */
export const DRAIN_MS_MAX = 3_600_000;
/** Most clients a second of a drain. */
export const DRAIN_RATE_MAX = 1_000_000;
/** Longest Server Reference, characters. */
export const SERVER_REFERENCE_MAX = 1000;

/** How clients of a listener that stops are disconnected. */
export interface DrainRequest {
  /** time over which the disconnections are spread, milliseconds, 0..3600000 */
  drainMs: number;
  /** clients a second over all workers, 1..1000000, in place of `drainMs`; null: not requested */
  drainRate: number | null;
  /** Server Reference for MQTT 5 clients; null: none */
  redirect: string | null;
}

/** Clients stay where that is possible; elsewhere they are disconnected at once. */
export const NO_DRAIN: DrainRequest = { drainMs: 0, drainRate: null, redirect: null };

/** True when even clients that could stay are to be disconnected. */
export function asksToDrain({ drainMs, drainRate, redirect }: DrainRequest): boolean {
  return drainMs > 0 || drainRate !== null || redirect !== null;
}
