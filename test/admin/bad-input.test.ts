/** What the real broker's API refuses, and with which words; nothing of it changes anything. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Broker, freePort, startBroker } from '../kit/broker.ts';

let broker: Broker;
let before: unknown;
beforeAll(async () => {
  broker = await startBroker({ endpoints: [{ enableAuth: false }] });
  before = (await broker.api('GET', '/api/endpoints/list')).body;
});
afterAll(async () => {
  const after = (await broker.api('GET', '/api/endpoints/list')).body;
  await broker.stop();
  expect(after).toEqual(before);
});

async function post(
  path: string,
  body: string,
  type = 'application/json',
): Promise<{ status: number; code: number; kind: string; paths: string[] }> {
  const answer = await fetch(broker.admin + path, { method: 'POST', headers: { 'content-type': type }, body });
  const envelope = (await answer.json()) as { code: number; error: { kind: string; issues: { path: string }[] } };
  return {
    status: answer.status,
    code: envelope.code,
    kind: envelope.error.kind,
    paths: envelope.error.issues.map((issue) => issue.path).sort(),
  };
}

const CHANGES = ['add', 'update', 'remove', 'enable', 'disable', 'plan', 'validate-config'].map((action) => `/api/endpoints/${action}`);
const POSTS = [...CHANGES, '/api/publish', '/api/check', '/api/close', '/public/login'];

describe.each(POSTS)('POST %s', (path) => {
  test('refuses what is not a JSON object', async () => {
    expect(await post(path, '{"port": 1883')).toMatchObject({ status: 400, code: 400, kind: 'invalid' });
    expect(await post(path, '[1]')).toMatchObject({ status: 400, kind: 'invalid' });
    expect(await post(path, '')).toMatchObject({ status: 400, kind: 'invalid' });
    expect(await post(path, '{}', 'text/plain')).toMatchObject({ status: 415, kind: 'unsupported-media-type' });
    // A plan may be about a file of endpoints, as an import is.
    const bytesMax = (path.endsWith('/plan') ? 16 : 1) * 1024 * 1024;
    expect(await post(path, JSON.stringify({ x: 'y'.repeat(bytesMax) }))).toMatchObject({ status: 413, kind: 'too-large' });
    expect((await broker.api('POST', path, { x: 'y'.repeat(bytesMax - 100) })).status).not.toBe(413);
  });

  test('refuses an unknown query parameter, and another method', async () => {
    expect(await post(`${path}?colour=red`, '{}')).toMatchObject({ status: 400, paths: ['colour'] });
    const got = await broker.api('GET', path);
    expect([got.status, got.headers.get('allow')]).toEqual([405, 'POST']);
  });
});

describe('endpoints', () => {
  test('all problems at once, each with its path', async () => {
    const body = {
      port: 70000,
      host: 'localhost',
      messageMaxSize: 1,
      enableAuth: 'yes',
      colour: 'red',
      serverOptions: { soBacklog: 0, threads: 1 },
    };
    const answer = await post('/api/endpoints/add', JSON.stringify(body));
    const paths = ['colour', 'enableAuth', 'host', 'messageMaxSize', 'port', 'serverOptions.soBacklog', 'serverOptions.threads'];
    expect(answer).toMatchObject({ status: 400, kind: 'invalid', paths });
  });

  test.each([
    ['no port', {}],
    ['port 0', { port: 0 }],
    ['port as text', { port: '1883' }],
    ['port with a fraction', { port: 1883.5 }],
    ['port null', { port: null }],
  ])('add with %s', async (_what, body) => {
    expect(await post('/api/endpoints/add', JSON.stringify(body))).toMatchObject({ status: 400, paths: ['port'] });
  });

  test('parts of later issues are refused, not ignored', async () => {
    const port = await freePort();
    const later = [{ proxy: true }, { enableBridge: true }, { authType: 'redis', authConfig: {} }];
    for (const extra of later) {
      expect(await post('/api/endpoints/add', JSON.stringify({ port, ...extra }))).toMatchObject({
        status: 400,
        kind: 'not-supported-yet',
      });
    }
  });

  test('whom a change waits for and asks is one of the known words', async () => {
    const body = JSON.stringify({ port: await freePort() });
    for (const name of ['wait', 'policy']) {
      expect(await post(`/api/endpoints/add?${name}=some`, body)).toMatchObject({ status: 400, kind: 'invalid', paths: [name] });
    }
  });

  test('update and remove need a name', async () => {
    expect(await post('/api/endpoints/update', '{"wiretap": true}')).toMatchObject({ status: 400, paths: ['port'] });
    expect(await post('/api/endpoints/remove', '{}')).toMatchObject({ status: 400, paths: ['port'] });
    const remove = JSON.stringify({ port: broker.ports[0], colour: 'red' });
    expect(await post('/api/endpoints/remove', remove)).toMatchObject({ status: 400, paths: ['colour'] });
  });

  test('a fixed key is not changed', async () => {
    const [port] = broker.ports;
    const answer = await post('/api/endpoints/update', JSON.stringify({ port, id: 'other' }));
    expect([400, 404]).toContain(answer.status);
  });
});

describe('reads', () => {
  test.each([
    'get?port=0',
    'get?port=abc',
    'get',
    'status?port=70000',
    'check-port',
    'check-port?port=1883&host=nowhere',
    'metrics?format=xml',
    'history?limit=0',
  ])('%s is 400', async (path) => {
    expect((await broker.api('GET', `/api/endpoints/${path}`)).status).toBe(400);
  });

  test('an unknown route is 404 in the envelope', async () => {
    const { status, body } = await broker.api('GET', '/api/nothing');
    expect([status, body]).toEqual([404, expect.objectContaining({ code: 404, error: { kind: 'not-found', issues: [] } })]);
  });

  test('a request under a foreign name, or of a foreign page, is 403', async () => {
    expect((await broker.api('GET', '/api/endpoints/list', undefined, { origin: 'http://example.org' })).status).toBe(403);
    expect((await broker.api('POST', '/api/close', { ids: ['a'] }, { 'sec-fetch-site': 'cross-site' })).status).toBe(403);
  });
});
