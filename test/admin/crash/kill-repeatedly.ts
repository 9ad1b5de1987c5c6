/** Kills at every step of every kind of change, in turn, on one store. */

import { messageOf } from '../../../src/kernel/errors.ts';
import { startMariadb } from '../../kit/databases/mariadb.ts';
import { startPostgres } from '../../kit/databases/postgres.ts';
import { storeSection } from '../../kit/databases/store-section.ts';
import { CrashField, PLACES } from './crash-field.ts';
import { OPERATIONS } from './operations.ts';

export type StoreName = 'LOCAL' | 'POSTGRESQL' | 'MYSQL';

export const STORES: StoreName[] = ['LOCAL', 'POSTGRESQL', 'MYSQL'];

/** Runs `work` with the `store` section of a broker's configuration; null: LOCAL, in the broker's own folder. */
export async function withStore<T>(store: StoreName, work: (section: Record<string, unknown> | null) => Promise<T>): Promise<T> {
  if (store === 'LOCAL') return work(null);
  const server = await (store === 'POSTGRESQL' ? startPostgres() : startMariadb());
  try {
    return await work(await storeSection(server, store));
  } finally {
    await server.stop();
  }
}

/** Numbers that look random, the same for the same seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

export interface KillOptions {
  kills: number;
  seed: number;
  /** told now and then */
  report?: (line: string) => void;
}

/** @throws Error that says which kill left what; the numbers of places and operations have no common divisor, so that all pairs come */
export async function killRepeatedly(section: Record<string, unknown> | null, { kills, seed, report }: KillOptions) {
  const field = new CrashField(section, randomFrom(seed));
  for (let kill = 0; kill < kills; kill++) {
    const place = PLACES[kill % PLACES.length]!;
    const operation = OPERATIONS[kill % OPERATIONS.length]!;
    try {
      await field.round(place, operation);
    } catch (error) {
      throw new Error(`kill ${kill} (${operation} at ${place}, seed ${seed}): ${messageOf(error)}`, { cause: error });
    }
    if ((kill + 1) % 25 === 0) report?.(`${kill + 1} kills`);
  }
  await field.end();
  return field.outcomes;
}
