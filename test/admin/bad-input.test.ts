/** Requests that the real broker's API refuses, with their errors; none of them changes anything. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Broker, startBroker } from '../kit/broker.ts';
import { freePort } from '../kit/free-port.ts';

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
  headers: Record<string, string> = {},
): Promise<{ status: number; code: number; kind: string; paths: string[] }> {
  const answer = await fetch(broker.admin + path, { method: 'POST', headers: { 'content-type': type, ...headers }, body });
  const envelope = (await answer.json()) as { code: number; error: { kind: string; issues: { path: string }[] } };
  return {
    status: answer.status,
    code: envelope.code,
    kind: envelope.error.kind,
    paths: envelope.error.issues.map((issue) => issue.path).sort(),
  };
}

const MIB = 1 << 20;
const routes = (names: string[]) => names.map((name) => `/api/endpoints/${name}`);
/** Path → largest body, bytes. */
const POSTS: [string, number][] = [
  ...routes(['add', 'update', 'remove', 'enable', 'disable', 'validate-config', 'rollback', 'confirm']).map((path): [string, number] => [
    path,
    MIB,
  ]),
  ...['/api/publish', '/api/check', '/api/close', '/public/login'].map((path): [string, number] => [path, MIB]),
  ...routes(['plan', 'import']).map((path): [string, number] => [path, 16 * MIB]),
  // A backup is read value by value: the bound that a test can reach is that of one value.
  ...routes(['restore']).map((path): [string, number] => [path, 32 * MIB]),
];

/** One value of a streamed body has at most 8 MiB. */
const VALUE_BYTES = 4 * MIB;

/** An object whose values are small enough to be read, of about so many bytes. */
function bodyOf(bytes: number): Record<string, string> {
  const count = Math.ceil(bytes / VALUE_BYTES);
  return Object.fromEntries(Array.from({ length: count }, (_each, n) => [`x${n}`, 'y'.repeat(Math.floor(bytes / count))]));
}

describe.each(POSTS)('POST %s', (path, bytesMax) => {
  test('refuses what is not a JSON object', async () => {
    expect(await post(path, '{"port": 1883')).toMatchObject({ status: 400, code: 400, kind: 'invalid' });
    expect(await post(path, '[1]')).toMatchObject({ status: 400, kind: 'invalid' });
    expect(await post(path, '')).toMatchObject({ status: 400, kind: 'invalid' });
    expect(await post(path, '{}', 'text/plain')).toMatchObject({ status: 415, kind: 'unsupported-media-type' });
    const large = path.endsWith('/restore') ? { x: 'y'.repeat(2.1 * VALUE_BYTES) } : bodyOf(bytesMax);
    expect(await post(path, JSON.stringify(large))).toMatchObject({ status: 413, kind: 'too-large' });
    expect((await broker.api('POST', path, bodyOf(bytesMax - 100))).status).not.toBe(413);
  });

  test('refuses an unknown query parameter, and another method', async () => {
    expect(await post(`${path}?colour=red`, '{}')).toMatchObject({ status: 400, paths: ['colour'] });
    const got = await broker.api('GET', path);
    expect([got.status, got.headers.get('allow')]).toEqual([405, 'POST, OPTIONS']);
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
    const later = [{ proxy: true }, { enableBridge: true }, { aclType: 'http', aclConfig: {} }];
    for (const extra of later) {
      expect(await post('/api/endpoints/add', JSON.stringify({ port, ...extra }))).toMatchObject({
        status: 400,
        kind: 'not-supported-yet',
      });
    }
  });

  test('all problems of a query and of the headers at once', async () => {
    const port = await freePort();
    const query = 'colour=red&timeout=soon&confirmWithin=1ms&wait=some&policy=most&wait=all';
    const headers = { 'if-match': 'W/"1"', 'x-reason': 'x'.repeat(1001) };
    const answer = await post(`/api/endpoints/add?${query}`, JSON.stringify({ port }), 'application/json', headers);
    expect(answer).toMatchObject({ status: 400, kind: 'invalid' });
    expect(answer.paths).toEqual(['If-Match', 'X-Reason', 'colour', 'confirmWithin', 'policy', 'timeout', 'wait']);
    for (const one of ['wait=some', 'policy=most', 'timeout=0', 'confirmWithin=25h']) {
      expect(await post(`/api/endpoints/add?${one}`, JSON.stringify({ port }))).toMatchObject({ status: 400, paths: [one.split('=')[0]] });
    }
  });

  test('all problems of a file and of the request with it at once', async () => {
    const configs = [{ port: 0, colour: 'red' }, 7, { port: 1883 }, { port: 1883 }];
    const wrong = { version: '1', configs, mode: 'both', dryRun: 1, colour: 'red', drainMs: -1, history: 5 };
    const common = [
      'colour',
      'configs[0].colour',
      'configs[0].port',
      'configs[1]',
      'configs[3].id',
      'configs[3].port',
      'drainMs',
      'dryRun',
    ];
    for (const route of ['import', 'restore']) {
      const { status, paths } = await post(`/api/endpoints/${route}`, JSON.stringify(wrong));
      expect([status, paths], route).toEqual([400, [...common, 'history', 'mode', 'version']]);
    }
    const { paths } = await post('/api/endpoints/plan', JSON.stringify({ action: 'import', ...wrong }));
    expect(paths).toEqual([...common, 'history', 'mode', 'version']);
    const twice = { configs: [], endpoints: [], mqtt: {}, colour: 'red' };
    expect((await post('/api/endpoints/import', JSON.stringify(twice))).paths).toEqual(['colour', 'endpoints', 'mqtt']);
    expect((await post('/api/endpoints/restore', JSON.stringify({ mode: 'merge', configs: [] }))).paths).toEqual(['mode']);
    expect((await post('/api/endpoints/import', JSON.stringify({ version: 2, colour: 'red' }))).paths).toEqual(['version']);
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

test('what is missing is said to be required, in a query and in a body', async () => {
  const inQuery = await broker.api('GET', '/api/endpoints/check-port');
  expect(inQuery).toMatchObject({ status: 400, body: { error: { issues: [{ path: 'port', message: 'is required' }] } } });
  const inBody = await broker.api('POST', '/api/publish', { payload: 'x' });
  expect(inBody).toMatchObject({ status: 400, body: { error: { issues: [{ path: 'topic', message: 'is required' }] } } });
});
