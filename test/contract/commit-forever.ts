/** A process that commits to a store until it is killed, and prints each answered revision. Argument: a StoreSpec as JSON. */

import { writeSync } from 'node:fs';
import { openSpec, type StoreSpec } from './databases.ts';
import { META, put } from './store-changes.ts';

const store = await openSpec(JSON.parse(process.argv[2] ?? '') as StoreSpec);
for (;;) {
  const { revision } = await store.load();
  // Three rows per commit reveal a torn commit.
  const changes = [1, 2, 3].map((port) => put(port, { maxConnectionSize: revision + 1 }));
  writeSync(1, `${await store.commit(changes, {}, META)}\n`);
}
