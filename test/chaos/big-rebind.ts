/** Rebinds an endpoint with many clients: how soon the new listener accepts, which clients notice, and the delay of other messages. */

import { performance } from 'node:perf_hooks';
import { startBroker } from '../kit/broker.ts';
import { freePort } from '../kit/free-port.ts';
import { connected } from '../kit/lanes.ts';
import { RawClient } from '../kit/raw-client.ts';
import { sleep } from '../kit/until.ts';
import { WIDE } from './rebind.ts';
import { Traffic } from './traffic.ts';

export interface BigRebindReport {
  clients: number;
  /** milliseconds from the POST to the first CONNACK on the new port */
  acceptingAfterMs: number;
  answeredAfterMs: number;
  dropped: number;
  refused: number;
  before: { p50: number; p99: number; max: number };
  during: { p50: number; p99: number; max: number };
}

/** Connects again and again until it is accepted. @returns milliseconds since `startedAt` */
async function firstAccepted(port: number, startedAt: number): Promise<number> {
  for (;;) {
    try {
      const client = await RawClient.open('tcp', port, 5);
      const { code } = await client.handshake({ clientId: '' });
      const at = performance.now() - startedAt;
      client.destroy();
      if (code === 0) return at;
    } catch {
      await sleep(1);
    }
  }
}

/** @param perSecond messages per second between clients of the endpoint */
export async function rebindWithClients(clients: number, perSecond: number): Promise<BigRebindReport> {
  const broker = await startBroker({ endpoints: [{ ...WIDE, id: 'big' }] });
  try {
    const port = broker.ports[0]!;
    const idle: RawClient[] = [];
    while (idle.length < clients)
      idle.push(...(await Promise.all(Array.from({ length: Math.min(50, clients - idle.length) }, () => connected('tcp', port, 5)))));
    const traffic = await Traffic.start({ transport: 'tcp', from: port, to: port, pairs: 4, perSecond });
    await sleep(500);
    traffic.latency();
    await sleep(2000);
    const before = traffic.latency();
    const newPort = await freePort();
    const startedAt = performance.now();
    const accepting = firstAccepted(newPort, startedAt);
    const { status } = await broker.api('POST', '/api/endpoints/update', { id: 'big', newPort });
    const answeredAfterMs = Math.round(performance.now() - startedAt);
    const acceptingAfterMs = Math.round(await accepting);
    await sleep(2000);
    const during = traffic.latency();
    let refused = status === 200 ? 0 : 1;
    for (let n = 0; n < 20; n++)
      await connected('tcp', newPort, 5).then(
        (client) => client.destroy(),
        () => refused++,
      );
    const dropped = idle.filter((client) => client.isClosed).length + traffic.dropped;
    await traffic.stop();
    for (const client of idle) client.destroy();
    return { clients, acceptingAfterMs, answeredAfterMs, dropped, refused, before, during };
  } finally {
    await broker.stop();
  }
}
