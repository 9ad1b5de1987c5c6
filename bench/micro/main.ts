/** `npm run bench:micro`: nanoseconds per call of the functions on the hot paths, and of a frame between two nodes. */

import { codec } from './codec.ts';
import { routing } from './routing.ts';
import { wire } from './wire.ts';

const HEAD = ['', 'median', 'best'] as const;

const measured = [...codec(), ...routing(), ...(await wire())];
const width = Math.max(...measured.map(({ name }) => name.length));
process.stdout.write(`${HEAD[0].padEnd(width)}  ${HEAD[1].padStart(10)}  ${HEAD[2].padStart(10)}\n`);
for (const { name, median, best } of measured) {
  process.stdout.write(`${name.padEnd(width)}  ${`${median.toFixed(0)} ns`.padStart(10)}  ${`${best.toFixed(0)} ns`.padStart(10)}\n`);
}
