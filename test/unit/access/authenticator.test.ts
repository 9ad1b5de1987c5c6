/** Logins: order of the entries, filters, unknown users, delays and limits of an address. */

import { createHash } from 'node:crypto';
import { beforeEach, describe, expect, test } from 'vitest';
import type { AuthConfig } from '../../../src/endpoint/endpoint.ts';
import { parseAuthList } from '../../../src/endpoint/schema.ts';
import { FluxError } from '../../../src/kernel/errors.ts';
import { LoginGate } from '../../../src/kernel/logins/login-gate.ts';
import { createLoginMemory, LoginMemory } from '../../../src/kernel/logins/login-memory.ts';
import type { VerifyJob } from '../../../src/thread/commands.ts';
import { Authenticator } from '../../../workers/endpoint/access/authenticator.ts';
import { verifyPassword } from '../../../workers/task/verify-password.ts';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const plain = (username: string, password: string) => ({ username, password });
const hashed = (username: string, password: string) => ({ username, password: sha256(password), encrypt: 'sha256' });

let asked: VerifyJob[] = [];
const verify = (job: VerifyJob) => {
  asked.push(job);
  return verifyPassword(job);
};
const unasked = () => Promise.reject(new Error('nobody is asked'));
const threads = { verify, ask: unasked };

beforeEach(() => {
  asked = [];
});

const who = (username: string | null, password: string | null, clientId = 'c') => ({
  clientId,
  username,
  password: password === null ? null : Buffer.from(password),
  address: '192.0.2.1',
  endpoint: 'e',
  namespace: 'default',
  certificate: null,
});
const gate = () => new LoginGate(new LoginMemory(createLoginMemory()), { userBurst: 10, userEveryMs: 200 });
const check = (list: AuthConfig[], ...args: Parameters<typeof who>) => new Authenticator(threads, gate()).check(list, who(...args));
const refused = { ok: false, reason: 'badUserNameOrPassword' };

describe('Authenticator', () => {
  test('takes the first entry that accepts', async () => {
    const list = parseAuthList([{ users: [plain('a', '1'), plain('b', '2')] }, { users: [hashed('a', '3')] }]);
    expect(await check(list, 'a', '1')).toEqual({ ok: true, username: 'a' });
    expect(asked).toHaveLength(0);
    expect(await check(list, 'a', '3')).toEqual({ ok: true, username: 'a' });
    expect(await check(list, 'b', '3')).toEqual(refused);
    expect(await check(list, 'a', '2')).toEqual(refused);
  });

  test.each(['(a+)+', '(\\w+\\d*)+-x', '(a|aa|a{1,20})*', '(.*a){12}'])(
    'is not kept busy by a user name that is made for the filter %s',
    async (filter) => {
      const list = parseAuthList([{ users: [plain('ann', '1')], filter: { User: filter, Client: filter } }]);
      const startedAt = performance.now();
      expect(await check(list, `${'a'.repeat(2000)}!`, '1', `${'a'.repeat(60_000)}!`)).toEqual(refused);
      expect(await check(list, `${'a'.repeat(2000)}!`, '1', 'aaaaaaaaaaaa')).toEqual(refused);
      // Without a bound it takes years.
      expect(performance.now() - startedAt).toBeLessThan(2_000);
    },
  );

  test('takes an entry whose stored filter is not usable any more for nobody', async () => {
    const list: AuthConfig[] = parseAuthList([{ users: [plain('ann', '1')] }, { users: [plain('bob', '1')] }]);
    list[0]!.filter = { User: '(?=ann).*' };
    expect(await check(list, 'ann', '1')).toEqual(refused);
    expect(await check(list, 'bob', '1')).toEqual({ ok: true, username: 'bob' });
  });

  test('refuses without user name, without password and without entries', async () => {
    const list = parseAuthList([{ users: [plain('a', '1')] }]);
    expect(await Promise.all([check(list, null, '1'), check(list, 'a', null), check(list, 'a', ''), check([], 'a', '1')])).toEqual(
      Array(4).fill(refused),
    );
  });

  test('asks only entries whose filter matches the whole value', async () => {
    const entry = (filter: string) => parseAuthList([{ users: [plain('ann', '1')], filter }]);
    const ok = { ok: true, username: 'ann' };
    expect(await check(entry('Client{d-.*}'), 'ann', '1', 'd-1')).toEqual(ok);
    expect(await check(entry('Client{d-}'), 'ann', '1', 'd-1')).toEqual(refused);
    expect(await check(entry('Client{x|d}'), 'ann', '1', 'ad')).toEqual(refused);
    expect(await check(entry('User{a.*}'), 'ann', '1')).toEqual(ok);
    expect(await check(entry('User{a}'), 'ann', '1')).toEqual(refused);
    expect(await check(entry('Client{d}User{a.*}'), 'ann', '1', 'e')).toEqual(refused);
  });

  test('verifies for an unknown user as for a known one, and never lets it in', async () => {
    const list = parseAuthList([{ users: [hashed('a', 'pw')] }]);
    expect(await check(list, 'nobody', 'pw')).toEqual(refused);
    expect(asked).toHaveLength(1);
    expect(await check(parseAuthList([{ users: [plain('a', 'pw')] }]), 'nobody', 'pw')).toEqual(refused);
  });

  test('says serverUnavailable when an entry could not be asked, unless another one accepts', async () => {
    const broken = () => Promise.reject(new FluxError('unavailable', 'queue full'));
    const [first, second] = [{ users: [hashed('a', '1')] }, { users: [plain('a', '2')] }];
    const authenticator = new Authenticator({ verify: broken, ask: unasked }, gate());
    expect(await authenticator.check(parseAuthList([first]), who('a', '1'))).toEqual({ ok: false, reason: 'serverUnavailable' });
    expect(await authenticator.check(parseAuthList([first, second]), who('a', '2'))).toEqual({ ok: true, username: 'a' });
  });

  test('answers a failure later than a success', async () => {
    const list = parseAuthList([{ users: [plain('a', '1')] }]);
    const authenticator = new Authenticator(threads, gate());
    const startedAt = performance.now();
    await authenticator.check(list, who('a', 'x'));
    await authenticator.check(list, who('a', 'x'));
    expect(performance.now() - startedAt).toBeGreaterThan(290);
    // The fastest of some: the machine may stand still for a moment.
    const successes: number[] = [];
    for (let n = 0; n < 5; n++) {
      const successAt = performance.now();
      await authenticator.check(list, who('a', '1'));
      successes.push(performance.now() - successAt);
    }
    expect(Math.min(...successes)).toBeLessThan(50);
  });

  test('asks no more for credentials that were wrong, until the list is another one', async () => {
    const authenticator = new Authenticator(threads, gate());
    const list = parseAuthList([{ users: [hashed('a', '1')] }]);
    for (let time = 0; time < 3; time++) expect(await authenticator.check(list, who('a', '2'))).toEqual(refused);
    expect(asked).toHaveLength(1);
    expect(await authenticator.check(parseAuthList([{ users: [hashed('a', '2')] }]), who('a', '2'))).toEqual({ ok: true, username: 'a' });
  });

  test('knows a wrong client identifier from a right one with the same password', async () => {
    const authenticator = new Authenticator(threads, gate());
    const list = parseAuthList([{ users: [plain('a', '1')], filter: { Client: 'good' } }]);
    expect(await authenticator.check(list, who('a', '1', 'bad'))).toEqual(refused);
    expect(await authenticator.check(list, who('a', '1', 'good'))).toEqual({ ok: true, username: 'a' });
  });

  test('lets a right login in at once while many devices have an old password', async () => {
    const authenticator = new Authenticator(threads, gate());
    const list = parseAuthList([{ users: [hashed('a', '1'), hashed('b', '1')] }]);
    const failures = Array.from({ length: 200 }, (_, index) => authenticator.check(list, who('a', `old ${index % 20}`)));
    const startedAt = performance.now();
    for (const user of ['b', 'a']) expect(await authenticator.check(list, who(user, '1'))).toEqual({ ok: true, username: user });
    // 20 old passwords, of which 10 are checked at once, and 10 with 5 a second.
    expect(performance.now() - startedAt).toBeLessThan(4_000);
    expect(new Set((await Promise.all(failures)).map(({ ok }) => ok))).toEqual(new Set([false]));
    expect(asked.length).toBeLessThan(20 + 2 + 15);
  });

  test('does not check for who has gone while they waited', async () => {
    const authenticator = new Authenticator(threads, gate());
    const list = parseAuthList([{ users: [hashed('a', '1')] }]);
    let isGone = false;
    const guesses = Array.from({ length: 100 }, (_, index) => authenticator.check(list, who('a', `guess ${index}`), () => isGone));
    isGone = true;
    expect((await Promise.all(guesses)).filter((result) => !result.ok && result.reason === 'serverUnavailable').length).toBeGreaterThan(80);
    expect(asked.length).toBeLessThan(15);
  });
});
