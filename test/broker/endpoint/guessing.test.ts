/** Wrong logins behind one address: guessing stays slow, and nobody else is shut out (issue 10). */

import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { Version } from '../../kit/encode.ts';
import { useBroker } from '../../kit/lanes.ts';
import { RawClient } from '../../kit/raw-client.ts';
import type { TransportName } from '../../kit/transport.ts';
import { sleep, uid } from '../../kit/until.ts';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const users = Array.from({ length: 40 }, (_, index) => ({
  username: `user${index}`,
  password: sha256(`right${index}`),
  encrypt: 'sha256',
}));
const base = { maxConnectionPerSecond: 1_000_000, authType: 'fixed', authConfig: { users } };
const held = useBroker(() => ({
  endpoints: [
    { ...base },
    { ...base, serverOptions: { workerGroupSize: 3 } },
    { ...base, useWebsocket: true, serverOptions: { workerGroupSize: 2 } },
  ],
}));

/** The code of CONNACK and how long it took, milliseconds. */
async function login(transport: TransportName, endpoint: number, version: Version, username: string, password: string) {
  const startedAt = performance.now();
  const client = await RawClient.open(transport, held.broker.ports[endpoint]!, version);
  try {
    const { code } = await client.handshake({ clientId: uid('c'), username, password });
    return { code, ms: performance.now() - startedAt };
  } finally {
    client.destroy();
  }
}

/** Clients that try for so long, each again as soon as it is answered. @returns answers */
function attack(ms: number, clients: number, attempt: (client: number, time: number) => Promise<{ code: number }>): Promise<number[]> {
  const end = performance.now() + ms;
  const codes: number[] = [];
  const one = async (client: number): Promise<void> => {
    for (let time = 0; performance.now() < end; time++) {
      const answer = await attempt(client, time).catch(() => null);
      // A guesser without an answer in time gives up, and tries the next password.
      if (answer !== null) codes.push(answer.code);
    }
  };
  return Promise.all(Array.from({ length: clients }, (_, index) => one(index))).then(() => codes);
}

// Each has users of its own.
describe.each([
  ['tcp', 0, 5, 0],
  ['tcp', 1, 4, 1],
  ['ws', 2, 5, 2],
  ['tcp', 1, 3, 3],
] as [TransportName, number, Version, number][])('%s, endpoint %i, MQTT %i', (transport, endpoint, version, place) => {
  const wrong = version === 5 ? 0x86 : 4;

  test('20 devices with an old password delay nobody', async () => {
    const user = 10 + place;
    const devices = attack(5_000, 20, () => login(transport, endpoint, version, `user${user}`, 'old'));
    await sleep(500);
    const times: number[] = [];
    for (let time = 0; time < 10; time++) {
      // The same user as theirs, and others.
      const right = time % 2 === 0 ? user : 20 + time;
      const { code, ms } = await login(transport, endpoint, version, `user${right}`, `right${right}`);
      expect(code).toBe(0);
      times.push(ms);
      await sleep(100);
    }
    expect(times.sort((one, other) => one - other)[5]).toBeLessThan(300);
    expect(new Set(await devices)).toEqual(new Set([wrong]));
  }, 20_000);

  test('guessing one password is slow, over all threads, and logins of other users are not', async () => {
    const user = place;
    const seen: number[] = [];
    const guesses = attack(4_000, 30, (client, time) => login(transport, endpoint, version, `user${user}`, `guess ${client} ${time}`));
    await sleep(1_000);
    for (let time = 0; time < 5; time++) {
      const { code, ms } = await login(transport, endpoint, version, `user${30 + time}`, `right${30 + time}`);
      expect(code).toBe(0);
      seen.push(ms);
    }
    expect(seen.sort((one, other) => one - other)[2]).toBeLessThan(300);
    const codes = await guesses;
    expect(new Set(codes)).toEqual(new Set([wrong]));
    // 20 at once, then 5 a second; the last of them wait beyond the end.
    expect(codes.length).toBeLessThan(20 + 5 * 10 + 5);
    const { code } = await login(transport, endpoint, version, `user${user}`, `right${user}`);
    expect(code).toBe(0);
  }, 30_000);
});
