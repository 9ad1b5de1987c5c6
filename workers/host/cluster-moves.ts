/**
 * Moves an offline session from a node to the node of a claim (docs/internals/nodes.md, Sessions between nodes). The old place keeps the session,
 * and all its messages, until the new place has them, on disk where durable. So a node that dies leaves the session on the other node, and no
 * message is lost. Source and serial identify a message that came to both places.
 */

import { steadyNow } from '../../src/kernel/clock.ts';
import type { Logger } from '../../src/kernel/logger.ts';
import type { Mesh } from '../shared/mesh/mesh.ts';
import { takeState, toWireHead, toWireSession } from '../shared/move/wire-session.ts';
import { Deliveries } from '../shared/session/flight/deliveries.ts';
import type { Delivery } from '../shared/session/flight/delivery.ts';
import type { Session } from '../shared/session/session.ts';
import { toWireSubscription } from '../shared/session/wire-subscription.ts';
import type { SessionTable } from '../shared/table/session-table.ts';
import type { Control, DurableOp } from '../shared/wire/controls.ts';
import type { SessionNews } from '../shared/wire/identifier-news.ts';
import type { LentEntry } from './identifiers/entry.ts';
import type { Registry } from './identifiers/registry.ts';
import { decodeHead, decodePart, encodeHead, encodePart, joinArrived, type LentHead } from './lent-session.ts';
import type { DurableSessions } from './sessions/durable-sessions.ts';

/** Bytes of deliveries in one part. */
const PART_BYTES = 256 * 1024;
/** A move without progress for so long is given up (ms): the session stays where it is. */
const SILENCE_MS = 5_000;
/** Messages that may come before the state; equal to the largest `maxQueuedMessages`. */
const ARRIVING_MAX = 1_000_000;

export interface ClusterMovesOptions {
  mesh: Mesh;
  table: SessionTable;
  registry(): Pick<Registry, 'lend' | 'adoptOffline'>;
  /** null: nothing is kept on disk */
  durable(): Pick<DurableSessions, 'apply' | 'committed'> | null;
  send(node: string, news: SessionNews): void;
  /** Another node has the session, with its will. */
  onLent(session: Session): void;
  /** To the relay. */
  tellRelay(control: Control): void;
  /** name of this node */
  node: string;
  logger(): Logger;
}

/** A session of this node that another node takes. */
interface Lent {
  readonly node: string;
  readonly move: number;
  readonly entry: LentEntry;
  /** deliveries that are not sent yet; null: the other node has not announced its filters */
  rest: Delivery[] | null;
  heardAt: number;
}

/** A session of another node that this node takes. */
interface Taking {
  readonly node: string;
  readonly deliveries: Deliveries;
  head: LentHead | null;
  heardAt: number;
  /** given up */
  isOver: boolean;
  /** called with the next answer; null: the other node has no such session, or the move is given up */
  resolve: (head: LentHead | null) => void;
  onFlushed: () => void;
}

/** `gone`: the other node has no such session; `failed`: it keeps the session. */
export type TakeResult = 'taken' | 'gone' | 'failed';

export class ClusterMoves {
  readonly #options: ClusterMovesOptions;
  readonly #lent = new Map<string, Lent>();
  readonly #taking = new Map<number, Taking>();
  readonly #flushes = new Map<number, Taking>();
  #lastFlush = 0;
  /** incarnation of this process, as the relay reports it */
  incarnation = 0;

  constructor(options: ClusterMovesOptions) {
    this.#options = options;
  }

  /**
   * Takes an offline session of another node; it is registered here afterwards.
   * @param move stamp of the claim
   */
  async take(node: string, namespace: string, clientId: string, move: number): Promise<TakeResult> {
    const { mesh, table, send, registry } = this.#options;
    const deliveries = new Deliveries();
    const taking: Taking = { node, deliveries, head: null, heardAt: steadyNow(), isOver: false, resolve() {}, onFlushed() {} };
    this.#taking.set(move, taking);
    const first = this.#answer(taking);
    send(node, { t: 'take', move, namespace, clientId });
    const head = await first;
    if (head === null) {
      this.#taking.delete(move);
      return taking.isOver ? 'failed' : 'gone';
    }
    taking.head = head;
    const session = table.create(mesh.namespace(namespace), clientId);
    // The true limit comes with the state.
    session.maxQueued = ARRIVING_MAX;
    const isHere = await this.#arrive(taking, session, move);
    this.#taking.delete(move);
    if (isHere) {
      registry().adoptOffline(namespace, clientId, session.endpoint, session.expirySeconds, session.stamp);
      send(node, { t: 'taken', move, namespace, clientId });
    } else {
      taking.deliveries.clear();
      table.forget(session);
      this.#options.logger().warn('A session of another node did not come in time', { namespace, clientId, node });
    }
    return isHere ? 'taken' : 'failed';
  }

  async #arrive(taking: Taking, session: Session, move: number): Promise<boolean> {
    const { table, send } = this.#options;
    const { head, deliveries } = taking;
    // A slow copy of a message that the client has already had at the old place must come before the filters do.
    await this.#flushHere(taking);
    if (taking.isOver) return false;
    // From here on every message that is routed anywhere comes here, too.
    await table.subscriptions.install(session, head!.subscriptions, null);
    // Every message routed before is at the old place.
    await this.#flush(taking, taking.node);
    const rest = this.#answer(taking);
    send(taking.node, { t: 'installed', move });
    const last = await rest;
    if (last === null) return false;
    // Every message that both places got is here, so that the copies are recognized.
    await this.#flushHere(taking);
    if (taking.isOver) return false;
    joinArrived(deliveries, session.queue);
    session.queue.clear();
    const { at } = last;
    const shift = steadyNow() - at;
    takeState(session, { ...last.session, disconnectedAt: last.session.disconnectedAt + shift }, deliveries);
    // A crash may leave two copies behind: this one must count as the later.
    session.stamp = move;
    if (!session.isDurable) return true;
    await this.#store(session.namespace.name, session.clientId, { op: 'begin', session: toWireSession(session) });
    return true;
  }

  async #store(namespace: string, clientId: string, op: DurableOp): Promise<void> {
    const durable = this.#options.durable();
    await Promise.all([durable?.apply(namespace, clientId, op), durable?.committed()]);
  }

  #answer(taking: Taking): Promise<LentHead | null> {
    if (taking.isOver) return Promise.resolve(null);
    return new Promise((resolve) => {
      taking.resolve = resolve;
    });
  }

  /** Resolves when everything that any node has routed so far has been taken by the node `to`. */
  #flush(taking: Taking, to: string): Promise<void> {
    if (taking.isOver) return Promise.resolve();
    const request = ++this.#lastFlush;
    return new Promise((resolve) => {
      taking.onFlushed = resolve;
      this.#flushes.set(request, taking);
      this.#options.tellRelay({ t: 'flush', request, to });
    });
  }

  /** Resolves when everything that any node has routed so far has come to this worker. */
  async #flushHere(taking: Taking): Promise<void> {
    const { mesh, node } = this.#options;
    await this.#flush(taking, node);
    await mesh.fence(mesh.links.keys());
  }

  flushed(request: number): void {
    const taking = this.#flushes.get(request);
    this.#flushes.delete(request);
    if (taking === undefined) return;
    taking.heardAt = steadyNow();
    taking.onFlushed();
  }

  /** @returns false for a move that this node does not know, and that the other node has finished */
  onNews(node: string, news: SessionNews): boolean {
    switch (news.t) {
      case 'take':
        this.#lend(node, news.move, news.namespace, news.clientId);
        return true;
      case 'installed':
        void this.#snapshot(this.#lentTo(node, news.move));
        return true;
      case 'lent-next':
        this.#sendNext(this.#lentTo(node, news.move));
        return true;
      case 'taken':
        return this.#give(node, news.move);
      case 'lent': {
        const taking = this.#takingOf(node, news.move);
        taking?.resolve(news.body === null ? null : decodeHead(news.body));
        return true;
      }
      case 'lent-part':
        this.#onPart(node, news);
        return true;
    }
  }

  #lentTo(node: string, move: number): Lent | undefined {
    const lent = this.#lent.get(`${node} ${move}`);
    if (lent !== undefined) lent.heardAt = steadyNow();
    return lent;
  }

  #takingOf(node: string, move: number): Taking | undefined {
    const taking = this.#taking.get(move);
    if (taking?.node !== node) return undefined;
    taking.heardAt = steadyNow();
    return taking;
  }

  #lend(node: string, move: number, namespace: string, clientId: string): void {
    const entry = this.#options.registry().lend(namespace, clientId);
    if (entry !== null) this.#lent.set(`${node} ${move}`, { node, move, entry, rest: null, heardAt: steadyNow() });
    this.#options.send(node, { t: 'lent', move, body: entry === null ? null : this.#headOf(entry.session) });
  }

  #headOf(session: Session): string {
    const subscriptions = [...session.subscriptions.values()].map(toWireSubscription);
    return encodeHead({ session: toWireHead(session), subscriptions, at: steadyNow(), incarnation: this.incarnation });
  }

  /** Collects the messages here, when everything routed before the new place was known has come. */
  async #snapshot(lent: Lent | undefined): Promise<void> {
    if (lent === undefined || lent.rest !== null) return;
    const { mesh } = this.#options;
    await mesh.fence(mesh.links.keys());
    const { inflight, queue } = lent.entry.session;
    lent.rest = [...inflight.inOrder(), ...queue];
    this.#sendNext(lent);
  }

  #sendNext(lent: Lent | undefined): void {
    if (lent === undefined || lent.rest === null) return;
    const { node, move, rest, entry } = lent;
    const part = encodePart(rest, PART_BYTES);
    lent.rest = rest.slice(part.count);
    const head = lent.rest.length === 0 ? this.#headOf(entry.session) : null;
    this.#options.send(node, { t: 'lent-part', move, ...part, head });
  }

  #onPart(node: string, { move, count, bytes, head }: Extract<SessionNews, { t: 'lent-part' }>): void {
    const taking = this.#takingOf(node, move);
    if (taking?.head == null) return;
    const { at, incarnation } = taking.head;
    for (const delivery of decodePart({ count, bytes }, incarnation, this.incarnation, steadyNow() - at)) taking.deliveries.add(delivery);
    if (head === null) this.#options.send(node, { t: 'lent-next', move });
    else taking.resolve(decodeHead(head));
  }

  /** The new place has the session. */
  #give(node: string, move: number): boolean {
    const lent = this.#lentTo(node, move);
    if (lent === undefined) return false;
    this.#lent.delete(`${node} ${move}`);
    const { session, over } = lent.entry;
    const { table } = this.#options;
    const { clientId, isDurable } = session;
    const namespace = session.namespace.name;
    // Its will and its messages of shared groups have gone with it.
    session.will = null;
    this.#options.onLent(session);
    table.forget(session);
    if (isDurable) void this.#store(namespace, clientId, { op: 'end', due: null });
    over(true);
    return true;
  }

  /** The link is lost or new: sessions under way stay where they are. */
  nodeLost(node: string): void {
    for (const lent of [...this.#lent.values()]) if (lent.node === node) this.#keep(lent);
    for (const taking of this.#taking.values()) if (taking.node === node) giveUp(taking);
  }

  /** The relay has ended: its answers do not come. */
  relayLost(): void {
    this.#flushes.clear();
    for (const lent of [...this.#lent.values()]) this.#keep(lent);
    for (const taking of this.#taking.values()) giveUp(taking);
  }

  #keep(lent: Lent): void {
    this.#lent.delete(`${lent.node} ${lent.move}`);
    lent.entry.over(false);
  }

  /** Gives up moves without progress. To be called a few times a second. */
  sweep(): void {
    const oldest = steadyNow() - SILENCE_MS;
    for (const lent of [...this.#lent.values()]) if (lent.heardAt < oldest) this.#keep(lent);
    for (const taking of this.#taking.values()) if (taking.heardAt < oldest) giveUp(taking);
  }
}

function giveUp(taking: Taking): void {
  taking.isOver = true;
  taking.resolve(null);
  taking.onFlushed();
}
