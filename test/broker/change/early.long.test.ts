/** Clients that try a port before its endpoint is there: the system refuses them in order until it listens, and nobody is let in and cut off. */

import { once } from 'node:events';
import { connect } from 'node:net';
import { expect, test } from 'vitest';
import { freePort } from '../../kit/free-port.ts';
import { useBroker } from '../../kit/lanes.ts';
import { RawClient } from '../../kit/raw-client.ts';
import { sleep, until } from '../../kit/until.ts';
import { WIDE } from '../faults/failing.ts';

const held = useBroker(() => ({ endpoints: [WIDE] }));
/** Clients that attempt one connection after the other. */
const IMPATIENT = 12;
const ROUNDS = 25;

/** Attempts until one stays open, and what each of the others came to. */
async function insist(port: number, outcomes: string[], isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    const socket = connect({ port, host: '127.0.0.1' });
    const outcome = await Promise.race([
      once(socket, 'error').then(([error]) => (error as NodeJS.ErrnoException).code ?? 'error'),
      once(socket, 'connect').then(() => 'open'),
    ]).catch((error: NodeJS.ErrnoException) => error.code ?? 'error');
    if (outcome !== 'open') {
      outcomes.push(outcome);
      socket.destroy();
      continue;
    }
    const closed = once(socket, 'close').then(
      () => true,
      () => true,
    );
    socket.on('error', () => {});
    if (await Promise.race([closed, sleep(20).then(() => false)])) outcomes.push('cut off');
    socket.destroy();
  }
}

test('who tries the new port of an endpoint again and again is refused until he is in', async () => {
  const outcomes: string[] = [];
  let from = held.broker.ports[0]!;
  for (let round = 0; round < ROUNDS; round++) {
    const newPort = await freePort();
    let isOver = false;
    const impatient = Array.from({ length: IMPATIENT }, () => insist(newPort, outcomes, () => isOver));
    const before = outcomes.length;
    await until('attempts', () => outcomes.length > before + 20);
    const { status, body } = await held.broker.api('POST', '/api/endpoints/update', { port: from, newPort });
    expect(status, JSON.stringify(body)).toBe(200);
    isOver = true;
    await Promise.all(impatient);
    const client = await RawClient.open('tcp', newPort, 5);
    expect((await client.handshake({ clientId: '' })).code).toBe(0);
    client.destroy();
    from = newPort;
  }
  expect(outcomes.filter((outcome) => outcome !== 'ECONNREFUSED')).toEqual([]);
  expect(outcomes.length).toBeGreaterThan(20 * ROUNDS);
}, 60_000);
