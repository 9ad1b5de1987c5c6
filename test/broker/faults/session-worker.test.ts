/** A session worker that throws, rejects or exits: connected clients stay, and claims, retained messages, durable sessions and takeover work afterwards. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Broker, startBroker } from '../../kit/broker.ts';
import * as encode from '../../kit/encode.ts';
import { Inbox, Ledger, Pump } from '../../kit/flow.ts';
import { connected } from '../../kit/lanes.ts';
import { second } from '../../kit/load.ts';
import { destroyAll, RawClient } from '../../kit/raw-client.ts';
import { sleep, uid } from '../../kit/until.ts';
import { crash, FAILURES, failing, threads, WIDE } from './failing.ts';

let started: Broker | null = null;
beforeAll(async () => {
  const endpoint = { ...WIDE, sessionPersistence: true, serverOptions: { workerGroupSize: 2 } };
  started = await startBroker(failing({ endpoints: [endpoint, { ...endpoint, useWebsocket: true }] }));
}, 40_000);
let again: Broker | null = null;
afterAll(async () => {
  destroyAll();
  for (const broker of [started, again]) await broker?.stop();
}, 40_000);

const TCP = ['tcp', 0] as const;
const WS = ['ws', 1] as const;
type Place = typeof TCP | typeof WS;

function client([transport, index]: Place, clientId = uid('c'), sessionExpiry = 0): Promise<RawClient> {
  return connected(transport, started!.ports[index]!, 5, { clientId, clean: false, properties: { sessionExpiry } });
}

test.each(FAILURES)(
  '%s',
  async (how) => {
    const broker = started!;
    const topic = uid('crash/');
    const ledgers: Ledger[] = [];
    for (const place of [TCP, WS]) {
      const subscriber = await client(place);
      await subscriber.subscribe(`${topic}/+`, 2);
      const ledger = new Ledger(2);
      new Inbox(ledger).attach(subscriber);
      ledgers.push(ledger);
    }
    // Durable sessions: one whose client is away, one whose client stays.
    const awayId = uid('away');
    const away = await client(TCP, awayId, 300);
    await away.subscribe(`${topic}/+`, 2);
    await away.disconnect();
    const stayId = uid('stay');
    const stay = await client(WS, stayId, 300);
    await stay.subscribe(`${topic}/+`, 2);
    const stayInbox = new Inbox(new Ledger(2));
    stayInbox.attach(stay);
    const plainId = uid('plain');
    const plain = await client(TCP, plainId);

    const publisher = await client(TCP);
    await publisher.publish(`${topic}-kept/1`, 'kept', { qos: 1, retain: true });
    const pumps: Pump[] = [];
    for (const [place, qos] of [
      [TCP, 1],
      [WS, 2],
    ] as const)
      pumps.push(new Pump(await client(place), `p${qos}`, `${topic}/${qos}`, qos, 5).startPaced(400));
    let isOver = false;
    let retained = 0;
    const retaining = (async () => {
      while (!isOver) {
        await publisher.publish(`${topic}-kept/2`, String(++retained), { qos: 1, retain: true });
        await sleep(5);
      }
    })();
    await sleep(100);

    const session = (await threads(broker)).find(({ role }) => role === 'session')!;
    let newcomers = 0;
    const coming = (async () => {
      while (!isOver) {
        const one = await client(newcomers % 2 === 0 ? TCP : WS);
        newcomers++;
        one.destroy();
        await sleep(10);
      }
    })();
    const took = await crash(broker, session.name, how, async () => (await threads(broker)).some(({ role }) => role === 'session'));
    expect(took, 'milliseconds until it was replaced').toBeLessThan(second());
    const soFar = newcomers;
    await sleep(200);
    isOver = true;
    await coming;
    await retaining;
    expect(newcomers, 'clients that came afterwards').toBeGreaterThan(soFar);
    for (const pump of pumps) await pump.stop();

    // Nobody who is connected has lost or got anything twice.
    for (const ledger of [...ledgers, stayInbox.ledger]) await ledger.complete(pumps);
    // The client that was away gets each acknowledged message once.
    const back = await RawClient.open('ws', broker.ports[1]!, 5);
    expect(await back.handshake({ clientId: awayId, clean: false, properties: { sessionExpiry: 300 } })).toMatchObject({
      sessionPresent: true,
    });
    const backInbox = new Inbox(new Ledger(2));
    backInbox.attach(back);
    await backInbox.ledger.complete(pumps);
    // Retained messages: from before, and the last one that was acknowledged.
    const reader = await client(WS);
    await reader.subscribe(`${topic}-kept/+`, 0);
    const found = await reader.publishes(2);
    expect(Object.fromEntries(found.map(({ topic: name, payload }) => [name.slice(-1), payload.toString()]))).toEqual({
      1: 'kept',
      2: String(retained),
    });
    // Takeover by a worker that had nothing to do with it.
    const taker = await client(WS, plainId);
    await taker.ping();
    const ended = await plain.closed();
    expect(ended.at(-1)).toMatchObject({ type: 'disconnect', code: 0x8e });
    Inbox.letGo(stay);
    const taken = await RawClient.open('tcp', broker.ports[0]!, 5);
    expect(await taken.handshake({ clientId: stayId, clean: false, properties: { sessionExpiry: 300 } })).toMatchObject({
      sessionPresent: true,
    });
    stayInbox.attach(taken);
    const last = new Pump(await client(TCP), 'last', `${topic}/2`, 2).start(50);
    await last.done();
    await stayInbox.ledger.complete([...pumps, last]);
    await backInbox.ledger.complete([...pumps, last]);
    const log = await broker.log();
    expect(log).toContain('the session worker ended and is replaced');
    expect(log).not.toContain('could not be handled');
  },
  30_000,
);

test('a durable session that was connected during the fault survives kill -9 afterwards, with what it had not acknowledged and nothing else', async () => {
  const broker = started!;
  const topic = uid('kill/');
  const id = uid('k');
  const one = await client(TCP, id, 300);
  await one.subscribe(topic, 2);
  const publisher = await client(WS);
  await publisher.publish(topic, 'before', { qos: 2 });
  await one.take();
  await publisher.publish(topic, 'held', { qos: 1 });
  await one.expect('publish');
  const session = (await threads(broker)).find(({ role }) => role === 'session')!;
  // Some of these are acknowledged while there is no session worker that could learn of them.
  for (let n = 0; n < 90; n++) await publisher.publish(topic, `early ${n}`, { qos: 1 });
  const early = await one.publishes(90);
  const acknowledging = (async () => {
    for (const { id: packetId } of early) {
      one.send(encode.puback(packetId));
      await sleep(4);
    }
  })();
  await crash(broker, session.name, 'throw', async () => (await threads(broker)).some(({ role }) => role === 'session'));
  await acknowledging;
  await publisher.publish(topic, 'after', { qos: 2 });
  const after = await one.expect('publish');
  await one.acknowledge(after);
  await publisher.publish(topic, 'open', { qos: 1 });
  await one.expect('publish');
  await one.ping();
  await sleep(100);
  await broker.kill('SIGKILL');

  again = await startBroker({ dir: broker.dir });
  const back = await RawClient.open('tcp', again.ports[0]!, 5);
  expect(await back.handshake({ clientId: id, clean: false, properties: { sessionExpiry: 300 } })).toMatchObject({ sessionPresent: true });
  const left = [await back.take(), await back.take()];
  expect(left.map(({ payload, dup }) => ({ text: payload.toString(), dup }))).toEqual([
    { text: 'held', dup: true },
    { text: 'open', dup: true },
  ]);
  await back.silence();
}, 30_000);
