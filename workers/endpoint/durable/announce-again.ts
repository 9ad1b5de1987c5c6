/** Announces durable sessions that are too large for one post to a new session worker: one session after another, in pieces. */

import { Pace } from '../../../src/kernel/turns/pace.ts';
import { toWireHead } from '../../shared/move/wire-session.ts';
import { encodeBatch } from '../../shared/session/flight/delivery-batch.ts';
import type { Session } from '../../shared/session/session.ts';
import { toWireSubscription } from '../../shared/session/wire-subscription.ts';
import type { DurableOp, WireSubscription } from '../../shared/wire/controls.ts';

/** Subscriptions, and bytes of deliveries, of one piece: small enough to be handled within milliseconds. */
const PIECE_FILTERS = 250;
const PIECE_BYTES = 16 * 1024;
/** Subscriptions and deliveries together above which a session is announced in pieces. */
const LARGE = 250;
/** Milliseconds of this work in one loop iteration. */
const SLICE_MS = 5;

export function needsPieces({ subscriptions, inflight, queue }: Session): boolean {
  return subscriptions.size + inflight.size + queue.length > LARGE;
}

/**
 * Announces the sessions, each in pieces. A session continues to work between two pieces: its changes are sent there, too, and a piece never
 * contains a settled delivery.
 * @param tell the last piece of a session is `again`
 * @param isOver the session worker has gone
 * @param gaveUp a session has ended, or has left, before it was announced in full
 */
export async function announceAgain(
  sessions: readonly Session[],
  tell: (session: Session, op: DurableOp) => void,
  isOver: () => boolean,
  gaveUp: (session: Session) => void,
): Promise<void> {
  const ends = sessions.map(beginAnnouncing);
  const pace = new Pace(SLICE_MS);
  for (const [at, session] of sessions.entries()) {
    for (const op of pieces(session)) {
      if (isOver() || session.isEnded || session.gate !== null) break;
      tell(session, op);
      // The pause comes after the send: otherwise a piece would be older than changes that are sent in the pause.
      if (pace.isOver) await pace.next();
    }
    if (!isOver() && (session.isEnded || session.gate !== null)) gaveUp(session);
    ends[at]!();
  }
}

/** Keeps the session here until it is announced in full. @returns a function that ends this */
function beginAnnouncing(session: Session): () => void {
  let resolve = (): void => {};
  const announcing = { unannounced: new Set<never>(), done: new Promise<void>((then) => (resolve = then)) };
  session.announcing = announcing;
  return () => {
    if (session.announcing?.done === announcing.done) session.announcing = null;
    resolve();
  };
}

function* pieces(session: Session): IterableIterator<DurableOp> {
  const unannounced = new Set([...session.inflight.inOrder(), ...session.queue]);
  if (session.announcing !== null) session.announcing = { ...session.announcing, unannounced };
  const subscriptions = session.subscriptions.values();
  for (let isFirst = true, hasMore = true; hasMore || unannounced.size > 0; isFirst = false) {
    const part: WireSubscription[] = [];
    while (part.length < PIECE_FILTERS && hasMore) {
      const next = subscriptions.next();
      if (next.done === true) hasMore = false;
      else part.push(toWireSubscription(next.value));
    }
    const batch = encodeBatch(unannounced, PIECE_BYTES);
    let left = batch.count;
    for (const delivery of unannounced) {
      if (left-- === 0) break;
      unannounced.delete(delivery);
    }
    yield { op: 'again-part', begins: isFirst ? toWireHead(session) : null, subscriptions: part, batch };
  }
  yield { op: 'again', session: toWireHead(session) };
}
