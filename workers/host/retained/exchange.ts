/** Compares retained messages with other nodes, by way of the relay; subscribers get their first answers afterwards. */

import { steadyNow } from '../../../src/kernel/clock.ts';
import type { Logger } from '../../../src/kernel/logger.ts';
import type { Mesh } from '../../shared/mesh/mesh.ts';
import type { PeerLink } from '../../shared/mesh/peer-link.ts';
import type { Control } from '../../shared/wire/controls.ts';
import type { RetainedKeeper } from './keeper.ts';
import type { RetainedStore } from './store.ts';
import { RetainedSync } from './sync.ts';

/** Time between two comparisons (ms). */
const LOOK_MS = 10_000;
/** After this time subscribers get retained messages that have not been compared (ms). */
const START_MS = 5_000;

export interface ExchangeOptions {
  /** a session worker without a disk has been replaced: the other nodes have the messages that it lost */
  hasLost: boolean;
  logger(): Logger;
}

export class RetainedExchange {
  readonly #mesh: Mesh;
  readonly #options: ExchangeOptions;
  readonly sync: RetainedSync;
  #relay: PeerLink | null = null;
  readonly #timers: NodeJS.Timeout[];
  #begin = (): void => {};
  /** resolves when subscribers may get retained messages */
  readonly ready: Promise<void>;

  constructor(mesh: Mesh, store: RetainedStore, keeper: () => RetainedKeeper, options: ExchangeOptions) {
    this.#mesh = mesh;
    this.#options = options;
    this.ready = new Promise((resolve) => {
      this.#begin = resolve;
    });
    this.sync = new RetainedSync({
      store,
      retain: (namespace, message) => keeper().retainRemote(namespace, message),
      withdraw: (namespace, topic, stamp) => keeper().withdraw(namespace, topic, stamp),
      send: (node, frame) => this.#relay?.control({ t: 'retained-frame', node, frame, clockShift: 0 }),
      now: steadyNow,
      onCompared: (node) => {
        this.#relay?.control({ t: 'retained-compared', node });
        this.#begin();
      },
      logger: options.logger,
    });
    this.#timers = [setInterval(() => this.sync.look(), LOOK_MS), setTimeout(() => this.#begin(), START_MS)];
    for (const timer of this.#timers) timer.unref();
  }

  /** @returns false when the control is about something else */
  onControl(peer: PeerLink, control: Control): boolean {
    if (control.t === 'retained-frame') this.sync.receive(control.node, control.frame, control.clockShift);
    else if (control.t === 'retained-node') this.#onNode(peer, control.node, control.isUp);
    else return false;
    return true;
  }

  #onNode(peer: PeerLink, node: string, isUp: boolean): void {
    this.#relay = peer;
    if (!isUp) {
      this.sync.down(node);
      return;
    }
    this.sync.up(node);
    // A message published before the link began did not cross the link: it must be stored here before this node tells its digest.
    this.#mesh.whenDrained(() => this.sync.tell(node));
  }

  /** See MeshHooks.onRelay. */
  onRelay(state: PeerLink | 'away' | 'missed'): void {
    if (state === 'missed' || (state !== 'away' && !this.#options.hasLost)) this.#begin();
  }

  onPeerRemoved(peer: PeerLink): void {
    if (peer !== this.#relay) return;
    this.#relay = null;
    this.sync.allDown();
  }

  close(): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }
}
