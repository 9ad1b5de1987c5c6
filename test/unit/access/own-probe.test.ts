/** A node's own health check is refused without being counted; a client that has its name and brings a login is not taken for one. */

import { generate, type Packet } from 'mqtt-packet';
import { expect, test, vi } from 'vitest';
import { SLOT } from '../../../src/metrics/counters.ts';
import { feed, WHOLE } from '../client/cuts.ts';
import { settled, World } from '../client/world.ts';

async function failuresOf(options: {
  clientId: string;
  username?: string;
  password?: string;
}): Promise<{ sent: string; failures: number }> {
  const world = new World(1_000);
  const { config } = world.endpoint;
  world.endpoint.config = { ...config, endpoint: { ...config.endpoint, enableAuth: true } };
  const { client, wire } = world.client();
  const packet = { cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, keepalive: 0, ...options };
  await feed(client, generate(packet as Packet), WHOLE);
  await vi.waitFor(() => expect(wire.isEnded).toBe(true), 5_000);
  await settled();
  return { sent: wire.sent.toString('hex'), failures: world.endpoint.slots[SLOT.errorAuthFailed] ?? 0 };
}

test('the health check is refused and not counted', async () => {
  expect(await failuresOf({ clientId: 'probe-1' })).toEqual({ sent: '20020005', failures: 0 });
});

test.each([{ clientId: 'pro' }, { clientId: 'probe-1', username: 'u' }, { clientId: 'probe-1', username: 'u', password: 'p' }])(
  '%o is a failed login',
  async (options) => {
    expect(await failuresOf(options)).toMatchObject({ failures: 1 });
  },
);
