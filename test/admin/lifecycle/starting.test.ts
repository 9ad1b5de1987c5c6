/** A start that takes long: the admin API says so instead of refusing connections, and serves once every endpoint was tried. */

import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import { startBroker } from '../../kit/broker.ts';
import { freePort } from '../../kit/free-port.ts';
import { connected } from '../../kit/lanes.ts';
import { preload } from '../../kit/preload.ts';
import { until } from '../../kit/until.ts';

const HOOK = resolve(import.meta.dirname, '../../kit/slow-start.ts');
/** Longer than the start may take before the port opens, by a machine that is busy with other tests. */
const SLOW_MS = 14_000;

test('503 starting with Retry-After, then 200 with every endpoint', async () => {
  const port = await freePort();
  const config = { http: { host: '127.0.0.1', port } };
  const endpoints = [{ enableAuth: false }];
  const env = { NODE_OPTIONS: preload(HOOK), SLOW_START: `${SLOW_MS}` };
  const starting = startBroker({ config, endpoints, env, readyMs: 60_000 });
  starting.catch(() => {});
  const seen = new Set<string>();
  let retryAfter: string | null = null;
  await until(
    'it is up',
    async () => {
      const answer = await fetch(`http://127.0.0.1:${port}/health`);
      const { data } = (await answer.json()) as { data: { status: string } };
      seen.add(`${answer.status} ${data.status}`);
      retryAfter ??= answer.headers.get('retry-after');
      return answer.status === 200;
    },
    60_000,
    20,
  );
  expect([...seen]).toEqual(['503 starting', '200 ok']);
  expect(retryAfter).toBe('1');
  const broker = await starting;
  try {
    expect(await broker.log()).toContain('The start takes long');
    expect((await broker.api('GET', '/api/system/health')).body).toMatchObject({ data: { endpoints: { total: 1, running: 1 } } });
    await (await connected('tcp', broker.ports[0]!, 5)).disconnect();
  } finally {
    expect(await broker.stop()).toBe(0);
  }
}, 120_000);
