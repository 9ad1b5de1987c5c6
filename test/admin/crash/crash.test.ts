/** kill -9 at each step of a change, on each store: afterwards the change is wholly there or not at all, and listeners, store and history agree. */

import { afterAll, beforeAll, describe, test } from 'vitest';
import { longer } from '../../kit/long.ts';
import { CrashField, PLACES, type Place } from './crash-field.ts';
import { randomFrom, STORES, withStore } from './kill-repeatedly.ts';
import { OPERATIONS, type OperationName } from './operations.ts';

interface Kill {
  place: Place;
  operation: OperationName;
}

/** Every step, and every kind of change; `npm run chaos:crash` comes to all pairs on each store. */
const ON_LOCAL: Kill[] = OPERATIONS.map((operation, n) => ({ place: PLACES[n % PLACES.length]!, operation }));

/** The steps in which a store takes part, the later ones with changes of several rows. */
const USUAL_ON_DATABASES: Kill[] = [
  { place: 'moment', operation: 'add' },
  { place: 'stored', operation: 'import' },
  { place: 'storing', operation: 'import' },
];
const ON_DATABASES: Kill[] = longer(USUAL_ON_DATABASES, [
  { place: 'storing', operation: 'add' },
  { place: 'activated', operation: 'makeDefault' },
  ...USUAL_ON_DATABASES,
]);

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

  test.each(store === 'LOCAL' ? ON_LOCAL : ON_DATABASES)(
    'at $place during $operation has all of it or nothing',
    async ({ place, operation }) => {
      await field.round(place, operation);
    },
  );

  test('has everything in the end', async () => {
    await field.end();
  });
});
