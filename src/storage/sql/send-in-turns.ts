/** Many statements of one transaction, made in turns of the thread. */

import type { SqlConnection } from '../../database/connection.ts';
import { Pace } from '../../kernel/turns/pace.ts';
import type { WriteStatement } from './statements.ts';

/** Sends statements without waiting for each answer: a large change must hold up neither its thread nor the lock of the state. */
export async function sendInTurns(connection: SqlConnection, writes: Iterable<WriteStatement>): Promise<void> {
  const pace = new Pace();
  const sent: Promise<unknown>[] = [];
  for (const { sql, values } of writes) {
    const answer = connection.query(sql, values);
    // An answer may fail between two turns, before anybody waits for it.
    answer.catch(() => {});
    sent.push(answer);
    if (pace.isOver) await pace.next();
  }
  await Promise.all(sent);
}
