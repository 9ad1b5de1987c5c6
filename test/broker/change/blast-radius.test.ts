/** Changes, crashes and floods of one endpoint cost the clients of another one no message and next to no time (a short form of `npm run chaos`). */

import { availableParallelism, loadavg } from 'node:os';
import { expect, test } from 'vitest';
import { type BlastReport, blast, comesAndGoes, flooded } from '../../chaos/blast.ts';
import { useBroker } from '../../kit/lanes.ts';
import { crash, FAILURES, failing, WIDE, workersOf } from '../faults/failing.ts';

const held = useBroker(() =>
  failing({
    endpoints: [
      WIDE,
      { ...WIDE, id: 'crashing' },
      { ...WIDE, maxConnectionPerSecond: 100 },
      { ...WIDE, maxConnectionPerSecond: 100, useWebsocket: true },
    ],
  }),
);

/** Milliseconds that 50 are on a machine with other things to do. */
const added = () => 50 * Math.max(1, (2 * (loadavg()[0] ?? 0)) / availableParallelism());

const options = () => ({ broker: held.broker, calm: held.broker.ports[0]!, perSecond: 200, beforeMs: 1000 });

function check(report: BlastReport): void {
  expect(report.dropped).toBe(0);
  expect(report.messages).toBeGreaterThan(100);
  expect(report.during.p99 - report.before.p99, JSON.stringify(report)).toBeLessThan(added());
}

test('added, rebound and removed again and again', async () => {
  check(await blast('comes and goes', options(), comesAndGoes(10)));
}, 60_000);

test('its worker ends, in each way', async () => {
  const report = await blast('crash', options(), async (broker) => {
    for (const how of FAILURES) {
      const [thread] = await workersOf(broker, broker.ports[1]!, 'crashing');
      await crash(broker, thread!, how, async () => (await workersOf(broker, broker.ports[1]!, 'crashing')).length === 1);
    }
    return { crashes: FAILURES.length };
  });
  check(report);
}, 60_000);

test.each([
  ['TCP', 2],
  ['WebSocket', 3],
] as const)(
  '%s: flooded with connections far beyond its limit',
  async (_name, index) => {
    const port = held.broker.ports[index]!;
    const report = await blast('flood', options(), flooded(port, 1, 2));
    check(report);
    expect(report.detail['attempts']).toBeGreaterThan(500);
    const { body } = await held.broker.api('GET', `/api/endpoints/metrics?port=${port}&format=prometheus`);
    if (index === 2)
      expect(Number(/connection_errors_total\{[^}]*"connection_rate"[^}]*\} (\d+)/.exec(String(body))![1])).toBeGreaterThan(100);
  },
  60_000,
);
