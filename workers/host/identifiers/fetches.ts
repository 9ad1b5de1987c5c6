/** Brings sessions into the session worker: those of clients that went offline, and those that another node recalls. */

import { steadyNow } from '../../../src/kernel/clock.ts';
import type { Mesh } from '../../shared/mesh/mesh.ts';
import type { SessionTable } from '../../shared/table/session-table.ts';
import type { SessionOffer } from '../../shared/wire/controls.ts';
import type { FetchStep, IdentifierEntry, Recall } from './entry.ts';

/** The registry, as a fetch calls it. */
export interface FetchOwner {
  /** The number of a new move of this entry. */
  newMove(entry: IdentifierEntry): number;
  /** The owner after the old one died: this worker when the disk has the session, else null. */
  restored(entry: IdentifierEntry): number | null;
  /** The step is over: the next one begins. */
  done(entry: IdentifierEntry): void;
  /** Begins the next step. */
  next(entry: IdentifierEntry): void;
  /** Called when the session of an offline client has arrived in this worker. */
  onFetched(session: ReturnType<SessionTable['create']>): void;
}

export class Fetches {
  readonly #mesh: Mesh;
  readonly #table: SessionTable;
  readonly #owner: FetchOwner;

  constructor(mesh: Mesh, table: SessionTable, owner: FetchOwner) {
    this.#mesh = mesh;
    this.#table = table;
    this.#owner = owner;
  }

  /** Asks the worker that holds the session to release it. @param recall of another node; null: the client went offline */
  begin(entry: IdentifierEntry, recall: Recall | null): void {
    const move = this.#owner.newMove(entry);
    entry.step = { kind: 'fetch', move, isTaking: false, since: steadyNow(), recall };
    const { namespace, clientId } = entry;
    const holder = this.#mesh.links.get(entry.owner!);
    const to = this.#mesh.self;
    if (holder === undefined) this.#arrived(entry, false);
    else holder.control({ t: 'release', namespace, clientId, move, to, discard: recall?.discard === true, by: recall?.by ?? null });
  }

  /** The holder has answered. */
  released(entry: IdentifierEntry, step: FetchStep, offer: SessionOffer | null | 'foreign'): void {
    if (offer === 'foreign') {
      step.recall?.answer('foreign');
      this.#owner.done(entry);
    } else if (offer === null) this.#arrived(entry, false);
    else {
      step.isTaking = true;
      void this.#take(entry, step.move, offer);
    }
  }

  async #take(entry: IdentifierEntry, move: number, offer: SessionOffer): Promise<void> {
    const session = this.#table.create(this.#mesh.namespace(entry.namespace), entry.clientId);
    const isHere = await this.#table.mover.take(move, session, offer, entry.owner!);
    if (isHere) this.#owner.onFetched(session);
    else this.#table.forget(session);
    if (entry.step?.move === move) this.#arrived(entry, isHere);
  }

  #arrived(entry: IdentifierEntry, isHere: boolean): void {
    const recall = entry.step?.kind === 'fetch' ? entry.step.recall : null;
    entry.owner = isHere ? this.#mesh.self : this.#owner.restored(entry);
    recall?.answer(entry.owner === null ? 'none' : 'held');
    this.#owner.done(entry);
  }

  /** Answers another node that wants the session, after a fetch if a worker holds the session. */
  recall(entry: IdentifierEntry, recall: Recall): void {
    const { owner, namespace, clientId } = entry;
    const isHere = owner === this.#mesh.self;
    if (owner !== null && !isHere && recall.isDue(entry)) {
      this.begin(entry, recall);
      return;
    }
    const isDue = isHere && recall.isDue(entry);
    const offer = isDue ? this.#table.release(namespace, clientId, 0, this.#mesh.self, recall.discard, recall.by) : null;
    if (isDue && offer === null) entry.owner = null;
    recall.answer(offer === null || offer === 'foreign' ? (offer ?? 'none') : 'held');
    this.#owner.next(entry);
  }
}
