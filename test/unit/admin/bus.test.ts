/** The API asked by messages: each operation is answered as HTTP answers it, and what HTTP refuses is refused. */

import { describe, expect, test } from 'vitest';
import { BusDesk } from '../../../src/admin/bus/bus-desk.ts';
import type { BusAnswer, BusRequest } from '../../../src/admin/bus/bus-request.ts';
import { BUS_OPERATIONS, kindOf, pathOf } from '../../../src/admin/bus/operations.ts';
import { type AllRequests, appWith, ask, type Seen } from './stand-in.ts';

const MIB = 1024 * 1024;

interface Asked {
  envelope: { code: number; message: string; data: unknown; error?: { kind: string; issues: { path: string; message: string }[] } };
  headers: BusAnswer['headers'];
  failure: BusAnswer['failure'];
  text: string;
}

function messageOf(name: string, body: unknown = undefined, headers: Record<string, string> = {}, answerBytesMax = MIB): BusRequest {
  const text = typeof body === 'string' ? body : body === undefined ? '' : JSON.stringify(body);
  const named = new Map(Object.entries(headers).map(([key, value]) => [key.toLowerCase(), value]));
  return { name, body: body instanceof Uint8Array ? body : Buffer.from(text), headers: named, answerBytesMax };
}

async function answerOf(desk: BusDesk, message: BusRequest): Promise<Asked> {
  const { body, headers, failure } = await desk.answer(message);
  const envelope = body.startsWith('{') ? (JSON.parse(body) as Asked['envelope']) : { code: 200, message: body, data: null };
  return { envelope, headers, failure, text: body };
}

/** HTTP needs a login here; a message needs none. */
function deskWith(overrides: Partial<AllRequests> = {}): { desk: BusDesk; seen: Seen[]; app: ReturnType<typeof appWith>['app'] } {
  const { app, seen } = appWith({ password: 'secret' }, overrides);
  return { desk: new BusDesk(app), app, seen };
}

const AUTHORIZATION = { authorization: `Basic ${Buffer.from('admin:secret').toString('base64')}` };

describe('operations', () => {
  test('are those of docs/automation.md and more, each a route of the kind that `kindOf` names', async () => {
    const documented = 'add update remove list get status metrics plan history rollback export import check-port'.split(' ');
    expect(Object.keys(BUS_OPERATIONS)).toEqual(expect.arrayContaining([...documented, 'enable', 'disable', 'confirm', 'health']));
    const { body } = await ask(appWith().app, 'GET', '/openapi.json');
    const { paths } = body as unknown as { paths: Record<string, Record<string, { parameters?: { name: string }[] }>> };
    for (const name of Object.keys(BUS_OPERATIONS)) {
      const methods = paths[pathOf(name)] ?? {};
      const [operation] = Object.values(methods);
      const isChange = operation?.parameters?.some((parameter) => parameter.name === 'If-Match') === true;
      const kind = 'get' in methods ? 'read' : isChange ? 'change' : 'ask';
      expect(kindOf(name), name).toBe(kind);
    }
    const others = Object.keys(paths).flatMap((path) => /^\/api\/endpoints\/(.+)$/.exec(path)?.[1] ?? []);
    expect(others.filter((name) => kindOf(name) === undefined).sort()).toEqual(['backup', 'restore', 'watch']);
    expect(kindOf('constructor')).toBeUndefined();
  });

  test.each([
    ['list', '', undefined, 'GET', '/list', undefined],
    ['get', '', { port: 1883 }, 'GET', '/get?port=1883', undefined],
    ['get', '', { port: 1 }, 'GET', '/get?port=1', undefined],
    ['get', '', { port: '1883', id: 'x' }, 'GET', '/get?port=1883&id=x', undefined],
    ['get', 'port=1883', undefined, 'GET', '/get?port=1883', undefined],
    ['get', 'port=1883', { port: 1883 }, 'GET', '/get?port=1883&port=1883', undefined],
    ['history', '', { limit: 5, colour: 'red' }, 'GET', '/history?limit=5&colour=red', undefined],
    ['history', '', { limit: 1001 }, 'GET', '/history?limit=1001', undefined],
    ['metrics', '', { format: 'prometheus' }, 'GET', '/metrics?format=prometheus', undefined],
    ['health', 'timeout=2s', { port: 1883 }, 'GET', '/health?timeout=2s&port=1883', undefined],
    ['list', 'timeout=2s', undefined, 'GET', '/list?timeout=2s', undefined],
    ['check-port', '', { port: 1883, host: '127.0.0.1' }, 'GET', '/check-port?port=1883&host=127.0.0.1', undefined],
    ['check-port', '', { host: 'nowhere' }, 'GET', '/check-port?host=nowhere', undefined],
    ['export', '', undefined, 'GET', '/export', undefined],
    ['add', '', { port: 1884 }, 'POST', '/add', { port: 1884 }],
    ['add', 'timeout=0', { port: 1884 }, 'POST', '/add?timeout=0', { port: 1884 }],
    ['add', 'wait=some&policy=most', { port: 1884 }, 'POST', '/add?wait=some&policy=most', { port: 1884 }],
    ['add', 'confirmWithin=1', { port: 1884 }, 'POST', '/add?confirmWithin=1', { port: 1884 }],
    ['add', 'colour=red', { port: 1884 }, 'POST', '/add?colour=red', { port: 1884 }],
    ['add', '', 'not JSON', 'POST', '/add', 'not JSON'],
    ['add', '', '', 'POST', '/add', ''],
    ['add', '', '[1]', 'POST', '/add', '[1]'],
    ['add', '', ' '.repeat(MIB + 1), 'POST', '/add', ' '.repeat(MIB + 1)],
    ['plan', '', ' '.repeat(MIB + 1), 'POST', '/plan', ' '.repeat(MIB + 1)],
    ['plan', '', { action: 'add', port: 1884 }, 'POST', '/plan', { action: 'add', port: 1884 }],
    ['validate-config', '', { port: 1884 }, 'POST', '/validate-config', { port: 1884 }],
    ['confirm', '', { revision: 8 }, 'POST', '/confirm', { revision: 8 }],
    ['confirm', 'wait=all', { revision: 8 }, 'POST', '/confirm?wait=all', { revision: 8 }],
    ['import', '', { configs: [] }, 'POST', '/import', { configs: [] }],
    ['rollback', '', { revision: 1 }, 'POST', '/rollback', { revision: 1 }],
  ])('%s ? %s %o is answered as over HTTP', async (name, query, body, method, path, httpBody) => {
    const { desk, app, seen } = deskWith();
    const asked = await answerOf(desk, messageOf(name, body, query === '' ? {} : { 'X-Query': query }));
    const [byMessage] = seen.splice(0);
    const overHttp = await ask(app, method, `/api/endpoints${path}`, { body: httpBody, headers: AUTHORIZATION });
    const [byHttp] = seen;
    if (asked.text.startsWith('{')) expect(asked.envelope).toEqual(overHttp.body);
    else expect(asked.text).toBe(overHttp.body.message);
    expect(asked.failure === null ? 200 : asked.failure.code).toBe(overHttp.status);
    for (const key of ['etag', 'content-type']) expect(asked.headers[key] ?? null).toBe(overHttp.headers.get(key));
    expect(byMessage?.body).toEqual(byHttp?.body);
    if (byHttp?.context == null) return;
    const { actor, source, requestId, ...same } = byMessage!.context!;
    expect({ ...byHttp.context, actor, source, requestId }).toEqual({ actor: 'anonymous', source: 'nats', requestId, ...same });
  });
});

test('who, why, which revision, how long and where come by headers', async () => {
  const { desk, seen } = deskWith();
  const headers = {
    'X-Actor': ' Zoë € ',
    'X-Reason': 'größer: 大',
    'X-Request-Id': 'r-1',
    'If-Match': '"7"',
    'X-Query': 'timeout=5s&confirmWithin=1m&wait=local&policy=all',
  };
  const { headers: answered } = await answerOf(desk, messageOf('update', { port: 1883, maxConnectionSize: 5 }, headers));
  expect(seen[0]?.context).toEqual({
    actor: 'Zoë €',
    source: 'nats',
    requestId: 'r-1',
    reason: 'größer: 大',
    expectedRevision: 7,
    timeoutMs: 5_000,
    confirmWithinMs: 60_000,
    wait: 'local',
    policy: 'all',
  });
  expect(answered).toMatchObject({ 'x-request-id': 'r-1', etag: '"8"' });
});

test.each([
  ['X-Actor', ' '],
  ['X-Actor', 'a'.repeat(257)],
  ['X-Actor', 'a\u0007'],
  ['X-Reason', 'a'.repeat(1001)],
  ['If-Match', 'seven'],
])('a %s that is none is refused by name, and nothing changes', async (name, value) => {
  const { desk, seen } = deskWith();
  const { envelope, failure } = await answerOf(desk, messageOf('add', { port: 1884 }, { [name]: value }));
  expect(failure?.code).toBe(400);
  expect(envelope).toMatchObject({ code: 400, data: null, error: { kind: 'invalid', issues: [{ path: name }] } });
  expect(seen).toEqual([]);
});

test('conditions mean what they mean over HTTP', async () => {
  const { desk } = deskWith();
  const mismatch = await answerOf(desk, messageOf('update', { port: 1883 }, { 'If-Match': '"6"' }));
  expect(mismatch.envelope).toMatchObject({ code: 412, data: { revision: 7 }, error: { kind: 'revision-mismatch' } });
  const missing = await answerOf(desk, messageOf('add', { port: 1884 }, { 'If-Match': '*' }));
  expect(missing.failure?.code).toBe(412);
  const same = await answerOf(desk, messageOf('get', { port: 1883 }, { 'If-None-Match': '"7"' }));
  expect(same).toMatchObject({ envelope: { code: 304, message: 'Not Modified', data: null }, failure: null, headers: { etag: '"7"' } });
});

test('parameters that are no values, and a body of a read that is no object, are refused', async () => {
  const { desk } = deskWith();
  const { envelope } = await answerOf(desk, messageOf('get', { port: [1883], id: null }));
  expect(envelope.error?.issues.map(({ path }) => path)).toEqual(['port', 'id']);
  for (const body of ['{', '"x"', new Uint8Array([0xff])]) {
    const { envelope: refused } = await answerOf(desk, messageOf('list', body));
    expect(refused).toMatchObject({ code: 400, error: { kind: 'invalid', issues: [{ path: '' }] } });
  }
});

test('secrets are never sent in clear, whoever asks', async () => {
  const asked: boolean[] = [];
  const exportAll: AllRequests['exportAll'] = async ({ isClear }) => {
    asked.push(isClear);
    return { version: 1, revision: 7, secrets: 'none', configs: [], exportedAt: '2026-01-31T12:00:00.000Z' };
  };
  const { desk } = deskWith({ exportAll });
  for (const message of [messageOf('export', { secrets: 'include' }), messageOf('export', '', { 'X-Query': 'secrets=include' })]) {
    const { envelope } = await answerOf(desk, message);
    expect(envelope).toMatchObject({ code: 403, data: null, error: { kind: 'forbidden' } });
  }
  expect((await answerOf(desk, messageOf('export', { secrets: 'mask' }))).failure).toBeNull();
  expect(asked).toEqual([false]);
});

test('what is no operation is not found, also when it is a route', async () => {
  const { desk } = deskWith();
  for (const name of ['backup', 'restore', 'watch', '../system/health', 'add?x=1', '__proto__', '']) {
    const { envelope, headers } = await answerOf(desk, messageOf(name, { port: 1884 }, { 'X-Request-Id': 'r-2' }));
    expect(envelope).toMatchObject({ code: 404, error: { kind: 'not-found' } });
    expect(headers['x-request-id']).toBe('r-2');
  }
});

test('an answer that is too long for the bus says so; that of a change is shortened, because the change has happened', async () => {
  const nodes = [{ node: 'n1', state: 'applied' as const, reason: null }];
  const long = 'x'.repeat(3_000);
  const { desk } = deskWith({
    history: async () => Array.from({ length: 20 }, () => ({ reason: long }) as never),
    importAll: async () => {
      const confirm = { revision: 9, until: '2026-01-31T12:00:00.000Z' };
      return { revision: 9, added: 1, updated: 0, removed: 0, unchanged: 0, changes: [], nodes, warnings: [long], confirm };
    },
    rollback: async () => ({ revision: 9, changes: [], nodes: [{ ...nodes[0]!, reason: long }], warnings: [] }),
  });
  const read = await answerOf(desk, messageOf('export', undefined, {}, 20));
  expect(read.envelope).toMatchObject({ code: 413, error: { kind: 'too-large' } });
  expect(read.envelope.message).toMatch(/^The answer has \d+ bytes, and the bus takes 20: ask for less/);
  const imported = await answerOf(desk, messageOf('import', { configs: [] }, {}, 1_000));
  expect(imported).toMatchObject({ failure: null, headers: { etag: '"9"' } });
  expect(imported.envelope).toMatchObject({ code: 200, message: 'Success', data: { revision: 9, nodes, confirm: { revision: 9 } } });
  const restored = await answerOf(desk, messageOf('rollback', { revision: 1 }, {}, 1_000));
  expect(restored.envelope).toMatchObject({ code: 200, data: { revision: 9, nodes: [] } });
  for (const { envelope, text } of [imported, restored]) {
    expect((envelope.data as { warnings: string[] }).warnings).toEqual([expect.stringContaining('longer than the bus takes')]);
    expect(text.length).toBeLessThanOrEqual(1_000);
  }
});

test('more requests at once than may be are refused, and taken again when there is room', async () => {
  let release = () => {};
  const open = new Promise<void>((resolve) => {
    release = resolve;
  });
  const { desk } = deskWith({
    statusEverywhere: async () => {
      await open;
      return [];
    },
  });
  const waiting = Array.from({ length: 256 }, () => answerOf(desk, messageOf('status')));
  const refused = await answerOf(desk, messageOf('list'));
  expect(refused.envelope).toMatchObject({ code: 429, error: { kind: 'too-many-requests' } });
  release();
  for (const { failure } of await Promise.all(waiting)) expect(failure).toBeNull();
  expect((await answerOf(desk, messageOf('list'))).failure).toBeNull();
});

test('a fault inside says nothing of the inside', async () => {
  const { desk } = deskWith({ history: () => Promise.reject(new Error('password=hunter2')) });
  const { envelope, text } = await answerOf(desk, messageOf('history', undefined, { 'X-Request-Id': 'r-3' }));
  expect(envelope).toMatchObject({ code: 500, error: { kind: 'internal' } });
  expect(text).toContain('r-3');
  expect(text).not.toContain('hunter2');
});
