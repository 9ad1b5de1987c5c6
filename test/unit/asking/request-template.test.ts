/** The request of a web service: whatever a client is called, its values stay where the configuration puts them. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseAuthList } from '../../../src/endpoint/schema.ts';
import type { AskWho } from '../../../src/thread/access/ask.ts';
import { RequestTemplate } from '../../../workers/task/asking/http/request-template.ts';

const who = (facts: Partial<AskWho> = {}): AskWho => ({
  clientId: 'c',
  username: 'u',
  password: Buffer.from('p'),
  ip: '192.0.2.1',
  endpoint: 'e',
  namespace: 'n',
  certCommonName: null,
  ...facts,
});
function templateOf(config: Record<string, unknown>): RequestTemplate {
  const [entry] = parseAuthList([{ authType: 'http', ...config }]);
  if (entry?.authType !== 'http') throw new Error('not http');
  return new RequestTemplate(entry);
}
const HOST = 'http://auth.example';

describe('RequestTemplate', () => {
  test('fills in every placeholder, also by the names of EMQX', () => {
    const template = templateOf({
      url: `${HOST}:8080/v1/\${namespace}/auth?c=\${clientid}&n=\${cert_common_name}`,
      headers: { 'X-Peer': '${peerhost} ${endpoint}' },
      body: { login: '${username}', pass: '${password}', cn: '${certCommonName}', both: '${username}-${ip}', n: 1, yes: true },
    });
    expect(template.origin).toBe(`${HOST}:8080`);
    expect(template.fill(who())).toMatchObject({
      path: '/v1/n/auth?c=c&n=',
      headers: { 'x-peer': '192.0.2.1 e', 'content-type': 'application/json' },
      body: JSON.stringify({ login: 'u', pass: 'p', cn: null, both: 'u-192.0.2.1', n: 1, yes: true }),
    });
  });

  test('a value never leaves its place in the URL, the form or the JSON', () => {
    const template = templateOf({
      url: `${HOST}/a/x\${username}/b?u=\${username}&z=1`,
      body: { u: '${username}', t: 'is ${username}!', z: '1' },
    });
    const form = templateOf({
      url: HOST,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: { u: '${username}', z: '1' },
    });
    const texts = fc.oneof(
      fc.string({ unit: 'grapheme' }),
      fc.constantFrom('"', '\r\nX: y', '../..', '?a=b&c', '#', '%2e', '\\', "');--", '{"result":"allow"}'),
    );
    fc.assert(
      fc.property(texts, (username) => {
        const filled = template.fill(who({ username }))!;
        const url = new URL(HOST + filled.path);
        expect(url.pathname.split('/')).toHaveLength(4);
        expect(decodeURIComponent(url.pathname.split('/')[2]!)).toBe(`x${username}`);
        expect([...url.searchParams]).toEqual([
          ['u', username],
          ['z', '1'],
        ]);
        expect(url.hash).toBe('');
        expect(filled.path).toMatch(/^[\x21-\x7e]*$/);
        expect(JSON.parse(filled.body!)).toEqual({ u: username, t: `is ${username}!`, z: '1' });
        expect([...new URLSearchParams(form.fill(who({ username }))!.body!)]).toEqual([
          ['u', username],
          ['z', '1'],
        ]);
      }),
    );
  });

  test.each([
    ['CR and LF in a header', { headers: { x: 'user ${username}' } }, { username: 'a\r\nAuthorization: admin' }],
    ['LF in a header', { headers: { x: '${clientId}' } }, { clientId: 'a\nb' }],
    ['NUL in a header', { headers: { x: '${clientId}' } }, { clientId: 'a\0' }],
    ['DEL in a header', { headers: { x: '${password}' } }, { password: Buffer.from([0x7f]) }],
    ['a path that goes up', { url: `${HOST}/users/\${username}/x` }, { username: '..' }],
    ['a path that stays', { url: `${HOST}/users/\${username}` }, { username: '.' }],
    ['a password that is no text', {}, { password: Buffer.from([0xff, 0xfe]) }],
  ])('refuses %s', (_, config, facts) => {
    expect(templateOf({ url: HOST, ...config }).fill(who(facts))).toBeNull();
  });

  test('headers carry other alphabets as UTF-8', () => {
    const filled = templateOf({ url: HOST, headers: { x: '${username}' } }).fill(who({ username: 'ä漢' }))!;
    expect(Buffer.from(filled.headers['x']!, 'latin1').toString('utf8')).toBe('ä漢');
  });

  test('GET has no body', () => {
    expect(templateOf({ url: HOST, method: 'GET' }).fill(who())).toMatchObject({ path: '/', body: null });
  });
});
