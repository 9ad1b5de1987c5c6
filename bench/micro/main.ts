/** `npm run bench:micro`: nanoseconds of the functions that the hot paths consist of. */

import { codec } from './codec.ts';
import { routing } from './routing.ts';

const HEAD = ['', 'median', 'best'] as const;

const measured = [...codec(), ...routing()];
const width = Math.max(...measured.map(({ name }) => name.length));
process.stdout.write(`${HEAD[0].padEnd(width)}  ${HEAD[1].padStart(10)}  ${HEAD[2].padStart(10)}\n`);
for (const { name, median, best } of measured) {
  process.stdout.write(`${name.padEnd(width)}  ${`${median.toFixed(0)} ns`.padStart(10)}  ${`${best.toFixed(0)} ns`.padStart(10)}\n`);
}
