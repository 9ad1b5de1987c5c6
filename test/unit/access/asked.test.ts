/** The chain with authenticators that are asked: allow, deny, ignore, no answer; cached decisions; counters. */

import { describe, expect, test } from 'vitest';
import { parseAuthList } from '../../../src/endpoint/schema.ts';
import { LoginGate } from '../../../src/kernel/logins/login-gate.ts';
import { createLoginMemory, LoginMemory } from '../../../src/kernel/logins/login-memory.ts';
import { AUTH_RESULTS, authBase, COUNTER_SLOTS } from '../../../src/metrics/counters.ts';
import type { AskJob, AskResult } from '../../../src/thread/access/ask.ts';
import { Authenticator } from '../../../workers/endpoint/access/authenticator.ts';
import { VerdictCache } from '../../../workers/endpoint/access/verdict-cache.ts';

const refused = { ok: false, reason: 'badUserNameOrPassword' };
const unavailable = { ok: false, reason: 'serverUnavailable' };
const fixed = { users: [{ username: 'a', password: '1' }] };
const http = (given: Record<string, unknown> = {}) => ({ authType: 'http', url: 'http://one.example', ...given });

function world(answer: (job: AskJob) => AskResult | Promise<AskResult>) {
  const asked: AskJob[] = [];
  const ask = async (job: AskJob) => {
    asked.push(job);
    return answer(job);
  };
  const gate = new LoginGate(new LoginMemory(createLoginMemory()), { userBurst: 50, userEveryMs: 5 });
  const authenticator = new Authenticator({ verify: () => Promise.reject(new Error('no hash here')), ask }, gate);
  const slots = new Float64Array(COUNTER_SLOTS);
  const login = (list: ReturnType<typeof parseAuthList>, username: string | null, password: string, more = {}) =>
    authenticator.check(
      list,
      {
        clientId: 'c',
        username,
        password: Buffer.from(password),
        address: '192.0.2.1',
        endpoint: 'e',
        namespace: 'n',
        certificate: null,
        ...more,
      },
      () => false,
      slots,
    );
  const counts = () => {
    const base = authBase('http');
    return Object.fromEntries(AUTH_RESULTS.flatMap((name, index) => (slots[base + index]! > 0 ? [[name, slots[base + index]]] : [])));
  };
  return { asked, login, counts };
}

describe('the chain', () => {
  test.each([
    ['allow', { result: 'allow' }, { ok: true, username: 'a' }, { allowed: 1 }],
    ['deny', { result: 'deny' }, refused, { denied: 1 }],
    ['ignore', { result: 'ignore' }, { ok: true, username: 'a' }, { ignored: 1 }],
    ['no answer', { result: 'failed', reason: 'x' }, unavailable, { failed: 1 }],
    ['too many under way', { result: 'refused' }, unavailable, { refused: 1 }],
    ['a pause', { result: 'paused' }, unavailable, { paused: 1 }],
  ] as [string, AskResult, unknown, unknown][])('%s', async (_, result, wanted, counted) => {
    const { login, counts } = world(() => result);
    expect(await login(parseAuthList([http(), fixed]), 'a', '1')).toEqual(wanted);
    expect(counts()).toEqual(counted);
  });

  test('onUnavailable: ignore passes to the next; the login is unavailable, not wrong, when nobody else knows it', async () => {
    const { login } = world(() => Promise.reject(new Error('the thread has ended')));
    const list = parseAuthList([http({ onUnavailable: 'ignore' }), fixed]);
    expect(await login(list, 'a', '1')).toEqual({ ok: true, username: 'a' });
    expect(await login(list, 'b', '1')).toEqual(unavailable);
  });

  test('the login is refused when all ignore it; a filter leaves others alone; the order counts', async () => {
    const { login, asked } = world(({ config }) => ({ result: 'url' in config && config.url.includes('two') ? 'allow' : 'ignore' }));
    expect(await login(parseAuthList([http()]), 'x', '1')).toEqual(refused);
    expect(await login(parseAuthList([http({ filter: { User: 'y' } }), http({ url: 'http://two.example' })]), 'x', '1')).toMatchObject({
      ok: true,
    });
    expect(asked).toHaveLength(2);
    expect(await login(parseAuthList([fixed, http()]), 'a', '1')).toMatchObject({ ok: true });
    expect(asked).toHaveLength(2);
  });

  test('a denied login may be right later', async () => {
    let isKnown = false;
    const { login } = world(() => ({ result: isKnown ? 'allow' : 'deny' }));
    const list = parseAuthList([http()]);
    expect(await login(list, 'a', '1')).toEqual(refused);
    isKnown = true;
    expect(await login(list, 'a', '1')).toMatchObject({ ok: true });
  });

  test('passes on rights and the end of the login', async () => {
    const rights = { isSuperuser: true, rules: [] };
    const { login } = world(() => ({ result: 'allow', rights, expireAt: 5, username: 'other' }));
    expect(await login(parseAuthList([http()]), 'a', '1')).toEqual({ ok: true, username: 'other', rights, expireAt: 5 });
  });
});

describe('cached decisions', () => {
  test('are used for the same login alone', async () => {
    const { login, asked, counts } = world(({ who }) => ({ result: who.username === 'a' ? 'allow' : 'deny' }));
    const list = parseAuthList([http({ cacheSeconds: 60, url: 'http://one.example/${ip}' })]);
    for (let time = 0; time < 3; time++) {
      expect(await login(list, 'a', '1', { clientId: `c${time}` })).toMatchObject({ ok: true });
      expect(await login(list, 'b', '1')).toEqual(refused);
    }
    // The default body names the client identifier.
    expect(asked).toHaveLength(3 + 1);
    expect(counts()).toEqual({ allowed: 3, denied: 1, cached: 2 });
    for (const [name, password, more] of [
      ['a', '2', {}],
      ['a', '1', { address: '192.0.2.2' }],
      ['a1', '', {}],
      [null, 'a1', {}],
    ] as const) {
      const before = asked.length;
      await login(list, name, password, { clientId: 'c0', ...more });
      expect(asked.length).toBe(before + 1);
    }
  });

  test('end with the login, and failures are not kept', async () => {
    let result: AskResult = { result: 'allow', expireAt: Date.now() + 500 };
    const { login, asked } = world(() => result);
    const list = parseAuthList([http({ cacheSeconds: 60 })]);
    for (let time = 0; time < 2; time++) expect(await login(list, 'a', '1')).toMatchObject({ ok: true });
    expect(asked).toHaveLength(1);
    await new Promise((resolve) => setTimeout(resolve, 520));
    result = { result: 'failed', reason: 'x' };
    for (let time = 0; time < 2; time++) expect(await login(list, 'a', '1')).toEqual(unavailable);
    expect(asked).toHaveLength(3);
  });
});

test('the name of a kept decision tells every two logins apart', () => {
  const cache = new VerdictCache(60);
  const logins = [
    ['a', '1'],
    ['a1', ''],
    ['', 'a1'],
    ['a1', null],
    [null, 'a1'],
    [null, null],
    ['', ''],
    ['-', null],
  ];
  expect(new Set(logins.map((parts) => cache.keyOf(parts))).size).toBe(logins.length);
  expect(cache.keyOf(['a'])).not.toBe(new VerdictCache(60).keyOf(['a']));
});
