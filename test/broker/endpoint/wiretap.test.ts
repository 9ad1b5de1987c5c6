/** The `wiretap` of an endpoint: live, every packet a line, payloads cut, and no password in the log. */

import { expect, test } from 'vitest';
import { connected, useBroker } from '../../kit/lanes.ts';
import { uid, until } from '../../kit/until.ts';

const held = useBroker(() => ({
  endpoints: [{ enableAuth: true, authConfig: { users: [{ username: 'u', password: 'very-secret', encrypt: 'plain' }] } }],
}));

test('wiretap begins and ends with an update, and shows no more than 64 bytes of a packet', async () => {
  const { broker } = held;
  const port = broker.ports[0]!;
  const lines = async () => (await broker.log()).split('\n').filter((line) => line.includes(`Endpoint ${port} wiretap`));
  const login = { username: 'u', password: 'very-secret' };
  const early = await connected('tcp', port, 5, { clientId: uid('early'), ...login });
  await early.publish(uid('t/'), 'unseen', { qos: 1 });
  expect(await lines()).toEqual([]);

  const on = await broker.api('POST', '/api/endpoints/update', { port, wiretap: true });
  expect(on.body).toMatchObject({ data: { effect: 'live' } });
  const late = await connected('tcp', port, 4, { clientId: uid('late'), ...login });
  await late.subscribe('tapped/#', 1);
  await early.publish('tapped/q0', 'x'.repeat(500), { qos: 0 });
  await early.publish('tapped/q1', 'y'.repeat(500), { qos: 1 });
  await late.publishes(2);
  for (const text of ['in CONNECT', 'out CONNACK', 'in SUBSCRIBE', 'out SUBACK', 'in PUBLISH', 'out PUBLISH', 'out PUBACK']) {
    await until(`a line with ${text}`, async () => (await lines()).some((line) => line.includes(text)));
  }
  const seen = (await lines()).filter((line) => line.includes('PUBLISH'));
  expect(seen).toHaveLength(4);
  for (const line of seen) expect(line).toMatch(/"bytes":"[0-9a-f]{128}"/);
  const log = await broker.log();
  expect(log).not.toContain('very-secret');
  expect(log).not.toContain(Buffer.from('very-secret').toString('hex'));

  await broker.api('POST', '/api/endpoints/update', { port, wiretap: false });
  const before = (await lines()).length;
  await early.publish('tapped/q1', 'quiet again', { qos: 1 });
  await late.publishes(1);
  expect(await lines()).toHaveLength(before);
});
