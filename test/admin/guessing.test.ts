/** Guessing passwords at the real broker: a file of its own, for it makes logins from its address slow. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Broker, startBroker } from '../kit/broker.ts';
import { freePort } from '../kit/free-port.ts';

let broker: Broker;
beforeAll(async () => {
  broker = await startBroker({
    config: { http: { host: '127.0.0.1', port: await freePort(), username: 'admin', password: 'correct horse' } },
  });
});
afterAll(async () => {
  await broker.stop();
});

test('is 429 after ten failures, while a known login still works', async () => {
  const known = { authorization: `Basic ${Buffer.from('admin:correct horse').toString('base64')}` };
  expect((await broker.api('GET', '/api/endpoints/list', undefined, known)).status).toBe(200);
  const statuses: number[] = [];
  for (let guess = 0; guess < 12; guess++) {
    statuses.push((await broker.api('POST', '/public/login', { username: 'admin', password: `guess ${guess}` })).status);
  }
  expect(statuses).toEqual([...Array<number>(10).fill(401), 429, 429]);
  const refused = await broker.api('POST', '/public/login', { username: 'admin', password: 'correct horse!' });
  expect(refused.status).toBe(429);
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
  // A right login is never refused because of wrong ones, known (Basic) or new (a token).
  expect((await broker.api('GET', '/api/endpoints/list', undefined, known)).status).toBe(200);
  expect((await broker.api('POST', '/public/login', { username: 'admin', password: 'correct horse' })).status).toBe(200);
  expect(await broker.log()).toContain('Auth of the admin API failed');
});
