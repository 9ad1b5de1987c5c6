/** Forces garbage collections, for tests of what stays in memory. */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Collects all garbage of this thread; twice, because finalizers free more. */
export async function collectGarbage(): Promise<void> {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  for (let round = 0; round < 2; round++) {
    // A WeakRef keeps its target until the end of the turn that has used it.
    await new Promise((resolve) => setImmediate(resolve));
    gc();
  }
}
