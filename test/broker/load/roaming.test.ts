/** A session that roams over workers, endpoints and transports while messages for it arrive at full speed: nothing lost, order kept, QoS 2 exactly once (docs/internals/peers.md, Moves). */

import { expect, test } from 'vitest';
import * as encode from '../../kit/encode.ts';
import { droppedByReason, Inbox, Ledger, Pump } from '../../kit/flow.ts';
import { freePort } from '../../kit/free-port.ts';
import { connected, useBroker } from '../../kit/lanes.ts';
import { RawClient } from '../../kit/raw-client.ts';
import { sleep, uid } from '../../kit/until.ts';
import { loadSeconds, PLACES, WIDE, WIDE_ENDPOINTS } from './places.ts';

const SECONDS = loadSeconds(3);
const held = useBroker(() => ({ endpoints: WIDE_ENDPOINTS }));

/** How a client leaves its connection before, or while, it makes the next one. */
const WAYS = ['takeover', 'cut', 'disconnect'] as const;

class Roamer {
  readonly clientId = uid('roam');
  readonly inbox: Inbox;
  rounds = 0;
  #client: RawClient | null = null;

  constructor(qos: 1 | 2) {
    this.inbox = new Inbox(new Ledger(qos));
  }

  async connect(): Promise<RawClient> {
    const [transport, index] = PLACES[Math.floor(Math.random() * 2)]!;
    const client = await RawClient.open(transport, held.broker.ports[index]!, 5);
    if (this.#client !== null) Inbox.letGo(this.#client);
    const connect = {
      clientId: this.clientId,
      clean: false,
      properties: { sessionExpiry: 300, receiveMaximum: 1 + Math.floor(Math.random() * 30) },
    };
    client.send(encode.connect(5, connect));
    // The session comes with all that it has waiting, on a machine that may have much else to do.
    const { sessionPresent, code } = await client.expect('connack', 15_000);
    if (code !== 0) throw new Error(`CONNACK ${code}`);
    if (sessionPresent !== this.rounds++ > 0) throw new Error(`session present ${sessionPresent} in round ${this.rounds}`);
    this.inbox.attach(client);
    this.#client = client;
    return client;
  }

  async roam(isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      const way = WAYS[Math.floor(Math.random() * 3)]!;
      const old = this.#client!;
      if (way === 'cut') old.destroy();
      if (way === 'disconnect') {
        Inbox.letGo(old);
        await old.disconnect(0);
      }
      if (Math.random() < 0.5) await sleep(Math.random() * 8);
      await this.connect();
      await sleep(Math.random() * 10);
    }
  }
}

/** Workers that join and leave the mesh, as endpoints are added and removed. @param onDone called with each that has come and gone */
async function comeAndGo(isOver: () => boolean, onDone: () => void): Promise<void> {
  while (!isOver()) {
    const port = await freePort();
    expect((await held.broker.api('POST', '/api/endpoints/add', { port, host: '127.0.0.1', ...WIDE })).status).toBe(200);
    await sleep(Math.random() * 100);
    expect((await held.broker.api('POST', '/api/endpoints/remove', { port })).status).toBe(200);
    onDone();
  }
}

test.each([
  [1, false],
  [2, false],
  [2, true],
] as const)(
  'QoS %i: nothing is lost or reordered, QoS 2 comes exactly once; workers come and go: %s',
  async (qos, hasChurn) => {
    const topic = uid('roam/');
    const roamers = [new Roamer(qos), new Roamer(qos), new Roamer(qos)];
    for (const roamer of roamers) await (await roamer.connect()).subscribe(`${topic}/+`, qos);
    const pumps: Pump[] = [];
    for (let n = 0; n < 6; n++) {
      const [transport, index] = PLACES[n % 2]!;
      const client = await connected(transport, held.broker.ports[index]!, n % 3 === 0 ? 4 : 5);
      pumps.push(new Pump(client, `p${n}`, `${topic}/${n}`, qos, 4).startPaced(n === 0 ? 500 : 100));
    }
    const end = performance.now() + SECONDS * 1000;
    let changes = 0;
    const rounds = (): number => roamers.reduce((sum, roamer) => sum + roamer.rounds, 0);
    const sent = (): number => pumps.reduce((sum, pump) => sum + pump.sent, 0);
    // A machine that has much else to do takes longer for as much.
    const hasEnough = (): boolean => sent() > SECONDS * 100 && rounds() > SECONDS * 2 && (!hasChurn || changes > SECONDS / 2);
    const isOver = (): boolean => performance.now() > end && hasEnough();
    const churn = hasChurn ? comeAndGo(isOver, () => changes++) : null;
    await Promise.all([churn, ...roamers.map((roamer) => roamer.roam(isOver))]);
    if (hasChurn) expect(changes, 'endpoints added and removed').toBeGreaterThan(SECONDS / 2);
    await Promise.all(pumps.map((pump) => pump.stop()));
    expect(await droppedByReason(held.broker)).toMatchObject({ queue_full: 0, slow_consumer: 0, peer_overload: 0 });
    for (const { inbox } of roamers) await inbox.ledger.complete(pumps, 15_000);
    expect(sent(), 'messages').toBeGreaterThan(SECONDS * 100);
    expect(rounds(), 'reconnects').toBeGreaterThan(SECONDS * 2);
  },
  SECONDS * 1000 + 60_000,
);
