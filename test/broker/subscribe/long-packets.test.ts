/** SUBSCRIBE and UNSUBSCRIBE with hundreds of thousands of filters hold no thread, whether the filters are granted or not, and take effect wholly or not at all. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Broker, startBroker } from '../../kit/broker.ts';
import { frame } from '../../kit/encode.ts';
import { connected } from '../../kit/lanes.ts';
import { Passes } from '../../kit/passes.ts';
import { field, u8, u16 } from '../../kit/properties.ts';
import { destroyAll } from '../../kit/raw-client.ts';
import { sleep, uid } from '../../kit/until.ts';

const FILTERS = 200_000;
const GRANTED = 10;
/** CPU time of one pass of the event loop, milliseconds; read in one go, the filters take twice that. */
const PASS_MS = 120;

const passes = new Passes();
let broker: Broker;
beforeAll(async () => {
  broker = await startBroker(
    passes.measured({ endpoints: [{ enableAuth: false, maxSubscriptions: GRANTED, messageMaxSize: 4 * 1024 * 1024 }] }),
  );
}, 40_000);
afterAll(async () => {
  destroyAll();
  await broker.stop();
}, 40_000);

function body(version: 4 | 5, isSubscribe: boolean): Buffer[] {
  const parts = [u16(1), ...(version === 5 ? [u8(0)] : [])];
  for (let i = 0; i < FILTERS; i++) {
    parts.push(field(i.toString(36)));
    if (isSubscribe) parts.push(u8(0));
  }
  // As one: so many arguments are too many for a call.
  return [Buffer.concat(parts)];
}

test.each([4, 5] as const)(
  'MQTT %i: each filter has its code, and nobody else waits',
  async (version) => {
    const client = await connected('tcp', broker.ports[0]!, version);
    const packets = [frame(0x82, ...body(version, true)), frame(0xa2, ...body(version, false))];
    await sleep(500);
    const since = Date.now();
    client.send(packets[0]!);
    const { codes } = await client.expect('suback', 60_000);
    expect(codes).toHaveLength(FILTERS);
    expect(codes.slice(0, GRANTED)).toEqual(Array.from({ length: GRANTED }, () => 0));
    expect(new Set(codes.slice(GRANTED))).toEqual(new Set([version === 5 ? 0x97 : 0x80]));
    client.send(packets[1]!);
    await client.expect('unsuback', 60_000);
    await client.ping();
    const longest = passes.longest(since);
    expect(Math.max(0, ...Object.values(longest)), JSON.stringify(longest)).toBeLessThan(PASS_MS);
  },
  120_000,
);

test.each([4, 5] as const)(
  'MQTT %i: an ill-formed filter at the end, and nothing of the packet takes effect',
  async (version) => {
    const clientId = uid('c');
    const session = { clientId, clean: false, ...(version === 5 ? { properties: { sessionExpiry: 60 } } : {}) };
    const client = await connected('tcp', broker.ports[0]!, version, session);
    // Packets behind it in the same write are not handled either.
    client.send(
      Buffer.concat([
        frame(0x82, ...body(version, true), field('a/#/b'), u8(0)),
        frame(0x82, u16(2), ...(version === 5 ? [u8(0)] : []), field('x'), u8(0)),
      ]),
    );
    await client.refused();
    const again = await connected('tcp', broker.ports[0]!, version, session);
    const other = await connected('tcp', broker.ports[0]!, version);
    for (const topic of ['0', '1', 'x']) await other.publish(topic, 'heard', { qos: 1 });
    await again.silence();
  },
  60_000,
);
