/** The gate of logins: who waits for a check, who does not, over several threads, and what is remembered. */

import { describe, expect, test } from 'vitest';
import { LoginGate, type LoginKeys } from '../../../src/kernel/logins/login-gate.ts';
import { createLoginMemory, LoginMemory } from '../../../src/kernel/logins/login-memory.ts';

const RATES = { userBurst: 10, userEveryMs: 200 };
const open = (memory = createLoginMemory()) => new LoginGate(new LoginMemory(memory), RATES);

/** Checks that come through in this time, each of them wrong. */
async function guesses(gates: readonly LoginGate[], keysOf: (gate: LoginGate, index: number) => LoginKeys, ms: number): Promise<number> {
  const end = performance.now() + ms;
  const isOver = (): boolean => performance.now() > end;
  let checked = 0;
  const guess = async (index: number): Promise<void> => {
    const gate = gates[index % gates.length]!;
    for (let time = 0; !isOver(); time++) {
      const keys = keysOf(gate, index);
      const credentials = gate.credentials('', `${index} ${time}`);
      if ((await gate.begin(keys, credentials, isOver)) !== 'check') return;
      checked++;
      gate.end(keys, 'wrong', credentials);
      gate.failed(keys);
    }
  };
  await Promise.all(Array.from({ length: 40 }, (_, index) => guess(index)));
  return checked;
}

describe('LoginGate', () => {
  test('lets 10 new guesses for one user through at once, then 5 a second, over all threads', async () => {
    const memory = createLoginMemory();
    const gates = [open(memory), open(memory), open(memory)];
    const checked = await guesses(gates, (gate) => gate.keysOf('192.0.2.1', 'e', 'ann'), 2_000);
    expect(checked).toBeGreaterThanOrEqual(15);
    expect(checked).toBeLessThanOrEqual(22);
  });

  test('lets 100 guesses for many users of one address through at once, then 20 a second', async () => {
    let user = 0;
    const checked = await guesses([open()], (gate) => gate.keysOf('192.0.2.1', 'e', `user ${user++}`), 2_000);
    expect(checked).toBeGreaterThanOrEqual(120);
    expect(checked).toBeLessThanOrEqual(145);
  });

  test('serves a user without failures before those who have many', async () => {
    const gate = open();
    const attack = guesses([gate], (each) => each.keysOf('192.0.2.1', 'e', 'ann'), 1_500);
    await new Promise((resolve) => setTimeout(resolve, 500));
    const startedAt = performance.now();
    const keys = gate.keysOf('192.0.2.1', 'e', 'bob');
    expect(await gate.begin(keys, 7n)).toBe('check');
    expect(performance.now() - startedAt).toBeLessThan(200);
    gate.end(keys, 'right', 7n);
    await attack;
  });

  test('limits guesses for one user over all addresses, and keeps out nobody from an address where the user logged in', async () => {
    const memory = createLoginMemory();
    const known = createLoginMemory();
    const gates = [0, 1].map(() => new LoginGate(new LoginMemory(memory), RATES, new LoginMemory(known)));
    const home = () => gates[1]!.keysOf('198.51.100.1', 'e', 'ann');
    expect(await gates[1]!.begin(home(), 7n)).toBe('check');
    gates[1]!.end(home(), 'right', 7n);
    let stranger = 0;
    const attack = guesses(gates, (gate) => gate.keysOf(`203.0.${(stranger >> 8) & 255}.${stranger++ & 255}`, 'e', 'ann'), 2_000);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const startedAt = performance.now();
    for (let login = 0; login < 20; login++) {
      const keys = home();
      expect(await gates[1]!.begin(keys, 7n)).toBe('check');
      gates[1]!.end(keys, 'right', 7n);
    }
    expect(performance.now() - startedAt).toBeLessThan(100);
    const checked = await attack;
    expect(checked).toBeGreaterThanOrEqual(210);
    expect(checked).toBeLessThanOrEqual(225);
    // Another user is not concerned.
    expect(gates[0]!.begin(gates[0]!.keysOf('203.0.113.9', 'e', 'bob'), 8n)).toBe('check');
  });

  test('takes the place of a right login only while it is checked', async () => {
    const gate = open();
    const keys = gate.keysOf('192.0.2.1', 'e', 'ann');
    for (let time = 0; time < 5_000; time++) {
      expect(gate.begin(keys, 7n)).toBe('check');
      gate.end(keys, 'right', 7n);
    }
  });

  test('serves those who wait as soon as right logins give their places back', async () => {
    const gate = open();
    const keys = gate.keysOf('192.0.2.1', 'e', 'ann');
    let done = 0;
    const login = async (): Promise<void> => {
      expect(await gate.begin(keys, 7n)).toBe('check');
      await new Promise((resolve) => setTimeout(resolve, 5));
      gate.end(keys, 'right', 7n);
      done++;
    };
    const startedAt = performance.now();
    await Promise.all(Array.from({ length: 300 }, login));
    expect(done).toBe(300);
    expect(performance.now() - startedAt).toBeLessThan(3_000);
  });

  test('gives up the one with the most failures when too many wait, and who has gone', async () => {
    const gate = open();
    const bad = gate.keysOf('192.0.2.1', 'e', 'ann');
    for (let time = 0; time < 10; time++) {
      const credentials = gate.credentials('', `${time}`);
      expect(gate.begin(bad, credentials)).toBe('check');
      gate.end(bad, 'wrong', credentials);
      gate.failed(bad);
      expect(gate.begin(bad, credentials)).toBe('wrong');
    }
    let isOver = false;
    const waiting = Array.from({ length: 1_100 }, (_, index) =>
      Promise.resolve(gate.begin(bad, gate.credentials('', `more ${index}`), () => isOver)),
    );
    isOver = true;
    const answers = await Promise.all(waiting);
    expect(answers.filter((admission) => admission === 'check').length).toBeLessThan(15);
  });

  test('checks the same wrong credentials once, however many bring them side by side', async () => {
    const gate = open();
    const keys = gate.keysOf('192.0.2.1', 'e', 'ann');
    gate.failed(keys);
    let checks = 0;
    const login = async (): Promise<void> => {
      if ((await gate.begin(keys, 7n)) !== 'check') return;
      checks++;
      await new Promise((resolve) => setTimeout(resolve, 20));
      gate.end(keys, 'wrong', 7n);
    };
    await Promise.all(Array.from({ length: 100 }, login));
    expect(checks).toBe(1);
  });

  test('counts failures of a user and an address, an IPv6 /64 and a mapped IPv4 address as one', () => {
    const gate = open();
    const fail = (address: string, user = 'ann') => gate.failed(gate.keysOf(address, 'e', user));
    expect([fail('10.0.0.1'), fail('::ffff:10.0.0.1'), fail('10.0.0.1', 'bob'), fail('10.0.0.2')]).toEqual([1, 2, 1, 1]);
    expect([fail('2001:db8::1'), fail('2001:db8:0:0:9::2'), fail('2001:db8:0:1::1')]).toEqual([1, 2, 1]);
  });
});

describe('LoginMemory', () => {
  test('empties a bucket with time', () => {
    let now = 1_000_000;
    const memory = new LoginMemory(createLoginMemory(), () => now);
    const key = memory.key('a');
    const takes = (count: number) => Array.from({ length: count }, () => memory.take(key, 100, 3));
    expect(takes(4)).toEqual([true, true, true, false]);
    now += 100;
    expect(takes(2)).toEqual([true, false]);
    memory.give(key, 100);
    expect(takes(2)).toEqual([true, false]);
    now += 1_000;
    expect(memory.level(key, 100)).toBe(0);
    expect(Array.from({ length: 6 }, () => memory.add(key, 100, 5))).toEqual([1, 2, 3, 4, 5, 5]);
  });

  test('is bounded: a million keys leave the newest', () => {
    let now = 1_000_000;
    const memory = new LoginMemory(createLoginMemory(), () => now);
    const first = memory.key('first');
    memory.take(first, 100, 3);
    for (let index = 0; index < 100_000; index++) {
      now += 1;
      const key = memory.key(`${index}`);
      memory.take(key, 60_000, 3);
      memory.noteWrong(key);
    }
    expect(memory.level(first, 100)).toBe(0);
    const last = memory.key('99999');
    expect([memory.level(last, 60_000), memory.isWrong(last), memory.isWrong(memory.key('never'))]).toEqual([1, true, false]);
  });
});
