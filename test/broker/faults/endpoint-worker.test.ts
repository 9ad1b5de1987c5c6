/** An endpoint worker that throws, rejects or exits: replaced within a second, seen and counted, and nothing else notices (issue "Bad input and faults"). */

import { expect, test } from 'vitest';
import { Inbox, Ledger, Pump } from '../../kit/flow.ts';
import { connected, useBroker } from '../../kit/lanes.ts';
import { second } from '../../kit/load.ts';
import { RawClient } from '../../kit/raw-client.ts';
import { sleep, uid, until } from '../../kit/until.ts';
import { crash, FAILURES, failing, status, WIDE, workersOf } from './failing.ts';

const LIMIT = 30;
const held = useBroker(() =>
  failing({
    endpoints: [
      { ...WIDE, serverOptions: { workerGroupSize: 2 } },
      { ...WIDE, useWebsocket: true, serverOptions: { workerGroupSize: 2 } },
      { ...WIDE, maxConnectionSize: LIMIT, serverOptions: { workerGroupSize: 2 } },
      { ...WIDE, useWebsocket: true, maxConnectionSize: LIMIT, serverOptions: { workerGroupSize: 2 } },
      WIDE,
    ],
  }),
);
/** The only worker of its endpoint. */
const ALONE = 4;
const PLACES = [
  ['tcp', 0, 2],
  ['ws', 1, 3],
] as const;

const CASES = PLACES.flatMap(([transport, other, limited]) => FAILURES.map((how) => [transport, how, other, limited] as const));

test.each(CASES)(
  '%s worker, %s: others lose nothing, it is replaced within a second, its places are free again',
  async (transport, how, other, limited) => {
    const { broker } = held;
    const port = broker.ports[limited]!;
    const topic = uid('crash/');
    // Bystanders on other workers, of both transports.
    const ledgers: Ledger[] = [];
    for (const [name, index] of [
      ['tcp', 0],
      ['ws', 1],
      ['tcp', 0],
      ['ws', 1],
    ] as const) {
      const client = await connected(name, broker.ports[index]!, 5);
      await client.subscribe(`${topic}/+`, 2);
      const ledger = new Ledger(2);
      new Inbox(ledger).attach(client);
      ledgers.push(ledger);
    }
    const pumps: Pump[] = [];
    for (const qos of [1, 2] as const) {
      const client = await connected(transport, broker.ports[other]!, 5);
      pumps.push(new Pump(client, `p${qos}`, `${topic}/${qos}`, qos, 10).startPaced(300));
    }
    const victims: RawClient[] = [];
    for (let n = 0; n < LIMIT; n++) victims.push(await connected(transport, port, 5));
    const refused = await RawClient.open(transport, port, 5);
    expect((await refused.handshake({ clientId: uid('r') })).code).toBe(0x97);
    await refused.closed();

    const before = await status(broker, port);
    const [thread] = await workersOf(broker, port);
    const took = await crash(broker, thread!, how, async () => (await status(broker, port)).workers === 2);
    expect(took, 'milliseconds until it was replaced').toBeLessThan(second());
    const after = await status(broker, port);
    expect(after).toMatchObject({ state: 'running', restarts: before.restarts + 1 });
    await until(
      'the clients of the lost worker see it',
      () => victims.filter((client) => client.isClosed).length === LIMIT - after.connections,
    );
    const survivors = victims.filter((client) => !client.isClosed);
    for (const client of survivors) await client.ping();

    // The limit is exact again: as many as were lost, and not one more.
    const fresh: RawClient[] = [];
    for (let n = survivors.length; n < LIMIT; n++) fresh.push(await connected(transport, port, 5));
    const over = await RawClient.open(transport, port, 5);
    expect((await over.handshake({ clientId: uid('r') })).code).toBe(0x97);

    // A subscriber at the replaced worker gets what is published elsewhere.
    const late = fresh.at(-1) ?? survivors[0]!;
    await late.subscribe(`${topic}/late`, 1);
    await (await connected('tcp', broker.ports[0]!, 5)).publish(`${topic}/late`, 'late:0', { qos: 1 });
    expect((await late.take()).payload.toString()).toBe('late:0');

    await sleep(100);
    for (const pump of pumps) await pump.stop();
    for (const ledger of ledgers) await ledger.complete(pumps);
    const log = await broker.log();
    expect(log).toContain(`Endpoint ${port} lost its worker ${thread}`);
    expect(log).toContain(how === 'exit' ? 'exit code 3' : 'failpoint');
    expect(log).not.toContain('could not be handled');
    for (const client of [...survivors, ...fresh]) client.destroy();
  },
  30_000,
);

test('the only worker of an endpoint fails: new connections wait for the next one, and nobody is refused', async () => {
  const { broker } = held;
  const port = broker.ports[ALONE]!;
  const outcomes: Promise<string>[] = [];
  // Connections of the failed worker are cut off, which this test does not judge.
  const attempt = async (): Promise<string> => {
    try {
      const client = await RawClient.open('tcp', port, 5);
      await client.handshake({ clientId: uid('c') });
      client.destroy();
      return 'connected';
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? 'cut off';
    }
  };
  const storm = setInterval(() => outcomes.push(attempt()), 5);
  const [thread] = await workersOf(broker, port);
  await crash(broker, thread!, 'exit', async () => (await status(broker, port)).workers === 1);
  const last = outcomes.length;
  await until('some more have come', () => outcomes.length > last + 20);
  clearInterval(storm);
  const all = await Promise.all(outcomes);
  expect(all.filter((outcome) => outcome === 'ECONNREFUSED')).toEqual([]);
  expect(all.slice(-15)).toEqual(Array.from({ length: 15 }, () => 'connected'));
}, 30_000);
