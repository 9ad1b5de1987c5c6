/** A process that commits to a LOCAL store until it is killed, and says each revision that was answered. Argument: the data folder. */

import { writeSync } from 'node:fs';
import { openLocalStore } from '../../src/storage/local/local-store.ts';
import { META, put } from './store-changes.ts';

const store = await openLocalStore({ dataPath: process.argv[2] ?? '' });
for (;;) {
  const { revision } = await store.load();
  // Three rows a commit: a torn one would show.
  const changes = [1, 2, 3].map((port) => put(port, { maxConnectionSize: revision + 1 }));
  writeSync(1, `${await store.commit(changes, {}, META)}\n`);
}
