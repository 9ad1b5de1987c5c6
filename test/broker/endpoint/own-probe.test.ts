/** The health check of an endpoint with a login: no failed login in the numbers, in the log, or for who shares its address. */

import { expect, test } from 'vitest';
import { useBroker } from '../../kit/lanes.ts';
import { RawClient } from '../../kit/raw-client.ts';
import { until } from '../../kit/until.ts';

const USERS = { authType: 'fixed', authConfig: { users: [{ username: 'u', password: 'p' }] } };
const held = useBroker(() => ({ endpoints: [{ ...USERS }, { ...USERS, useWebsocket: true }] }));

async function failures(): Promise<number[]> {
  const { body } = await held.broker.api('GET', '/public/metrics');
  const rows = [...(body as string).matchAll(/^fluxmq_endpoint_errors_total\{[^}]*"auth_failed"[^}]*\} (\d+)$/gm)];
  return rows.map(([, count]) => Number(count));
}

test('a health check is no failed login; a client that only calls itself so is one', async () => {
  for (let n = 0; n < 8; n++) {
    for (const port of held.broker.ports) {
      const health = await held.broker.api('GET', `/api/endpoints/health?port=${port}`);
      expect(health).toMatchObject({ status: 200, body: { data: [{ port, healthy: true }] } });
    }
  }
  expect(await failures()).toEqual([0, 0]);
  const pretender = await RawClient.open('tcp', held.broker.ports[0]!, 4);
  const before = performance.now();
  expect((await pretender.handshake({ clientId: 'fluxmq-probe-0123456789abcdef-01234567' })).code).toBe(5);
  // The answer to a first failure: those before it were none.
  expect(performance.now() - before).toBeLessThan(1_000);
  await pretender.closed();
  expect((await failures()).toSorted()).toEqual([0, 1]);
  const log = await until('the log', async () => {
    const text = await held.broker.log();
    return text.includes('fluxmq-probe-0123456789abcdef-01234567') ? text : null;
  });
  expect(log.match(/fluxmq-probe-/g)).toHaveLength(1);
});
