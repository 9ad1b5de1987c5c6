/** The offline sessions of the node: restored from disk, ended when they expire, their wills published when the delay is over. */

import { steadyNow } from '../../src/kernel/clock.ts';
import { messageOf } from '../../src/kernel/errors.ts';
import type { Logger } from '../../src/kernel/logger.ts';
import type { Mesh } from '../shared/mesh/mesh.ts';
import { takeState, toWireHead } from '../shared/move/wire-session.ts';
import { Deliveries } from '../shared/session/flight/deliveries.ts';
import { deliveryKey, fromWireDelivery } from '../shared/session/flight/delivery.ts';
import type { Session } from '../shared/session/session.ts';
import { hasExpired, type SessionTable } from '../shared/table/session-table.ts';
import type { WireSession } from '../shared/wire/controls.ts';
import type { Registry } from './identifiers/registry.ts';
import type { AwayRules } from './sessions/away-rules.ts';
import type { DurableSessions } from './sessions/durable-sessions.ts';

/** Peers resend within this time the messages that the last session worker did not confirm (ms). */
const SAID_AGAIN_MS = 30_000;
/** An endpoint that opens at all has reported its rules after this time. */
const RULES_KNOWN_MS = 10_000;
/** Usual and longest time until all peers of a replacement session worker have joined and reported their sessions. */
const REGISTERED_MS = 1_000;
const REGISTERED_MAX_MS = 15_000;

/** The rest of the session worker. Functions, because the parts of the worker need one another. */
export interface OfflineOptions {
  readonly mesh: Mesh;
  readonly table: SessionTable;
  readonly rules: AwayRules;
  registry(): Pick<Registry, 'find' | 'isComplete' | 'onOfflineEnded' | 'adoptOffline'>;
  /** null: the node has no message store */
  durable(): DurableSessions | null;
  /** A session is hosted here whose client is offline. */
  onHosted(session: Session): void;
  /** Wills wait: other nodes may have published them. */
  areWillsHeld(): boolean;
  /** a session worker ran before this one: endpoint workers may already hold sessions */
  readonly isReplacement: boolean;
  logger(): Logger;
}

export class OfflineSessions {
  readonly #options: OfflineOptions;
  readonly #startedAt = steadyNow();

  constructor(options: OfflineOptions) {
    this.#options = options;
  }

  /** Hosts all sessions on disk. @param beat called after each: the restoration may take long */
  restoreAll(beat: () => void): void {
    const now = steadyNow();
    for (const session of this.#options.durable()?.restoreAll() ?? []) {
      beat();
      // A client that was connected at the end of the process counts as disconnected from now on.
      this.#host({ ...session, disconnectedAt: session.disconnectedAt === 0 ? now : session.disconnectedAt });
      const { namespace, clientId, endpoint, expirySeconds, stamp } = session;
      this.#options.registry().adoptOffline(namespace, clientId, endpoint, expirySeconds, stamp);
    }
  }

  /** Hosts the session of a dead worker. @returns false when the disk has no such session, or an unreadable one */
  restore(namespace: string, clientId: string): boolean {
    const session = this.#load(namespace, clientId);
    if (session === null) return false;
    this.#host({ ...session, disconnectedAt: steadyNow() });
    return true;
  }

  #load(namespace: string, clientId: string): WireSession | null {
    try {
      return this.#options.durable()?.load(namespace, clientId) ?? null;
    } catch (error) {
      this.#options.logger().error('A session cannot be read from messages.db', { namespace, clientId, reason: messageOf(error) });
      return null;
    }
  }

  /** Hosts an offline session with the state that was read from disk. */
  #host(wire: WireSession): void {
    const { mesh, table } = this.#options;
    const session = table.create(mesh.namespace(wire.namespace), wire.clientId);
    const deliveries = new Deliveries();
    for (const delivery of wire.deliveries) deliveries.add(fromWireDelivery(delivery));
    takeState(session, wire, deliveries);
    session.restored = new Set(wire.deliveries.map(({ message, group }) => deliveryKey(message, group)));
    setTimeout(() => {
      session.restored = null;
    }, SAID_AGAIN_MS).unref();
    table.subscriptions.add(session, wire.subscriptions);
    this.#options.onHosted(session);
  }

  /** Ends a restored session that had already ended in its worker before this session worker started. */
  endRestored(namespace: string, clientId: string): void {
    const { mesh, table } = this.#options;
    const session = table.get(namespace, clientId);
    if (session === undefined || this.#options.registry().find(namespace, clientId)?.owner !== mesh.self) return;
    // The change carries the will, if one is due.
    session.will = null;
    session.isDurable = false;
    table.end(session);
    this.#options.registry().onOfflineEnded(namespace, clientId);
  }

  /** Ends expired sessions and publishes the wills whose delay is over. */
  sweep(): void {
    const { table, isReplacement } = this.#options;
    const now = steadyNow();
    // Before its peers have reported their sessions, every session on disk looks offline.
    const age = now - this.#startedAt;
    if (isReplacement && (age < REGISTERED_MS || (!this.#options.registry().isComplete && age < REGISTERED_MAX_MS))) return;
    for (const session of table.values()) {
      if (session.outlet !== null || session.gate !== null || session.disconnectedAt === 0) continue;
      if (!hasExpired(session, now)) this.#publishIfDue(session, now);
      else if (!this.#isHeld(session, now)) {
        table.end(session);
        this.#options.registry().onOfflineEnded(session.namespace.name, session.clientId);
      }
    }
  }

  /** True when a will waits for other nodes, or for rules: endpoints open, and report their rules, shortly after a start. */
  #isHeld({ will, endpoint }: Session, now: number): boolean {
    if (will === null) return false;
    const { rules, areWillsHeld } = this.#options;
    return areWillsHeld() || (!rules.isKnown(endpoint) && now - this.#startedAt < RULES_KNOWN_MS);
  }

  /** Publishes the will of an offline session if its delay is over. */
  publishWillIfDue(session: Session): void {
    this.#publishIfDue(session, steadyNow());
  }

  #publishIfDue(session: Session, now: number): void {
    if (session.will === null || session.disconnectedAt + session.will.delayMs > now || this.#isHeld(session, now)) return;
    this.#options.table.publishWill(session);
    this.#options.durable()?.update(toWireHead(session));
  }
}
