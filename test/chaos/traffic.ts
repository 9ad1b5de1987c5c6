/** Numbered QoS 1 messages between established clients: measures the time of each, and checks that none is lost, repeated or overtaken. */

import type { Publish } from '../kit/decode.ts';
import { Inbox, Ledger, Pump } from '../kit/flow.ts';
import { connected } from '../kit/lanes.ts';
import type { RawClient } from '../kit/raw-client.ts';
import type { TransportName } from '../kit/transport.ts';
import { uid } from '../kit/until.ts';

interface Lane {
  pump: Pump;
  ledger: Ledger;
  clients: RawClient[];
}

export interface TrafficOptions {
  transport: TransportName;
  from: number;
  to: number;
  /** pairs of one publisher and one subscriber */
  pairs: number;
  /** messages per second, over all pairs */
  perSecond: number;
}

export class Traffic {
  readonly #lanes: Lane[] = [];
  #latencies: number[] = [];

  static async start({ transport, from, to, pairs, perSecond }: TrafficOptions): Promise<Traffic> {
    const traffic = new Traffic();
    for (let n = 0; n < pairs; n++) {
      const topic = uid('chaos/');
      const ledger = new Ledger(1);
      const subscriber = await connected(transport, to, 5);
      await subscriber.subscribe(topic, 1);
      new Inbox(ledger, (message) => traffic.#time(message)).attach(subscriber);
      const publisher = await connected(transport, from, 5);
      const pump = new Pump(publisher, `p${n}`, topic, 1, 100).startPaced(perSecond / pairs);
      traffic.#lanes.push({ pump, ledger, clients: [publisher, subscriber] });
    }
    return traffic;
  }

  #time(message: Publish): void {
    const sentAt = Number(message.payload.toString('latin1').split(':')[2]);
    this.#latencies.push(Date.now() - sentAt);
  }

  /** Delays of messages since the last call, milliseconds: median, 99th percentile and longest. */
  latency(): { p50: number; p99: number; max: number; messages: number } {
    const sorted = this.#latencies.sort((a, b) => a - b);
    this.#latencies = [];
    const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
    return { p50: at(0.5), p99: at(0.99), max: sorted.at(-1) ?? 0, messages: sorted.length };
  }

  /** Number of clients that are no longer connected. */
  get dropped(): number {
    return this.#lanes.flatMap(({ clients }) => clients).filter((client) => client.isClosed).length;
  }

  /** Waits until everything has arrived. @returns the number of messages @throws Error that names missing or wrong messages */
  async stop(): Promise<number> {
    await Promise.all(this.#lanes.map(({ pump }) => pump.stop()));
    for (const { pump, ledger } of this.#lanes) await ledger.complete([pump], 20_000);
    for (const { clients } of this.#lanes) for (const client of clients) client.destroy();
    return this.#lanes.reduce((sum, { pump }) => sum + pump.sent, 0);
  }
}
