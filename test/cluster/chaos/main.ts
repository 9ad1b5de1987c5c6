/**
 * `npm run chaos:cluster -- [--changes N] [--store POSTGRESQL|MYSQL|LOCAL|all] [--seed N] [--numbers]`: 500 changes from three nodes while
 * everything is harmed; exit 1 and the seed when something was wrong. `--numbers`: nothing is harmed, and so many changes are timed.
 */

import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { stackOf } from '../../../src/kernel/errors.ts';
import { randomFrom } from '../../admin/crash/kill-repeatedly.ts';
import { chaos } from './chaos.ts';
import { STORES } from './field.ts';
import { measure } from './numbers.ts';

const { values } = parseArgs({
  options: {
    changes: { type: 'string', default: '500' },
    store: { type: 'string', default: 'all' },
    seed: { type: 'string' },
    numbers: { type: 'boolean', default: false },
  },
});
const say = (line: string) => process.stdout.write(`${line}\n`);
const seed = values.seed === undefined ? Math.floor(Math.random() * 0x7fffffff) : Number(values.seed);
const changes = Number(values.changes);
if (!Number.isSafeInteger(seed) || !Number.isSafeInteger(changes) || changes < 1) throw new Error('--seed and --changes are whole numbers');
const stores = STORES.filter((store) => values.store === 'all' || store === values.store);
if (stores.length === 0) throw new Error(`--store: one of ${STORES.join(', ')}, all`);
say(`seed ${seed}`);
try {
  for (const store of values.numbers ? stores : []) {
    const report = (part: object) =>
      say(
        `${store}: ${JSON.stringify(part)} (load average ${loadavg()
          .map((load) => load.toFixed(1))
          .join(' ')})`,
      );
    await measure(store, randomFrom(seed), changes, report);
  }
  for (const store of values.numbers ? [] : stores)
    say(`${store}: ${JSON.stringify(await chaos(store, { changes, seed }))}; nothing was wrong`);
  process.exit(0);
} catch (error) {
  process.stderr.write(`${stackOf(error)}\n`);
  process.exit(1);
}
