/** Shared by SUBSCRIBE and UNSUBSCRIBE: filters are handled in turns, and the answer waits for other threads, within a deadline. */

import { REASON } from '../../../../src/mqtt/reason-codes.ts';
import type { Mesh } from '../../../shared/mesh/mesh.ts';
import type { Client } from '../../client/client.ts';
import { HOLD } from '../../client/input/packet-reader.ts';
import { filterTurns } from './filter-turns.ts';

/** A thread that has not answered within this time (ms) hangs. The client is closed then, because SUBACK could promise too much. */
const DEADLINE_MS = 10_000;

/**
 * Cuts `filters` into slices, one for each turn of this thread, and calls `handle` with each slice. While the loop iteration has room, the
 * slices follow at once, so that a short request does not wait.
 * @returns null when all slices are handled; else resolves to false when the session has left the client before the last one
 */
export function handleInTurns<T>(client: Client, filters: readonly T[], handle: (slice: readonly T[]) => void): Promise<boolean> | null {
  const { atOnce } = filterTurns;
  for (let at = 0; at < filters.length; at += atOnce) {
    const slice = filters.slice(at, at + atOnce);
    const turn = filterTurns.take(slice.length);
    if (turn !== null) return handleFromTurn(turn, client, filters.slice(at), handle);
    handle(slice);
  }
  return null;
}

async function handleFromTurn<T>(
  first: Promise<void>,
  client: Client,
  filters: readonly T[],
  handle: (slice: readonly T[]) => void,
): Promise<boolean> {
  const { session } = client;
  client.hold(HOLD.subscribe);
  let turn: Promise<void> | null = first;
  for (let at = 0; at < filters.length; at += filterTurns.atOnce) {
    const slice = filters.slice(at, at + filterTurns.atOnce);
    if (at > 0) turn = filterTurns.take(slice.length);
    if (turn !== null) await turn;
    if (client.session !== session) return false;
    handle(slice);
  }
  return true;
}

/**
 * Waits for all of `answers`. Holds what the client has sent behind the request, and closes the client after the deadline.
 * @param why goes into DISCONNECT
 */
export async function untilAnswered(client: Client, answers: readonly Promise<void>[], why: string): Promise<void> {
  client.hold(HOLD.subscribe);
  const late = setTimeout(() => client.close(REASON.serverBusy, why), DEADLINE_MS);
  await Promise.all(answers);
  clearTimeout(late);
}

/** @returns null: this thread has handled everything that its peers have posted; else resolves when it has */
export function untilDrained(mesh: Mesh): Promise<void> | null {
  let isDrained = false;
  const drained = new Promise<void>((resolve) => {
    mesh.whenDrained(() => {
      isDrained = true;
      resolve();
    });
  });
  return isDrained ? null : drained;
}
