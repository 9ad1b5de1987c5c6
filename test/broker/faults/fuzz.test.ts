/** Some seconds of `npm run fuzz`, with a random seed: the failure names it. */

import { expect, test } from 'vitest';
import { fuzz } from '../../fuzz/fuzz.ts';
import { longer } from '../../kit/long.ts';

const SECONDS = longer(7, 20);

test(`${SECONDS} seconds of fuzzing: only the connections that misbehave end`, async () => {
  const result = await fuzz({ seed: Math.floor(Math.random() * 0x7fffffff), seconds: SECONDS });
  expect(result.connections).toBeGreaterThan(15 * SECONDS);
  expect(result.bystanderMessages).toBeGreaterThan(150 * SECONDS);
  expect(Object.keys(result.kinds).length).toBe(11);
}, 60_000);
