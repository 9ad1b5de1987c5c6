/** Answers of a web service: every known form, and everything that must let nobody in. */

import { describe, expect, test } from 'vitest';
import { judgeStatus, readBody } from '../../../workers/task/asking/http/read-answer.ts';

const JSON_TYPE = 'application/json';
const read = (value: unknown) => readBody(JSON_TYPE, typeof value === 'string' ? value : JSON.stringify(value));
const all = { type: 'all', value: '*' };

describe('a status by itself', () => {
  test.each([
    [200, null],
    [204, { result: 'allow' }],
    [400, { result: 'deny' }],
    [401, { result: 'deny' }],
    [403, { result: 'deny' }],
    [404, { result: 'deny' }],
  ])('%i', (status, wanted) => expect(judgeStatus(status)).toEqual(wanted));

  test.each([201, 206, 301, 302, 307, 408, 429, 500, 502, 503])('%i is no decision', (status) =>
    expect(() => judgeStatus(status)).toThrow(`status ${status}`),
  );
});

describe('the body of a 200', () => {
  test.each([
    ['', 'allow'],
    [' \r\n', 'allow'],
    ['allow', 'allow'],
    ['OK', 'allow'],
    ['"deny"', 'deny'],
    ['ignore', 'ignore'],
    [{ result: 'allow' }, 'allow'],
    [{ result: 'deny', is_superuser: true }, 'deny'],
    [{ result: 'ignore' }, 'ignore'],
    // VerneMQ
    [{ result: 'ok' }, 'allow'],
    [{ result: 'ok', modifiers: {} }, 'allow'],
    [{ result: 'next' }, 'ignore'],
    [{ result: { error: 'not_allowed' } }, 'deny'],
    // mosquitto-go-auth
    [{ Ok: true, Error: '' }, 'allow'],
    [{ ok: false, error: 'no' }, 'deny'],
  ])('%j', (body, wanted) => expect(read(body)).toEqual({ result: wanted }));

  test.each([
    ['<html>Please log in</html>'],
    ['1'],
    ['null'],
    ['[]'],
    ['[{"result":"allow"}]'],
    ['{'],
    ['{"result":"allow"'],
    [{}],
    [{ result: true }],
    [{ result: 'ALLOW ' }],
    [{ result: 'toString' }],
    [{ result: null, ok: 'yes' }],
    [{ result: ['allow'] }],
    [{ ok: 1 }],
    [{ result: 'ok', modifiers: { mountpoint: 'tenant-1' } }],
    [{ result: 'allow', groups: 'staff' }],
    [{ result: 'allow', groups: [''] }],
    [{ result: 'allow', groups: [1] }],
    [{ result: 'allow', groups: Array.from({ length: 33 }, () => 'g') }],
    [{ result: 'allow', isSuperuser: 'yes' }],
    [{ result: 'allow', isSuperuser: 1 }],
    [{ result: 'allow', isSuperuser: false, is_superuser: true }],
    [{ result: 'allow', expireAt: 'tomorrow' }],
    [{ result: 'allow', expireAt: -1 }],
    [{ result: 'allow', expireAt: {} }],
    [{ result: 'allow', acl: 'all' }],
    [{ result: 'allow', acl: [{ permission: 'allow', action: 'publish' }] }],
    [{ result: 'allow', acl: [{ permission: 'yes', action: 'publish', topic: 'a' }] }],
    [{ result: 'allow', acl: [{ permission: 'allow', action: 'write', topic: 'a' }] }],
    [{ result: 'allow', acl: [{ permission: 'allow', action: 'toString', topic: 'a' }] }],
    [{ result: 'allow', acl: [{ permission: 'allow', action: 'publish', topic: 'a/#/b' }] }],
    [{ result: 'allow', acl: [{ permission: 'allow', action: 'publish', topic: 'a', qos: [3] }] }],
    [{ result: 'allow', acl: [{ permission: 'allow', action: 'publish', topic: 'a', qos: [] }] }],
    [{ result: 'allow', acl: [{ permission: 'deny', action: 'publish', topic: 'a', retain: 'true' }] }],
    [{ result: 'allow', acl: [{ permission: 'allow', action: 'publish', topic: 'a', subject: 'x' }] }],
    [{ result: 'allow', acl: { pub: 'a' } }],
    [{ result: 'allow', acl: { write: ['a'] } }],
    [{ result: 'allow', acl: Array.from({ length: 257 }, () => ({ permission: 'allow', topic: 'a' })) }],
  ])('%j is no decision', (body) => expect(() => read(body)).toThrow(/^(the server answered|acl |groups )/));

  test('rights and the end of the login, in both spellings', () => {
    const expireAt = Math.floor(Date.now() / 1000) + 60;
    const rules = [
      { permission: 'allow', action: 'publish', topic: 'eq t/#' },
      { permission: 'deny', topics: ['a', 'u/${clientid}'] },
    ];
    for (const answer of [
      { result: 'allow', isSuperuser: true, acl: rules, expireAt },
      { result: 'allow', is_superuser: true, acl: rules, expire_at: expireAt * 1000 },
      { result: 'allow', is_superuser: true, acl: rules, expireAt: new Date(expireAt * 1000).toISOString() },
    ]) {
      expect(read(answer)).toEqual({
        result: 'allow',
        rights: {
          isSuperuser: true,
          rules: [
            { permission: 'allow', subject: all, action: 'publish', topic: 'eq:t/#' },
            { permission: 'deny', subject: all, action: 'pubsub', topic: 'a' },
            { permission: 'deny', subject: all, action: 'pubsub', topic: 'u/${clientId}' },
          ],
        },
        expireAt: expireAt * 1000,
      });
    }
    expect(read({ result: 'allow', expireAt: 1_000 })).toEqual({ result: 'deny' });
    expect(read({ result: 'allow', groups: ['staff'] })).toEqual({
      result: 'allow',
      rights: { isSuperuser: false, rules: [], groups: ['staff'] },
    });
    expect(read({ result: 'allow', groups: [] })).toEqual({ result: 'allow' });
  });

  test("EMQX's first form of rights permits its topics and nothing else", () => {
    expect(read({ result: 'allow', acl: { pub: ['a'], all: ['b/#'] } })).toEqual({
      result: 'allow',
      rights: {
        isSuperuser: false,
        rules: [
          { permission: 'allow', subject: all, action: 'publish', topic: 'a' },
          { permission: 'allow', subject: all, action: 'pubsub', topic: 'b/#' },
          { permission: 'deny', subject: all, action: 'pubsub', topic: '#' },
          { permission: 'deny', subject: all, action: 'pubsub', topic: '$SYS/#' },
        ],
      },
    });
  });

  test('rules for some QoS, or for retained messages, stay narrow', () => {
    const rights = (rule: object) =>
      (read({ result: 'allow', acl: [{ permission: 'allow', topic: 'a', ...rule }] }) as unknown as { rights: { rules: object[] } }).rights
        .rules;
    const one = (more: object) => ({ permission: 'allow', subject: all, topic: 'a', ...more });
    expect(rights({ action: 'publish', qos: [2, 0], retain: false })).toEqual([one({ action: 'publish', qos: [0, 2], retain: false })]);
    expect(rights({ action: 'subscribe', qos: 1, retain: true })).toEqual([one({ action: 'subscribe', qos: [1] })]);
    expect(rights({ qos: [0, 1, 2], retain: 'all' })).toEqual([one({ action: 'pubsub' })]);
    // A subscription has no RETAIN flag.
    expect(rights({ action: 'all', retain: true })).toEqual([one({ action: 'publish', retain: true }), one({ action: 'subscribe' })]);
  });

  test('a form, as EMQX takes it', () => {
    expect(readBody('application/x-www-form-urlencoded', 'result=allow&is_superuser=true')).toEqual({
      result: 'allow',
      rights: { isSuperuser: true, rules: [] },
    });
    expect(() => readBody('application/x-www-form-urlencoded', 'a=b')).toThrow();
  });
});
