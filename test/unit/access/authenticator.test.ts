/** Logins: order of the entries, filters, unknown users, delays and limits of an address. */

import { createHash } from 'node:crypto';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { AuthConfig } from '../../../src/endpoint/endpoint.ts';
import { parseAuthList } from '../../../src/endpoint/schema.ts';
import { FluxError } from '../../../src/kernel/errors.ts';
import type { VerifyJob } from '../../../src/thread/messages.ts';
import { Authenticator } from '../../../workers/access/authenticator.ts';
import { LoginThrottle } from '../../../workers/access/login-throttle.ts';
import { verifyPassword } from '../../../workers/access/verify-password.ts';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const plain = (username: string, password: string) => ({ username, password });
const hashed = (username: string, password: string) => ({ username, password: sha256(password), encrypt: 'sha256' });

let asked: VerifyJob[] = [];
const ask = (job: VerifyJob) => {
  asked.push(job);
  return verifyPassword(job);
};

beforeEach(() => {
  asked = [];
});

const who = (username: string | null, password: string | null, clientId = 'c') => ({
  clientId,
  username,
  password: password === null ? null : Buffer.from(password),
  address: '192.0.2.1',
});
const check = (list: AuthConfig[], ...args: Parameters<typeof who>) => new Authenticator(ask).check(list, who(...args));
const refused = { ok: false, reason: 'badUserNameOrPassword' };

describe('Authenticator', () => {
  it('takes the first entry that accepts', async () => {
    const list = parseAuthList([{ users: [plain('a', '1'), plain('b', '2')] }, { users: [hashed('a', '3')] }]);
    expect(await check(list, 'a', '1')).toEqual({ ok: true, username: 'a' });
    expect(asked).toHaveLength(0);
    expect(await check(list, 'a', '3')).toEqual({ ok: true, username: 'a' });
    expect(await check(list, 'b', '3')).toEqual(refused);
    expect(await check(list, 'a', '2')).toEqual(refused);
  });

  it.each(['(a+)+', '(\\w+\\d*)+-x', '(a|aa|a{1,20})*', '(.*a){12}'])(
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

  it('takes an entry whose stored filter is not usable any more for nobody', async () => {
    const list: AuthConfig[] = parseAuthList([{ users: [plain('ann', '1')] }, { users: [plain('bob', '1')] }]);
    list[0]!.filter = { User: '(?=ann).*' };
    expect(await check(list, 'ann', '1')).toEqual(refused);
    expect(await check(list, 'bob', '1')).toEqual({ ok: true, username: 'bob' });
  });

  it('refuses without user name, without password and without entries', async () => {
    const list = parseAuthList([{ users: [plain('a', '1')] }]);
    expect(await Promise.all([check(list, null, '1'), check(list, 'a', null), check(list, 'a', ''), check([], 'a', '1')])).toEqual(
      Array(4).fill(refused),
    );
  });

  it('asks only entries whose filter matches the whole value', async () => {
    const entry = (filter: string) => parseAuthList([{ users: [plain('ann', '1')], filter }]);
    const ok = { ok: true, username: 'ann' };
    expect(await check(entry('Client{d-.*}'), 'ann', '1', 'd-1')).toEqual(ok);
    expect(await check(entry('Client{d-}'), 'ann', '1', 'd-1')).toEqual(refused);
    expect(await check(entry('Client{x|d}'), 'ann', '1', 'ad')).toEqual(refused);
    expect(await check(entry('User{a.*}'), 'ann', '1')).toEqual(ok);
    expect(await check(entry('User{a}'), 'ann', '1')).toEqual(refused);
    expect(await check(entry('Client{d}User{a.*}'), 'ann', '1', 'e')).toEqual(refused);
  });

  it('verifies for an unknown user as for a known one, and never lets it in', async () => {
    const list = parseAuthList([{ users: [hashed('a', 'pw')] }]);
    expect(await check(list, 'nobody', 'pw')).toEqual(refused);
    expect(asked).toHaveLength(1);
    expect(await check(parseAuthList([{ users: [plain('a', 'pw')] }]), 'nobody', 'pw')).toEqual(refused);
  });

  it('says serverUnavailable when an entry could not be asked, unless another one accepts', async () => {
    const broken = () => Promise.reject(new FluxError('unavailable', 'queue full'));
    const [first, second] = [{ users: [hashed('a', '1')] }, { users: [plain('a', '2')] }];
    const authenticator = new Authenticator(broken);
    expect(await authenticator.check(parseAuthList([first]), who('a', '1'))).toEqual({ ok: false, reason: 'serverUnavailable' });
    expect(await authenticator.check(parseAuthList([first, second]), who('a', '2'))).toEqual({ ok: true, username: 'a' });
  });

  it('answers a failure later than a success', async () => {
    const list = parseAuthList([{ users: [plain('a', '1')] }]);
    const authenticator = new Authenticator(ask);
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

  it('refuses an address with many failures and many logins under way, and no other one', async () => {
    const list = parseAuthList([{ users: [plain('a', '1')] }]);
    const throttle = new LoginThrottle();
    for (let index = 0; index < 10; index += 1) throttle.fail('192.0.2.1');
    const authenticator = new Authenticator(ask, throttle);
    vi.useFakeTimers({ toFake: ['setTimeout'] });
    for (let index = 0; index < 8; index += 1) void authenticator.check(list, who('a', 'x'));
    vi.useRealTimers();
    expect(await authenticator.check(list, who('a', '1'))).toEqual({ ok: false, reason: 'serverUnavailable' });
    expect(await authenticator.check(list, { ...who('a', '1'), address: '192.0.2.2' })).toEqual({ ok: true, username: 'a' });
  });
});

describe('LoginThrottle', () => {
  it('doubles the delay from 100 ms to 2 s and forgets after a minute', () => {
    let now = 0;
    const throttle = new LoginThrottle(() => now);
    expect(Array.from({ length: 7 }, () => throttle.fail('a'))).toEqual([100, 200, 400, 800, 1600, 2000, 2000]);
    expect(throttle.fail('b')).toBe(100);
    now = 59_999;
    expect(throttle.fail('a')).toBe(2000);
    now += 60_000;
    expect(throttle.fail('a')).toBe(100);
  });

  it('gives places back', () => {
    const throttle = new LoginThrottle(() => 0);
    for (let index = 0; index < 10; index += 1) throttle.fail('a');
    for (let index = 0; index < 20; index += 1) {
      expect(throttle.begin('a')).toBe(true);
      throttle.end('a');
    }
  });

  it('counts an IPv6 /64 and a mapped IPv4 address as one', () => {
    const throttle = new LoginThrottle(() => 0);
    expect([throttle.fail('2001:db8::1'), throttle.fail('2001:db8:0:0:9::2'), throttle.fail('2001:db8:0:1::1')]).toEqual([100, 200, 100]);
    expect([throttle.fail('10.0.0.1'), throttle.fail('::ffff:10.0.0.1')]).toEqual([100, 200]);
  });

  it('stays bounded, and forgets addresses that did not fail', () => {
    const throttle = new LoginThrottle(() => 0);
    for (let index = 0; index < 12_000; index += 1) throttle.fail(`10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`);
    expect(throttle.size).toBe(10_000);
    const fresh = new LoginThrottle(() => 0);
    fresh.begin('a');
    fresh.end('a');
    expect(fresh.size).toBe(0);
  });
});
