/** The form of answers, bad bodies and queries, conditions, request ids: everything of the HTTP layer but the login. */

import { describe, expect, test, vi } from 'vitest';
import type { Logger } from '../../../src/kernel/logger.ts';
import { appWith, ask } from './stand-in.ts';

const ADD = '/api/endpoints/add';

describe('envelope', () => {
  test('a good answer is code, message, data, with the revision as ETag', async () => {
    const { app } = appWith();
    const { status, body, headers } = await ask(app, 'GET', '/api/endpoints/get?port=1883');
    expect(status).toBe(200);
    expect(body).toMatchObject({ code: 200, message: 'Success', data: { revision: 7, endpoint: { port: 1883 } } });
    expect(headers.get('etag')).toBe('"7"');
  });

  test('the list is keyed by port', async () => {
    const { body } = await ask(appWith().app, 'GET', '/api/endpoints/list');
    expect(body.data).toMatchObject({ endpoints: { '1883': { id: 'mqtt-1883' } }, activePorts: [1883], total: 1 });
  });

  test('every path under /api/endpoints answers under /endpoints too', async () => {
    const { status, body } = await ask(appWith().app, 'GET', '/endpoints/get?id=mqtt-1883');
    expect(status).toBe(200);
    expect(body.data).toMatchObject({ revision: 7 });
  });

  test('a named failure keeps its kind and status', async () => {
    const { status, body } = await ask(appWith().app, 'GET', '/api/endpoints/get?port=1');
    expect(status).toBe(404);
    expect(body).toMatchObject({ code: 404, data: null, error: { kind: 'not-found', issues: [] } });
  });

  test('an internal failure says nothing of the inside, and is logged under the request id', async () => {
    const lines: unknown[] = [];
    const logger: Logger = { debug() {}, info() {}, warn() {}, error: (_message, fields) => lines.push(fields) };
    const { status, body } = await ask(appWith({}, {}, logger).app, 'GET', '/api/system/health', {
      headers: { 'x-request-id': 'trace-1' },
    });
    expect(status).toBe(500);
    expect(JSON.stringify(body)).not.toContain('secret inside');
    expect(body.message).toContain('trace-1');
    expect(JSON.stringify(lines)).toContain('secret inside');
    expect(lines).toEqual([expect.objectContaining({ requestId: 'trace-1' })]);
  });

  test('an unhealthy endpoint is 503 with the results', async () => {
    const { status, body } = await ask(appWith().app, 'GET', '/api/endpoints/health?port=1883');
    expect(status).toBe(503);
    expect(body).toMatchObject({
      code: 503,
      data: [{ port: 1883, healthy: false }],
      error: { issues: [{ path: '1883', message: 'refused' }] },
    });
  });

  test('status of an unknown port is 404', async () => {
    expect((await ask(appWith().app, 'GET', '/api/endpoints/status?port=2')).status).toBe(404);
    expect((await ask(appWith().app, 'GET', '/api/endpoints/status')).status).toBe(200);
  });
});

describe('routes', () => {
  test('an unknown route is 404', async () => {
    const { status, body } = await ask(appWith().app, 'GET', '/api/nothing');
    expect([status, body.error?.kind]).toEqual([404, 'not-found']);
  });

  test.each([
    ['GET', ADD, 'POST, OPTIONS'],
    ['DELETE', '/endpoints/list', 'GET, HEAD, OPTIONS'],
    ['POST', '/openapi.json', 'GET, HEAD, OPTIONS'],
  ])('%s %s is 405 with Allow: %s', async (method, path, allow) => {
    const { status, headers, body } = await ask(appWith().app, method, path);
    expect([status, body.code, headers.get('allow')]).toEqual([405, 405, allow]);
  });

  test('OPTIONS names the methods of a route, without a login', async () => {
    const { app } = appWith({ password: 'secret' });
    for (const [path, allow] of Object.entries({ '/': 'GET, HEAD, OPTIONS', [ADD]: 'POST, OPTIONS' })) {
      const { status, headers, body } = await ask(app, 'OPTIONS', path, { headers: { host: 'any.example' } });
      expect([path, status, headers.get('allow'), body.message]).toEqual([path, 204, allow, '']);
    }
    expect((await ask(app, 'OPTIONS', '/nowhere')).status).toBe(404);
  });

  test('a slash at the end of a path changes nothing', async () => {
    const { app } = appWith();
    for (const path of ['/health/', '/public/metrics/', '/api/endpoints/list/', '/endpoints/get//?port=1883', '/docs/'])
      expect([path, (await app.request(path, { headers: { host: 'localhost' } })).status === 404]).toEqual([path, false]);
    expect((await ask(app, 'POST', `${ADD}/`, { body: { port: 5 } })).status).toBe(200);
  });

  test('every answer of text ends with a newline', async () => {
    const { app } = appWith();
    for (const path of ['/api/endpoints/list', '/nowhere', '/openapi.json', '/public/metrics', '/api/endpoints/get?port=1'])
      expect([path, (await (await app.request(path, { headers: { host: 'localhost' } })).text()).slice(-1)]).toEqual([path, '\n']);
  });

  test('HEAD answers as GET, without a body', async () => {
    const { status, headers, body } = await ask(appWith().app, 'HEAD', '/public/metrics');
    expect([status, body.message]).toEqual([200, '']);
    expect(headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  });

  test('?confirmWithin= is a time from 1 second to 24 hours', async () => {
    for (const [value, milliseconds] of Object.entries({ 1000: 1000, '30s': 30_000, '1500ms': 1500, '2m': 120_000, '24h': 86_400_000 })) {
      const { app, seen } = appWith();
      expect((await ask(app, 'POST', `${ADD}?confirmWithin=${value}`, { body: { port: 1 } })).status).toBe(200);
      expect(seen[0]?.context?.confirmWithinMs).toBe(milliseconds);
    }
    for (const value of ['999', '0s', '25h', '1d', '-5s', '1e9', '']) {
      const { app, seen } = appWith();
      const { status, body } = await ask(app, 'POST', `${ADD}?confirmWithin=${value}`, { body: { port: 1 } });
      expect([value, status, body.error?.issues.map(({ path }) => path), seen.length]).toEqual([value, 400, ['confirmWithin'], 0]);
    }
  });

  test('?wait= and ?policy= of a change reach it; other values are refused, all at once', async () => {
    const { app, seen } = appWith();
    expect((await ask(app, 'POST', `${ADD}?wait=local&policy=all`, { body: { port: 1 } })).status).toBe(200);
    expect(seen[0]?.context).toMatchObject({ wait: 'local', policy: 'all' });
    const { status, body } = await ask(app, 'POST', `${ADD}?wait=some&policy=most`, { body: { port: 1 } });
    expect([status, body.error?.issues.map(({ path }) => path), seen.length]).toEqual([400, ['wait', 'policy'], 1]);
    // A read does not know them.
    expect((await ask(app, 'GET', '/api/endpoints/list?wait=all')).status).toBe(400);
  });
});

describe('bodies', () => {
  const plain = { 'content-type': 'text/plain' };
  const json = { 'content-type': 'application/json' };
  test.each([
    ['no content type', undefined, {}, 415],
    ['text', '{}', plain, 415],
    ["curl's default", '{}', { 'content-type': 'application/x-www-form-urlencoded' }, 415],
    ['a compressed body', '{}', { ...json, 'content-encoding': 'gzip' }, 415],
    ['another charset', '{}', { 'content-type': 'application/json; charset=latin1' }, 415],
    ['not JSON', '{"port":', json, 400],
    ['empty', '', json, 400],
    ['an array', '[]', json, 400],
    ['a number', '7', json, 400],
    ['null', 'null', json, 400],
    ['nested deeply', '['.repeat(500_000), json, 400],
    ['over 1 MiB', JSON.stringify({ id: 'x'.repeat(1024 * 1024) }), json, 413],
  ])('%s', async (_what, body, headers, wanted) => {
    const { app, seen } = appWith();
    const options = body === undefined ? { headers } : { body, headers };
    const answer = await ask(app, 'POST', ADD, options);
    expect([answer.status, answer.body.code, seen.length]).toEqual([wanted, wanted, 0]);
  });

  test('not UTF-8', async () => {
    const body = Uint8Array.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]);
    const headers = { host: 'localhost', 'content-type': 'application/json' };
    const response = await appWith().app.request(ADD, { method: 'POST', headers, body });
    expect(response.status).toBe(400);
  });

  test("the answer to curl's default content type names the header", async () => {
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const { body } = await ask(appWith().app, 'POST', ADD, { body: '{}', headers });
    expect(body.message).toContain("-H 'Content-Type: application/json'");
  });

  test('JSON with a charset is taken', async () => {
    const { app, seen } = appWith();
    await ask(app, 'POST', ADD, { body: { port: 5 }, headers: { 'content-type': 'application/json; charset=UTF-8' } });
    expect(seen[0]?.body).toEqual({ port: 5 });
  });

  test('the size is counted, not believed', async () => {
    const chunk = new Uint8Array(64 * 1024).fill(0x20);
    let sent = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        sent += chunk.length;
        controller.enqueue(chunk);
      },
    });
    const headers = { host: 'localhost', 'content-type': 'application/json', 'content-length': '2' };
    const response = await appWith().app.request(ADD, { method: 'POST', headers, body, duplex: 'half' } as RequestInit);
    expect(response.status).toBe(413);
    expect(sent).toBeLessThan(2 * 1024 * 1024);
  });

  test('all problems of a checked body come at once, unknown keys by name', async () => {
    const { status, body } = await ask(appWith().app, 'POST', '/api/publish', { body: { qos: 3, retain: 'yes', colour: 1, payload: 'x' } });
    expect(status).toBe(400);
    expect(body.error?.issues.map((issue) => issue.path).sort()).toEqual(['colour', 'qos', 'retain', 'topic']);
  });
});

describe('queries', () => {
  test.each([
    ['/api/endpoints/get?port=0', 'port'],
    ['/api/endpoints/get?port=65536', 'port'],
    ['/api/endpoints/get?port=1e3', 'port'],
    ['/api/endpoints/get', 'port'],
    ['/api/endpoints/get?port=1883&id=a', 'port'],
    ['/api/endpoints/get?port=1883&port=1884', 'port'],
    ['/api/endpoints/get?port=1883&colour=red', 'colour'],
    ['/api/endpoints/list?colour=red', 'colour'],
    ['/api/endpoints/list?timeout=5', 'timeout'],
    ['/api/endpoints/check-port', 'port'],
    ['/api/endpoints/check-port?port=1&host=example.org', 'host'],
    ['/api/endpoints/metrics?format=xml', 'format'],
    ['/api/endpoints/history?limit=1001', 'limit'],
    ['/api/endpoints/history?before=-1', 'before'],
    ['/api/clients?page=0', 'page'],
    ['/api/clients?size=1001', 'size'],
  ])('%s is 400 about %s', async (path, about) => {
    const { status, body } = await ask(appWith().app, 'GET', path);
    expect([status, body.error?.kind]).toEqual([400, 'invalid']);
    expect(body.error?.issues.map((issue) => issue.path)).toContain(about);
  });

  test.each([
    ['500', 500],
    ['250ms', 250],
    ['30s', 30_000],
    ['5m', 300_000],
  ])('timeout=%s is %d ms', async (timeout, wanted) => {
    const { app, seen } = appWith();
    await ask(app, 'POST', `${ADD}?timeout=${timeout}`, { body: {} });
    expect(seen[0]?.context?.timeoutMs).toBe(wanted);
  });

  test('a read that waits for others is 503 when its timeout is over', async () => {
    const { app } = appWith({}, { probe: () => new Promise(() => {}) });
    const { status, body } = await ask(app, 'GET', '/api/endpoints/health?port=1883&timeout=20ms');
    expect([status, body.error?.kind, body.message]).toEqual([503, 'timeout', 'No answer within 20 ms']);
  });

  test('a change that is not answered is 503 with an unknown outcome, for programs too', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    try {
      const { app } = appWith({}, { add: () => new Promise(() => {}) });
      const asked = ask(app, 'POST', `${ADD}?timeout=20ms`, { body: { port: 1 } });
      await vi.advanceTimersByTimeAsync(10_000);
      const { status, body } = await asked;
      expect([status, body.error?.kind, body.message]).toEqual([503, 'timeout', expect.stringContaining('the change may still happen')]);
      expect(body.data).toMatchObject({ outcome: 'unknown' });
    } finally {
      vi.useRealTimers();
    }
  });

  test.each(['0', '6m', '-1', 'soon', '1h', ''])('timeout=%s is refused', async (timeout) => {
    const { status, body } = await ask(appWith().app, 'POST', `${ADD}?timeout=${timeout}`, { body: {} });
    expect([status, body.error?.issues[0]?.path]).toEqual([400, 'timeout']);
  });
});

describe('conditions, request ids and reasons', () => {
  test.each(['"7"', '7'])('If-Match: %s is passed on', async (header) => {
    const { app, seen } = appWith();
    const { status, headers } = await ask(app, 'POST', '/api/endpoints/update', { body: { port: 1883 }, headers: { 'if-match': header } });
    expect([status, headers.get('etag'), seen[0]?.context?.expectedRevision]).toEqual([200, '"8"', 7]);
  });

  test('an old revision is 412 with what is there now', async () => {
    const { status, body } = await ask(appWith().app, 'POST', '/api/endpoints/update', {
      body: { port: 1883 },
      headers: { 'if-match': '"6"' },
    });
    expect([status, body.error?.kind, body.data]).toEqual([412, 'revision-mismatch', { revision: 7 }]);
  });

  test.each(['W/"7"', '"7', '"a"', '"7", "8"', ''])('If-Match: %s is 400, not skipped', async (header) => {
    const { app, seen } = appWith();
    const { status } = await ask(app, 'POST', '/api/endpoints/update', { body: { port: 1883 }, headers: { 'if-match': header } });
    expect([status, seen.length]).toEqual([400, 0]);
  });

  test('If-Match: * on an add of something new is 412', async () => {
    const headers = { 'if-match': '*' };
    expect((await ask(appWith().app, 'POST', ADD, { body: { port: 5 }, headers })).status).toBe(412);
    expect((await ask(appWith().app, 'POST', ADD, { body: { port: 1883 }, headers })).status).toBe(200);
  });

  test('If-None-Match with the current revision is 304', async () => {
    for (const path of ['/api/endpoints/list', '/api/endpoints/get?port=1883']) {
      const same = await ask(appWith().app, 'GET', path, { headers: { 'if-none-match': '"6", W/"7"' } });
      expect([same.status, same.body.message, same.headers.get('etag')]).toEqual([304, '', '"7"']);
      expect((await ask(appWith().app, 'GET', path, { headers: { 'if-none-match': '"6"' } })).status).toBe(200);
    }
  });

  test('a request id is kept when it is usable, else made', async () => {
    const { app, seen } = appWith();
    const kept = await ask(app, 'POST', ADD, { body: {}, headers: { 'x-request-id': 'abc-1' } });
    expect([kept.headers.get('x-request-id'), seen[0]?.context?.requestId]).toEqual(['abc-1', 'abc-1']);
    for (const bad of ['a b', 'x'.repeat(129), 'é']) {
      const made = await ask(app, 'GET', '/nothing', { headers: { 'x-request-id': bad } });
      expect(made.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    }
  });

  test('X-Reason is passed on, a reason in the body stays there for the control plane', async () => {
    const { app, seen } = appWith();
    await ask(app, 'POST', ADD, { body: { port: 5, reason: 'body' }, headers: { 'x-reason': 'header' } });
    expect(seen).toEqual([{ body: { port: 5, reason: 'body' }, context: expect.objectContaining({ reason: 'header' }) }]);
    const long = await ask(app, 'POST', ADD, { body: { port: 5 }, headers: { 'x-reason': 'x'.repeat(1001) } });
    expect([long.status, long.body.error?.issues[0]?.path]).toEqual([400, 'X-Reason']);
  });

  test('the access log has one line a request, without the query', async () => {
    const lines: [string, unknown][] = [];
    const logger: Logger = { debug() {}, warn() {}, error() {}, info: (message, fields) => lines.push([message, fields]) };
    await ask(appWith({ accessLog: true }, {}, logger).app, 'GET', '/api/endpoints/get?port=1', { headers: { 'x-request-id': 'r1' } });
    expect(lines).toEqual([['HTTP GET /api/endpoints/get 404', expect.objectContaining({ requestId: 'r1', actor: 'local' })]]);
  });
});

describe('messages and clients', () => {
  test.each([
    [{ payload: 'é' }, 'é'],
    [{ message: 'hi' }, 'hi'],
    [{ payloadBase64: 'aGk=' }, 'hi'],
    [{ payload: 'aGk=', encoding: 'base64' }, 'hi'],
    [{ payload: 'aGk=', payload_encoding: 'plain' }, 'aGk='],
  ])('publish %j', async (payload, wanted) => {
    const { app, seen } = appWith();
    const { status, body } = await ask(app, 'POST', '/api/publish', { body: { topic: 'a/b', ...payload } });
    expect([status, body.code]).toEqual([200, 0]);
    const request = seen[0]?.body as { payload: Uint8Array; topic: string };
    expect(Buffer.from(request.payload).toString()).toBe(wanted);
    expect(request).toMatchObject({ topic: 'a/b', qos: 0, retain: false, namespace: 'default' });
  });

  test.each([
    [{ topic: 'a/+', payload: '' }, 'topic'],
    [{ topic: 'a\0', payload: '' }, 'topic'],
    [{ topic: 'a\ud800', payload: '' }, 'topic'],
    [{ topic: '', payload: '' }, 'topic'],
    [{ topic: 'é'.repeat(32768), payload: '' }, 'topic'],
    [{ topic: 'a' }, 'payload'],
    [{ topic: 'a', payload: '', message: '' }, 'payload'],
    [{ topic: 'a', payload: { a: 1 } }, 'payload'],
    [{ topic: 'a', payload: 'a', encoding: 'base64' }, 'payload'],
    [{ topic: 'a', payloadBase64: 'a' }, 'payloadBase64'],
    [{ topic: 'a', payload: '', encoding: 'hex' }, 'encoding'],
  ])('publish %j is refused about %s', async (body, about) => {
    const { app, seen } = appWith();
    const answer = await ask(app, 'POST', '/api/publish', { body });
    expect([answer.status, seen.length]).toEqual([400, 0]);
    expect(answer.body.error?.issues.map((issue) => issue.path)).toContain(about);
  });

  test('close tells how many were closed, with code 0', async () => {
    const { body } = await ask(appWith().app, 'POST', '/api/close', { body: { ids: ['a', 'b'] } });
    expect(body).toMatchObject({ code: 0, data: { closed: 2 } });
    expect((await ask(appWith().app, 'POST', '/api/close', { body: { ids: 'a' } })).status).toBe(400);
    expect((await ask(appWith().app, 'POST', '/api/check', { body: { ids: [] } })).status).toBe(400);
  });
});
