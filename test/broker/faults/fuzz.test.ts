/** Twenty seconds of `npm run fuzz`, with a seed of the day's own: the failure names it. */

import { expect, test } from 'vitest';
import { fuzz } from '../../fuzz/fuzz.ts';

test('20 seconds of fuzzing: only the connections that misbehave end', async () => {
  const result = await fuzz({ seed: Math.floor(Math.random() * 0x7fffffff), seconds: 20 });
  expect(result.connections).toBeGreaterThan(500);
  expect(result.bystanderMessages).toBeGreaterThan(5000);
  expect(Object.keys(result.kinds).length).toBe(11);
}, 60_000);
