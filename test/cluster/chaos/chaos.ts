/** Changes from all nodes while everything that they stand on is killed, held up and cut off; then the judgement. */

import { messageOf } from '../../../src/kernel/errors.ts';
import { randomFrom } from '../../admin/crash/kill-repeatedly.ts';
import { httpDoor, natsDoor } from './doors.ts';
import { Field, type StoreName } from './field.ts';
import { Harms } from './harms.ts';
import { judge } from './judge.ts';
import { type Answered, Writers } from './writer.ts';

export interface ChaosOptions {
  /** to be made; further ones are refused or not answered */
  changes: number;
  /** Harm ends after this time, once each kind was done; the remaining changes meet none. Absent: it ends with the changes. */
  harmSeconds?: number;
  seed: number;
}

export interface ChaosReport {
  /** how many changes were answered how */
  answers: Record<Answered, number>;
  /** how often each harm was done */
  harms: Record<string, number>;
  /** every kind of harm on this store */
  kinds: string[];
  seconds: number;
  /** from the moment in which everything was whole again until all nodes ran the same */
  convergedMs: number;
}

/** @throws Error that names the seed, and says what was wrong */
export async function chaos(store: StoreName, { changes, harmSeconds, seed }: ChaosOptions): Promise<ChaosReport> {
  const startedAt = performance.now();
  const field = await Field.open(store, Math.random);
  let report: ChaosReport;
  let door: Awaited<ReturnType<typeof natsDoor>> | null = null;
  try {
    door = await natsDoor(field);
    const until = performance.now() + (harmSeconds ?? 0) * 1000;
    const harms = new Harms(field, randomFrom(seed + 2));
    const writers = new Writers([...field.nodes.map(httpDoor), door], randomFrom(seed + 1), (changed) => {
      const isHarmed = harmSeconds === undefined ? changed < changes : performance.now() < until || !harms.isComplete;
      // Changes that still wait for their answers get them sooner when nothing is harmed.
      if (!isHarmed) harms.stop();
      return !isHarmed && changed >= changes;
    });
    try {
      await writers.run();
    } finally {
      await harms.end();
    }
    const convergedMs = Math.round(await judge(field, writers.ledger));
    const answers: ChaosReport['answers'] = { changed: 0, nothing: 0, refused: 0, unknown: 0 };
    for (const { answered } of writers.ledger) answers[answered]++;
    report = { answers, harms: harms.done, kinds: harms.kinds, seconds: Math.round((performance.now() - startedAt) / 1000), convergedMs };
  } catch (error) {
    const logs = process.env['CHAOS_LOGS'] === undefined ? [] : await Promise.all(field.nodes.map(({ broker }) => broker.log()));
    for (const [index, log] of logs.entries()) process.stderr.write(`--- node-${index + 1}\n${log}\n`);
    await field.close().catch(() => {});
    await door?.close();
    throw new Error(`${store}, seed ${seed}: ${messageOf(error)}`, { cause: error });
  }
  await door?.close();
  await field.close();
  return report;
}
