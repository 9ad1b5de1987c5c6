/** `npm run fuzz -- [--seconds N] [--seed N]`: fuzzes the built broker for 600 seconds by default; exit 1 and the seed after a fault. */

import { parseArgs } from 'node:util';
import { messageOf } from '../../src/kernel/errors.ts';
import { fuzz } from './fuzz.ts';

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '600' }, seed: { type: 'string' } } });
const seed = values.seed === undefined ? Math.floor(Math.random() * 0x7fffffff) : Number(values.seed);
process.stdout.write(`seed ${seed}\n`);
try {
  const result = await fuzz({ seed, seconds: Number(values.seconds), report: (line) => process.stdout.write(`${line}\n`) });
  process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
  process.exit(0);
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exit(1);
}
