/** The limits of asking: deadline, questions under way, circuit breaker, each without a real server. */

import { describe, expect, test } from 'vitest';
import type { AskTerms } from '../../../src/endpoint/endpoint.ts';
import type { AskWho, LoginVerdict } from '../../../src/thread/access/ask.ts';
import { Breaker } from '../../../workers/task/asking/breaker.ts';
import type { Asker } from '../../../workers/task/asking/contract.ts';
import { GuardedAsker } from '../../../workers/task/asking/guarded.ts';

const who: AskWho = { clientId: 'c', username: 'u', password: null, ip: '::1', endpoint: 'e', namespace: 'n', certCommonName: null };
const terms = (given: Partial<AskTerms> = {}): AskTerms => ({
  filter: {},
  timeout: 2_000,
  maxRequests: 4,
  onUnavailable: 'deny',
  cacheSeconds: 0,
  ...given,
});
const allow: LoginVerdict = { result: 'allow' };
const asks = (ask: Asker['ask']) => async (): Promise<Asker> => ({ ask, close: async () => {} });

test('keeps to the number of questions under way; the others wait, and those beyond are refused', async () => {
  const release: (() => void)[] = [];
  const guarded = new GuardedAsker(
    asks(() => new Promise((resolve) => release.push(() => resolve(allow)))),
    terms({ timeout: 9_000 }),
  );
  const answers = Array.from({ length: 4 + 1_024 + 10 }, () => guarded.ask(who));
  expect(await Promise.all(answers.slice(-10))).toEqual(Array(10).fill({ result: 'refused' }));
  expect(release).toHaveLength(4);
  for (let done = 0; done < 4 + 1_024; done++) {
    release[done]!();
    await answers[done];
    expect(release.length - done - 1).toBeLessThanOrEqual(4);
  }
  expect(new Set((await Promise.all(answers.slice(0, -10))).map(({ result }) => result))).toEqual(new Set(['allow']));
});

test('answers at the deadline, also for those that wait, and gives the places back', async () => {
  let isStuck = true;
  const guarded = new GuardedAsker(
    asks(() => (isStuck ? new Promise(() => {}) : Promise.resolve(allow))),
    terms({ timeout: 80, maxRequests: 2 }),
  );
  const begunAt = performance.now();
  const results = await Promise.all(Array.from({ length: 4 }, () => guarded.ask(who)));
  expect(performance.now() - begunAt).toBeLessThan(1_000);
  expect(results.filter(({ result }) => result !== 'failed' && result !== 'refused')).toEqual([]);
  expect(results.find(({ result }) => result === 'failed')).toEqual({ result: 'failed', reason: 'no answer within 80 ms' });
  isStuck = false;
  expect(await Promise.all([guarded.ask(who), guarded.ask(who)])).toEqual([allow, allow]);
});

test('opens again after a failure to open', async () => {
  let opened = 0;
  const guarded = new GuardedAsker(async () => {
    if (++opened === 1) throw new Error('no such file');
    return { ask: async () => allow, close: async () => {} };
  }, terms());
  expect(await guarded.ask(who)).toEqual({ result: 'failed', reason: 'no such file' });
  expect(await guarded.ask(who)).toEqual(allow);
  await guarded.ask(who);
  expect(opened).toBe(2);
});

describe('the circuit breaker', () => {
  test('leaves a failing authenticator alone for a growing pause, and asks one question after it', async () => {
    let now = 0;
    let asked = 0;
    let isUp = false;
    const breaker = new Breaker(() => now);
    const guarded = new GuardedAsker(
      asks(async () => {
        asked++;
        if (!isUp) throw new Error('down');
        return allow;
      }),
      terms({ maxRequests: 100 }),
      breaker,
    );
    const storm = async () => (await Promise.all(Array.from({ length: 20 }, () => guarded.ask(who)))).map(({ result }) => result);
    await storm();
    expect(asked).toBe(20);
    for (const pause of [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
      now += pause - 1;
      expect(new Set(await storm())).toEqual(new Set(['paused']));
      now += 1;
      asked = 0;
      expect((await storm()).sort()).toEqual(['failed', ...Array(19).fill('paused')]);
      expect(asked).toBe(1);
    }
    isUp = true;
    now += 30_000;
    expect(await guarded.ask(who)).toEqual(allow);
    expect(new Set(await storm())).toEqual(new Set(['allow']));
  });

  test('counts failures in a row only', async () => {
    const breaker = new Breaker(() => 0);
    for (let time = 0; time < 20; time++) {
      for (let failure = 0; failure < 4; failure++) breaker.failed();
      expect(breaker.allows()).toBe(true);
      breaker.succeeded();
    }
  });
});
