/** Subscribes to very many filters, packet by packet. */

import * as encode from './encode.ts';
import type { RawClient } from './raw-client.ts';
import { until } from './until.ts';

const PER_PACKET = 1_000;

/** Subscribes an MQTT 5 client to `count` filters with QoS 1. Each packet waits for the SUBACK of the one before. */
export async function subscribeMany(client: RawClient, count: number, filterOf: (i: number) => string): Promise<void> {
  let acknowledged = 0;
  client.tap = (packet) => {
    if (packet.type === 'suback') acknowledged++;
  };
  for (let i = 0; i < count; i += PER_PACKET) {
    const filters = Array.from({ length: PER_PACKET }, (_, k) => ({ filter: filterOf(i + k), qos: 1 as const }));
    client.send(encode.subscribe(5, i / PER_PACKET + 1, filters));
    await until('SUBACK', () => acknowledged === i / PER_PACKET + 1, 20_000, 2);
  }
  client.tap = null;
}
