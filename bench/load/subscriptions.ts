/** A storm of subscriptions beside the messages: ten clients return and subscribe to all their filters at once. */

import type { Order } from '../scenario.ts';
import { Link, type PacketSink } from './link.ts';
import { subscribe } from './packets.ts';

const CLIENTS = 10;
const PACKET_FILTERS = 100;

/** Filters that match no published topic; a fifth of them has wildcards. */
function filtersOf(client: number, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `storm/${client}/${i}/${i % 5 === 0 ? '+' : 'value'}`);
}

/** Resolves when every filter is acknowledged. @throws Error when a connection ends or a filter is refused */
export async function subscribeMany(order: Order): Promise<void> {
  const { load, port } = order;
  const each = Math.ceil(load.newFilters / CLIENTS);
  const client = async (index: number): Promise<void> => {
    const link = new Link(load, port, index, `bench-filters-${index}`);
    const filters = filtersOf(index, each);
    const packets: Buffer[] = [];
    for (let at = 0; at < filters.length; at += PACKET_FILTERS)
      packets.push(subscribe(load, packets.length + 1, filters.slice(at, at + PACKET_FILTERS)));
    await new Promise<void>((resolve, reject) => {
      let missing = packets.length;
      const sink: PacketSink = {
        onPacket(_link, first, buf, _body, end) {
          if (first !== 0x90) return;
          if (buf[end - 1]! > 2) reject(new Error(`SUBSCRIBE refused with ${buf[end - 1]}`));
          if (--missing === 0) resolve();
        },
        onEnd: (_link, reason) => reject(new Error(`while subscribing: ${reason}`)),
      };
      link.listen(sink);
      link.opened().then(() => link.send(Buffer.concat(packets)), reject);
    });
    link.close();
  };
  await Promise.all(Array.from({ length: CLIENTS }, (_, index) => client(index)));
}
