/** Well-behaved clients on every endpoint while others misbehave: they must lose nothing, get nothing twice, and wait for nothing. */

import type { QoS } from '../kit/encode.ts';
import * as encode from '../kit/encode.ts';
import { Inbox, Ledger, Pump } from '../kit/flow.ts';
import { RawClient } from '../kit/raw-client.ts';
import type { TransportName } from '../kit/transport.ts';
import { sleep, uid } from '../kit/until.ts';

export interface Place {
  transport: TransportName;
  port: number;
}

const PER_SECOND = 20;

async function join({ transport, port }: Place): Promise<RawClient> {
  const client = await RawClient.open(transport, port, 5);
  const { code } = await client.handshake({ clientId: uid('by'), keepAlive: 0 });
  if (code !== 0) throw new Error(`a bystander was refused with 0x${code.toString(16)}`);
  return client;
}

/** One publisher and one subscriber per QoS and endpoint; every subscriber gets the messages of all publishers of its QoS. */
export class Bystanders {
  readonly #clients: RawClient[] = [];
  readonly #pumps: { qos: QoS; pump: Pump | Plain }[] = [];
  readonly #ledgers: { qos: QoS; ledger: Ledger }[] = [];
  /** longest time from PUBLISH to arrival, milliseconds */
  slowest = 0;

  async start(places: readonly Place[]): Promise<void> {
    const topic = uid('bystander/');
    for (const qos of [0, 1, 2] as const) {
      for (const place of places) await this.#subscribe(place, `${topic}/${qos}/+`, qos);
      for (const [index, place] of places.entries()) {
        const client = await join(place);
        this.#clients.push(client);
        const name = `q${qos}e${index}`;
        const to = `${topic}/${qos}/${index}`;
        const pump = qos === 0 ? new Plain(client, name, to).start() : new Pump(client, name, to, qos, 50).startPaced(PER_SECOND);
        this.#pumps.push({ qos, pump });
      }
    }
  }

  async #subscribe(place: Place, filter: string, qos: QoS): Promise<void> {
    const client = await join(place);
    await client.subscribe(filter, qos);
    const ledger = new Ledger(qos);
    new Inbox(ledger, (message) => {
      const at = Number(message.payload.toString().split(':')[2]);
      if (at > 0) this.slowest = Math.max(this.slowest, Date.now() - at);
    }).attach(client);
    this.#clients.push(client);
    this.#ledgers.push({ qos, ledger });
  }

  get received(): number {
    return this.#ledgers.reduce((sum, { ledger }) => sum + ledger.count, 0);
  }

  /** @throws Error when a bystander was disconnected or got a wrong message */
  check(): void {
    if (this.#clients.some((client) => client.isClosed)) throw new Error('a bystander was disconnected');
    for (const { ledger } of this.#ledgers) if (ledger.faults.length > 0) throw new Error(ledger.faults.slice(0, 5).join('; '));
  }

  /** Stops publishing and waits for the rest. @throws Error when messages are missing or wrong */
  async finish(): Promise<void> {
    this.check();
    for (const { pump } of this.#pumps) await pump.stop();
    for (const { qos, ledger } of this.#ledgers)
      await ledger.complete(this.#pumps.filter((each) => each.qos === qos).map(({ pump }) => pump));
    this.check();
    for (const client of this.#clients) client.destroy();
  }
}

/** Numbered messages of QoS 0. */
class Plain {
  readonly name: string;
  sent = 0;
  readonly #client: RawClient;
  readonly #topic: string;
  #timer: NodeJS.Timeout | null = null;

  constructor(client: RawClient, name: string, topic: string) {
    this.#client = client;
    this.name = name;
    this.#topic = topic;
  }

  start(): this {
    this.#timer = setInterval(
      () => this.#client.send(encode.publish(5, this.#topic, `${this.name}:${this.sent++}:${Date.now()}`)),
      1000 / PER_SECOND,
    );
    return this;
  }

  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    await this.#client.ping();
    await sleep(50);
  }
}
