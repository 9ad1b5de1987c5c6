/** kill -9 at each step of a change, on each store: afterwards the change is wholly there or not at all, and listeners, store and history agree. */

import { afterAll, beforeAll, describe, test } from 'vitest';
import { CrashField, PLACES } from './crash-field.ts';
import { randomFrom, STORES, withStore } from './kill-repeatedly.ts';
import { OPERATIONS } from './operations.ts';

describe.each(STORES)('a broker on %s that is killed', (store) => {
  let field: CrashField;
  let release: () => void;
  let released: Promise<void>;

  beforeAll(async () => {
    await new Promise<void>((ready, failed) => {
      released = withStore(store, (section) => {
        field = new CrashField(section, randomFrom(Date.now()));
        ready();
        return new Promise<void>((done) => {
          release = done;
        });
      });
      released.catch(failed);
    });
  });
  afterAll(async () => {
    release();
    await released;
  });

  // Every step, and on LOCAL every kind of change; `npm run chaos:crash` comes to all pairs.
  const kills = Array.from({ length: store === 'LOCAL' ? OPERATIONS.length : PLACES.length }, (_, n) => ({
    place: PLACES[n % PLACES.length]!,
    operation: OPERATIONS[n % OPERATIONS.length]!,
  }));

  test.each(kills)('at $place during $operation has all of it or nothing', async ({ place, operation }) => {
    await field.round(place, operation);
  });

  test('has everything in the end', async () => {
    await field.end();
  });
});
