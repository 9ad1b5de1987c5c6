/** Many clients that hear numbered messages all the time, and the proof that none was lost, repeated or disconnected. */

import type { Publish } from '../kit/decode.ts';
import * as encode from '../kit/encode.ts';
import { RawClient } from '../kit/raw-client.ts';
import type { TransportName } from '../kit/transport.ts';
import { uid, until } from '../kit/until.ts';

const TOPICS = 10;
/** One message of QoS 0 and one of QoS 1 on every topic each time. */
const EVERY_MS = 250;
/** Connections opened side by side. */
const OPENING = 50;

export interface Place {
  transport: TransportName;
  port: number;
  clients: number;
}

/** Numbers that one client has heard, by topic. */
interface Hearer {
  client: RawClient;
  place: Place;
  topic: number;
  /** next number of QoS 0 and of QoS 1 */
  next: [number, number];
}

async function connect(place: Place, version: encode.Version): Promise<RawClient> {
  const client = await RawClient.open(place.transport, place.port, version);
  const connack = await client.handshake({ clientId: uid('f'), keepAlive: 0 });
  if (connack.code !== 0) throw new Error(`CONNACK ${connack.code} on port ${place.port}`);
  return client;
}

export class Flood {
  readonly #hearers: Hearer[] = [];
  readonly #speakers: RawClient[] = [];
  readonly faults: string[] = [];
  #timer: NodeJS.Timeout | null = null;
  #sent = 0;
  #unacknowledged = 0;
  heard = 0;

  /** Connects all clients, MQTT 3.1.1 and 5 by turns, each subscribed to one topic, and a publisher for each topic. */
  async open(places: Place[]): Promise<void> {
    const all = places.flatMap((place) => Array.from({ length: place.clients }, () => place));
    for (let from = 0; from < all.length; from += OPENING) {
      const part = all.slice(from, from + OPENING);
      this.#hearers.push(...(await Promise.all(part.map((place, index) => this.#hearer(place, from + index)))));
    }
    for (let topic = 0; topic < TOPICS; topic++) {
      const speaker = await connect(places[topic % places.length]!, 5);
      speaker.tap = (packet) => {
        if (packet.type === 'puback' && packet.code === 0) this.#unacknowledged--;
        else this.faults.push(`publisher ${topic} got ${JSON.stringify(packet)}`);
      };
      this.#speakers.push(speaker);
    }
  }

  async #hearer(place: Place, index: number): Promise<Hearer> {
    const client = await connect(place, index % 2 === 0 ? 5 : 4);
    const topic = index % TOPICS;
    const hearer: Hearer = { client, place, topic, next: [0, 0] };
    await client.subscribe([
      { filter: `flood/0/${topic}`, qos: 0 },
      { filter: `flood/1/${topic}`, qos: 1 },
    ]);
    client.tap = (packet) => {
      if (packet.type === 'publish') this.#hear(hearer, packet);
      else this.faults.push(`a client on port ${place.port} got ${JSON.stringify(packet)}`);
    };
    return hearer;
  }

  #hear(hearer: Hearer, message: Publish): void {
    const qos = message.qos === 0 ? 0 : 1;
    const number = Number(message.payload.toString());
    if (number !== hearer.next[qos] || message.dup || message.topic !== `flood/${qos}/${hearer.topic}`)
      this.faults.push(
        `port ${hearer.place.port}: ${message.topic} ${number} instead of ${hearer.next[qos]}${message.dup ? ' (DUP)' : ''}`,
      );
    hearer.next[qos] = number + 1;
    this.heard++;
    if (qos === 1) hearer.client.send(encode.puback(message.id));
  }

  start(): void {
    this.#timer = setInterval(() => this.#speak(), EVERY_MS);
  }

  #speak(): void {
    const number = String(this.#sent++);
    for (const [topic, speaker] of this.#speakers.entries()) {
      this.#unacknowledged++;
      speaker.send(
        encode.publish(5, `flood/0/${topic}`, number, { qos: 0 }),
        encode.publish(5, `flood/1/${topic}`, number, { qos: 1, id: speaker.id() }),
      );
    }
  }

  /** How many messages each client must have heard by now, of each QoS. */
  get sent(): number {
    return this.#sent;
  }

  /** Clients and publishers that are no longer connected. */
  get disconnected(): number {
    return [...this.#hearers.map(({ client }) => client), ...this.#speakers].filter((client) => client.isClosed).length;
  }

  /** Ends publishing and waits until every client has heard everything. @throws Error that says what is missing */
  async finish(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    const behind = (): Hearer[] => this.#hearers.filter(({ next }) => next[0] !== this.#sent || next[1] !== this.#sent);
    await until(
      'everything heard by everyone',
      () => {
        const [first] = behind();
        if (first !== undefined)
          throw new Error(`${behind().length} clients, one on port ${first.place.port}: ${first.next} of ${this.#sent}`);
        if (this.#unacknowledged > 0) throw new Error(`${this.#unacknowledged} messages are not acknowledged`);
        return true;
      },
      10_000,
    );
  }
}
