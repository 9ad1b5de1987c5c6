/** A large commit of a database store is made in turns. */

import { expect, test } from 'vitest';
import type { SqlConnection } from '../../../src/database/connection.ts';
import { sendInTurns } from '../../../src/storage/sql/send-in-turns.ts';

const SLOW_MS = 6;
const COUNT = 20;

/** Statements that each take their time to be made. */
function* slowly(): Generator<{ sql: string; values: [] }> {
  for (let n = 0; n < COUNT; n++) {
    const end = performance.now() + SLOW_MS;
    while (performance.now() < end);
    yield { sql: `${n}`, values: [] };
  }
}

function connection(answer: (sql: string) => Promise<unknown>): SqlConnection {
  return { query: answer } as unknown as SqlConnection;
}

test('the thread does other work between statements, which keep their order', async () => {
  const sent: string[] = [];
  let turns = 0;
  const counting = setInterval(() => turns++, 1);
  await sendInTurns(
    connection(async (sql) => void sent.push(sql)),
    slowly(),
  );
  clearInterval(counting);
  expect(sent).toEqual(Array.from({ length: COUNT }, (_, n) => `${n}`));
  expect(turns).toBeGreaterThanOrEqual(5);
});

test('an answer that fails between two turns is the fault of the whole, and of nothing else', async () => {
  const answers = connection((sql) => (sql === '1' ? Promise.reject(new Error('gone')) : Promise.resolve([])));
  await expect(sendInTurns(answers, slowly())).rejects.toThrow('gone');
});
