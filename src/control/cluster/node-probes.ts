/** Probes of this node's own ports: can a port be bound, and do the endpoints answer MQTT. */

import { isDeepStrictEqual } from 'node:util';
import type { SslConfig } from '../../endpoint/endpoint.ts';
import { messageOf } from '../../kernel/errors.ts';
import type { StoredEndpoint } from '../../storage/endpoint-store.ts';
import type { Driver } from '../listening/driver.ts';
import type { EndpointSupervisors } from '../listening/endpoint-supervisors.ts';
import { probeMqtt } from '../probe/mqtt-probe.ts';
import { probePort } from '../probe/port-probe.ts';
import type { DesiredState } from '../state/desired-state.ts';
import { loadTls } from '../tls/load-tls.ts';

const PROBE_TIMEOUT_MS = 5_000;
/** Most health probes at once. */
const PROBES_MAX = 16;

export interface Probed {
  port: number;
  id: string;
  healthy: boolean;
  reason: string | null;
  latencyMs: number | null;
}

/** A listener that a change would open. */
export interface ListenerPlan {
  id: string;
  host: string;
  port: number;
  /** null: no TLS */
  sslConfig: SslConfig | null;
}

export class NodeProbes {
  readonly #desired: DesiredState;
  readonly #supervisors: EndpointSupervisors;

  readonly #driver: Driver;
  readonly #probePrefix: string;

  /** @param probePrefix by which workers know a health check */
  constructor(desired: DesiredState, supervisors: EndpointSupervisors, driver: Driver, probePrefix: string) {
    this.#desired = desired;
    this.#supervisors = supervisors;
    this.#driver = driver;
    this.#probePrefix = probePrefix;
  }

  /** Binds the port to find out why it cannot be bound here; null when it can. */
  async portProblem(port: number, host: string): Promise<string | null> {
    const own = this.#supervisors.all().find((supervisor) => supervisor.listensOn(port));
    if (own !== undefined) return `Port ${port} is already in use by endpoint ${own.id}`;
    try {
      await probePort(this.#driver.hostHere(host), port);
      return null;
    } catch (error) {
      return messageOf(error);
    }
  }

  /**
   * Tries the listeners of a planned change: each port must be free, its endpoint's own, or given up by another endpoint of the change,
   * and the files that its TLS names must be present and usable.
   * @throws FluxError `port-in-use`, `unprocessable`
   */
  async prepare(plans: ListenerPlan[]): Promise<void> {
    const changing = new Set(plans.map(({ id }) => id));
    for (const { id, host, port, sslConfig } of plans) {
      // A running endpoint keeps its material, as with a change of this node.
      const running = this.#supervisors.peek(id)?.wanted ?? null;
      const isRunning = running?.tls !== null && isDeepStrictEqual(running?.endpoint.sslConfig, sslConfig);
      if (sslConfig !== null && !isRunning) await loadTls(sslConfig);
      const holders = this.#supervisors.all().filter((supervisor) => supervisor.listensOn(port));
      if (holders.some((holder) => holder.id === id || changing.has(holder.id))) continue;
      await probePort(this.#driver.hostHere(host), port);
    }
  }

  /** Connects with MQTT to the endpoint on `port`, or to every enabled one. @throws FluxError `not-found` */
  async probe(port?: number): Promise<Probed[]> {
    const enabled = () => this.#desired.list().filter(({ endpoint }) => endpoint.enabled);
    const chosen = port === undefined ? enabled() : [this.#desired.find({ port })];
    const results: Probed[] = [];
    for (let from = 0; from < chosen.length; from += PROBES_MAX) {
      results.push(...(await Promise.all(chosen.slice(from, from + PROBES_MAX).map((stored) => this.#probeOne(stored)))));
    }
    return results;
  }

  async #probeOne({ endpoint }: StoredEndpoint): Promise<Probed> {
    const { id, port } = endpoint;
    if (!endpoint.enabled) return { port, id, healthy: false, reason: 'the endpoint is disabled', latencyMs: null };
    // Another program answers on a port that the endpoint could not bind.
    const supervisor = this.#supervisors.peek(id);
    if (supervisor?.listensOn(port) !== true)
      return { port, id, healthy: false, reason: supervisor?.lastError ?? 'it does not listen on this port here', latencyMs: null };
    return { port, id, ...(await probeMqtt(this.#driver.asRun(endpoint), this.#probePrefix, PROBE_TIMEOUT_MS)) };
  }
}
