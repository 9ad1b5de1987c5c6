/** Members of a shared subscription come and go under load: each message to exactly one member, none lost while a persistent member exists (docs/internals/peers.md, Shared groups). */

import { expect, test } from 'vitest';
import { Inbox, Ledger, Pump } from '../../kit/flow.ts';
import { connected, useBroker } from '../../kit/lanes.ts';
import { RawClient } from '../../kit/raw-client.ts';
import { sleep, uid, until } from '../../kit/until.ts';
import { loadSeconds, PLACES, WIDE_ENDPOINTS } from './places.ts';

const SECONDS = loadSeconds(3);
const held = useBroker(() => ({ endpoints: WIDE_ENDPOINTS }));

/** How often each message came to any member. */
class Tally {
  readonly #counts = new Map<string, number>();

  inbox(onMessage: () => void = () => undefined): Inbox {
    return new Inbox(new Ledger(1), (message) => {
      onMessage();
      const key = message.payload.toString().split(':').slice(0, 2).join(':');
      this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    });
  }

  /** Messages that did not come exactly once, or, with `orMore`, not at all. */
  wrong(pumps: readonly Pump[], orMore: boolean): string[] {
    const wrong = [];
    for (const { name, sent } of pumps) {
      for (let number = 0; number < sent; number++) {
        const count = this.#counts.get(`${name}:${number}`) ?? 0;
        if (count === 0 || (count > 1 && !orMore)) wrong.push(`${name}:${number} ${count} times`);
      }
    }
    return wrong;
  }
}

/** One test: how much has happened, and whether that is enough. A machine that has much else to do takes longer for as much. */
class Run {
  readonly pumps: Pump[] = [];
  visits = 0;
  readonly #endsAt = performance.now() + SECONDS * 1000;

  get sent(): number {
    return this.pumps.reduce((sum, pump) => sum + pump.sent, 0);
  }

  isOver(): boolean {
    return performance.now() > this.#endsAt && this.sent > SECONDS * 400 && this.visits > SECONDS * 5;
  }
}

/** @param onSubscribed called when it has become a member */
async function persistentMember(qos: 1 | 2, filter: string, inbox: Inbox, run: Run, onSubscribed: () => void): Promise<void> {
  const clientId = uid('stay');
  let client: RawClient | null = null;
  for (let round = 0; ; round++) {
    const [transport, index] = PLACES[round % 2]!;
    const next = await RawClient.open(transport, held.broker.ports[index]!, 5);
    if (client !== null) Inbox.letGo(client);
    client = next;
    const { sessionPresent } = await client.handshake({ clientId, clean: false, properties: { sessionExpiry: 300 } });
    expect(sessionPresent).toBe(round > 0);
    inbox.attach(client);
    if (round === 0) {
      await client.subscribe(filter, qos);
      onSubscribed();
    }
    await sleep(20 + Math.random() * 30);
    if (run.isOver()) return;
    if (Math.random() < 0.5) {
      client.destroy();
      await sleep(Math.random() * 20);
    }
  }
}

async function visitor(n: number, qos: 1 | 2, filter: string, tally: Tally, isPolite: boolean, run: Run): Promise<void> {
  for (let visit = 0; !run.isOver(); visit++) {
    run.visits++;
    const [transport, index] = PLACES[(n + visit) % 2]!;
    const client = await connected(transport, held.broker.ports[index]!, 5);
    let got = 0;
    tally.inbox(() => got++).attach(client);
    await client.subscribe(filter, qos);
    await sleep(Math.random() * 40);
    if (isPolite) {
      await client.unsubscribe(filter);
      // Messages that the member got before are still its own: it stays until they are done.
      for (let last = -1; got !== last; ) {
        last = got;
        await client.ping();
        await sleep(30);
      }
    }
    client.destroy();
  }
}

test.each([
  [2, true],
  [1, false],
] as const)(
  'QoS %i, members leave politely: %s',
  async (qos, isPolite) => {
    const topic = uid('work/');
    const filter = `$share/g/${topic}/#`;
    const tally = new Tally();
    const run = new Run();
    let stay: Promise<void> = Promise.resolve();
    const isThere = new Promise<void>((resolve) => {
      stay = persistentMember(qos, filter, tally.inbox(), run, resolve);
    });
    await Promise.race([isThere, stay]);
    const { pumps } = run;
    for (let n = 0; n < 4; n++) {
      const [transport, index] = PLACES[n % 2]!;
      pumps.push(new Pump(await connected(transport, held.broker.ports[index]!, 5), `p${n}`, `${topic}/${n}`, qos, 10).startPaced(200));
    }
    await Promise.all([0, 1, 2, 3].map((n) => visitor(n, qos, filter, tally, isPolite, run)));
    await stay;
    for (const pump of pumps) await pump.stop();
    await until(
      'each message at one member',
      () => {
        const wrong = tally.wrong(pumps, !isPolite);
        if (wrong.length > 0) throw new Error(`${wrong.length} wrong: ${wrong.slice(0, 10).join(', ')}`);
        return true;
      },
      8000,
      100,
    );
    expect(run.sent).toBeGreaterThan(SECONDS * 400);
    expect(run.visits).toBeGreaterThan(SECONDS * 5);
  },
  SECONDS * 1000 + 30_000,
);
