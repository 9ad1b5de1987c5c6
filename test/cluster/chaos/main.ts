/**
 * `npm run chaos:cluster -- [--changes N] [--store POSTGRESQL|MYSQL|LOCAL|all] [--seed N] [--numbers]`: 500 changes from three nodes while
 * everything is harmed; exit 1 and the seed when something was wrong. `--numbers`: nothing is harmed, and so many changes are timed.
 *
 * `-- --messages [--minutes N] [--seed N] [--harms 'node killed,relay killed'] [--verbose]`: messages of every kind instead of changes; exit 1, the seed and the first fault with
 * what happened before it. `-- --suback ROUNDS`: publishes on another node after a SUBACK, beside a storm of filters and dying relays.
 */

import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { stackOf } from '../../../src/kernel/errors.ts';
import { randomFrom } from '../../admin/crash/kill-repeatedly.ts';
import { chaos } from './chaos.ts';
import { STORES } from './field.ts';
import { messagesChaos } from './messages/run.ts';
import { subackRounds } from './messages/suback.ts';
import { measure } from './numbers.ts';

const { values } = parseArgs({
  options: {
    changes: { type: 'string', default: '500' },
    store: { type: 'string', default: 'all' },
    seed: { type: 'string' },
    numbers: { type: 'boolean', default: false },
    messages: { type: 'boolean', default: false },
    minutes: { type: 'string', default: '2' },
    verbose: { type: 'boolean', default: false },
    harms: { type: 'string' },
    suback: { type: 'string' },
  },
});
const say = (line: string) => process.stdout.write(`${line}\n`);
const seed = values.seed === undefined ? Math.floor(Math.random() * 0x7fffffff) : Number(values.seed);
const changes = Number(values.changes);
if (!Number.isSafeInteger(seed) || !Number.isSafeInteger(changes) || changes < 1) throw new Error('--seed and --changes are whole numbers');
const stores = STORES.filter((store) => values.store === 'all' || store === values.store);
if (stores.length === 0) throw new Error(`--store: one of ${STORES.join(', ')}, all`);
const minutes = Number(values.minutes);
if (!(minutes > 0)) throw new Error('--minutes is a number above 0');
const rounds = Number(values.suback ?? 0);
if (!Number.isSafeInteger(rounds) || rounds < 0) throw new Error('--suback is a whole number of rounds');
const load = () =>
  `load average ${loadavg()
    .map((each) => each.toFixed(1))
    .join(' ')}`;
say(`seed ${seed}`);
try {
  if (values.messages) {
    const only = values.harms === undefined ? {} : { only: values.harms.split(',') };
    const report = await messagesChaos({ seconds: minutes * 60, seed, ...only, ...(values.verbose ? { echo: say } : {}) });
    say(`${JSON.stringify(report, null, 2)}; nothing was wrong (${load()})`);
    process.exit(0);
  }
  if (rounds > 0) {
    say(`${JSON.stringify(await subackRounds(rounds, say))}; none was missed (${load()})`);
    process.exit(0);
  }
  for (const store of values.numbers ? stores : []) {
    const report = (part: object) => say(`${store}: ${JSON.stringify(part)} (${load()})`);
    await measure(store, randomFrom(seed), changes, report);
  }
  for (const store of values.numbers ? [] : stores)
    say(`${store}: ${JSON.stringify(await chaos(store, { changes, seed }))}; nothing was wrong`);
  process.exit(0);
} catch (error) {
  process.stderr.write(`${stackOf(error)}\n`);
  process.exit(1);
}
