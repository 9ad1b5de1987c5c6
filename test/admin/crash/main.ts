/** `npm run chaos:crash -- [--kills N] [--store LOCAL|POSTGRESQL|MYSQL|all] [--seed N]`: kills a broker in the middle of its changes, 200 times on each store; exit 1 and the seed when something was wrong. */

import { parseArgs } from 'node:util';
import { stackOf } from '../../../src/kernel/errors.ts';
import { killRepeatedly, STORES, type StoreName, withStore } from './kill-repeatedly.ts';

const { values } = parseArgs({
  options: { kills: { type: 'string', default: '200' }, store: { type: 'string', default: 'all' }, seed: { type: 'string' } },
});
const say = (line: string) => process.stdout.write(`${line}\n`);
const seed = values.seed === undefined ? Math.floor(Math.random() * 0x7fffffff) : Number(values.seed);
const stores = STORES.filter((store) => values.store === 'all' || store === values.store);
if (stores.length === 0) throw new Error(`--store: one of ${STORES.join(', ')}, all`);
say(`seed ${seed}`);

async function run(store: StoreName): Promise<void> {
  const startedAt = performance.now();
  const outcomes = await withStore(store, (section) => killRepeatedly(section, { kills: Number(values.kills), seed, report: say }));
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  say(
    `${store}: ${values.kills} kills in ${seconds} s, the change was there ${outcomes.there} times and not there ${outcomes.notThere} times; nothing was wrong`,
  );
}

try {
  for (const store of stores) await run(store);
  process.exit(0);
} catch (error) {
  process.stderr.write(`${stackOf(error)}\n`);
  process.exit(1);
}
