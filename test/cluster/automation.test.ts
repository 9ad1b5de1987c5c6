/** Endpoints managed over NATS, on real servers with real permissions: as over HTTP, by one node, by those alone who may publish there. */

import { connect, type NatsConnection, headers as natsHeaders } from 'nats';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort } from '../kit/free-port.ts';
import { until } from '../kit/until.ts';
import { storeOf, TestCluster } from './kit.ts';

const KIB = 1024;
const SERVER = `
max_payload: 2MB
authorization { users: [
  { user: node, password: n, permissions: {
    publish: ["fluxmq.>", "$JS.API.>", "$KV.ENDPOINT_CONFIG.>", "_INBOX.>"], subscribe: ["fluxmq.>", "$SRV.>", "_INBOX.>"] } }
  { user: mute, password: m, permissions: { publish: ">", subscribe: { allow: ">", deny: "fluxmq.endpoints.>" } } }
  { user: operator, password: o, permissions: {
    publish: ["fluxmq.endpoints.>", "$SRV.>"], subscribe: ["_INBOX.>", "fluxmq.events.>"] } }
  { user: reader, password: r, permissions: { publish: "*.endpoints.list", subscribe: "_INBOX.>" } }
] }`;
const NODE = { credentials: { user: 'node', password: 'n' } };

interface Envelope {
  code: number;
  message: string;
  data: Record<string, unknown>;
  error?: { kind: string; issues: { path: string; message: string }[] };
}

let cluster: TestCluster;
let operator: NatsConnection;
beforeAll(async () => {
  cluster = await TestCluster.start({ store: storeOf(null, ''), nodes: 2, config: SERVER, cluster: NODE });
  operator = await connect({ servers: cluster.nats.urls, user: 'operator', pass: 'o' });
  await until('both serve', async () => (await instances()).length === 2);
}, 90_000);
afterAll(async () => {
  await operator?.close();
  await cluster?.stop();
}, 60_000);

async function instances(): Promise<{ name: string; version: string; metadata: Record<string, string> }[]> {
  const found = [];
  const answers = await operator.requestMany('$SRV.PING.fluxmq-endpoints', undefined, { maxWait: 1_000 });
  for await (const answer of answers) found.push(answer.json<{ name: string; version: string; metadata: Record<string, string> }>());
  return found;
}

async function ask(name: string, body?: unknown, headers: Record<string, string> = {}, by = operator) {
  const named = natsHeaders();
  for (const [key, value] of Object.entries(headers)) named.set(key, value);
  const data = typeof body === 'string' ? body : body === undefined ? '' : JSON.stringify(body);
  const message = await by.request(`fluxmq.endpoints.${name}`, data, { timeout: 20_000, headers: named });
  return { envelope: message.json<Envelope>(), header: (key: string) => message.headers?.get(key) ?? '' };
}

const envelopeOf = async (...args: Parameters<typeof ask>) => (await ask(...args)).envelope;
const overHttp = async (path: string) => (await cluster.nodes[0]!.api('GET', `/api/endpoints/${path}`)).body as Envelope;

test('the service is seen by the tools for micro services: both nodes, each operation, its numbers', async () => {
  expect((await instances()).map(({ metadata }) => metadata).sort((a, b) => (a['node']! < b['node']! ? -1 : 1))).toEqual([
    { cluster: 'fluxmq', node: 'node-1' },
    { cluster: 'fluxmq', node: 'node-2' },
  ]);
  const info = (await operator.request('$SRV.INFO.fluxmq-endpoints', undefined, { timeout: 5_000 })).json<{
    version: string;
    endpoints: { subject: string }[];
  }>();
  expect(info.version).toMatch(/^\d+\.\d+\.\d+/);
  const names = 'add update remove list get status metrics plan history rollback export import check-port enable disable confirm health';
  const subjects = info.endpoints.map(({ subject }) => subject);
  expect(subjects).toEqual(expect.arrayContaining(names.split(' ').map((name) => `fluxmq.endpoints.${name}`)));
});

test('every operation does what it does over HTTP, and the history says that it came over NATS', async () => {
  const [port, moved] = [await freePort(), await freePort()];
  const add = { id: 'x', port, enableAuth: false, authConfig: { type: 'fixed', users: [{ username: 'u', password: 'hunter2' }] } };
  const headers = { 'X-Actor': 'Zoë', 'X-Reason': 'größer', 'X-Request-Id': 'r-1' };
  expect(await envelopeOf('validate-config', add)).toMatchObject({ code: 200, data: { valid: true } });
  expect(await envelopeOf('check-port', { port, host: '127.0.0.1' })).toMatchObject({ data: { available: true } });
  expect(await envelopeOf('plan', { action: 'add', ...add })).toMatchObject({ code: 200, data: { clientsAffected: 0 } });
  const added = await ask('add', add, headers);
  const first = added.envelope.data['revision'] as number;
  expect(added.envelope).toMatchObject({ code: 200, message: 'Success', data: { endpoint: { id: 'x', port } } });
  expect((added.envelope.data['nodes'] as { state: string }[]).map(({ state }) => state)).toEqual(['applied', 'applied']);
  expect([added.header('x-request-id'), added.header('etag')]).toEqual(['r-1', `"${first}"`]);
  for (const node of cluster.nodes)
    expect((await node.api('GET', '/api/endpoints/list')).body).toMatchObject({ data: { activePorts: [port] } });

  await cluster.untilInStep();
  expect(await envelopeOf('list')).toEqual(await overHttp('list'));
  expect(await envelopeOf('get', { id: 'x' })).toEqual(await overHttp('get?id=x'));
  expect(await envelopeOf('get', { port: 1 })).toEqual(await overHttp('get?port=1'));
  expect(await envelopeOf('history', { limit: 1 })).toEqual(await overHttp('history?limit=1'));
  expect(((await envelopeOf('history')).data as unknown as unknown[])[0]).toMatchObject({
    revision: first,
    action: 'add',
    actor: 'Zoë',
    source: 'nats',
    reason: 'größer',
    requestId: 'r-1',
  });
  expect(await envelopeOf('status', { port })).toMatchObject({ code: 200, data: [{ id: 'x' }, { id: 'x' }] });
  expect(await envelopeOf('health', { port })).toMatchObject({ code: 200, data: [{ healthy: true }] });
  expect(await envelopeOf('metrics', { port })).toMatchObject({ code: 200, data: { port, metrics: {} } });

  const stale = await ask('update', { id: 'x', maxConnectionSize: 7 }, { 'If-Match': `"${first - 1}"` });
  expect(stale.envelope).toMatchObject({ code: 412, data: { revision: first }, error: { kind: 'revision-mismatch' } });
  expect([stale.header('Nats-Service-Error-Code'), stale.header('Nats-Service-Error')]).toEqual(['412', stale.envelope.message]);
  const updated = await envelopeOf('update', { id: 'x', newPort: moved }, { 'If-Match': `"${first}"`, 'X-Query': 'wait=local&timeout=9s' });
  expect(updated).toMatchObject({ code: 200, data: { effect: 'rebind', nodes: [{ state: 'applied' }, { reason: 'not waited for' }] } });
  const waiting = await envelopeOf('disable', { id: 'x', force: true }, { 'X-Query': 'confirmWithin=1m&policy=all' });
  const { revision } = waiting.data as { revision: number };
  expect(waiting).toMatchObject({ code: 200, data: { confirm: { revision } } });
  expect(await envelopeOf('confirm', { revision })).toMatchObject({ code: 200, data: { endpoints: [{ id: 'x' }] } });
  expect(await envelopeOf('enable', { id: 'x' })).toMatchObject({ code: 200, data: { endpoint: { enabled: true } } });
  expect(await envelopeOf('rollback', { id: 'x', revision: first }, headers)).toMatchObject({ code: 200, data: { endpoint: { port } } });

  const file = await envelopeOf('export');
  expect(file).toMatchObject({ code: 200, data: { secrets: 'masked' } });
  expect(JSON.stringify(file) + JSON.stringify(await envelopeOf('list'))).not.toContain('hunter2');
  expect(await envelopeOf('export', { secrets: 'include' })).toMatchObject({ code: 403, data: null, error: { kind: 'forbidden' } });
  expect(await envelopeOf('import', { configs: [{ port, wiretap: true }], reason: 'look' })).toMatchObject({
    code: 200,
    data: { updated: 1 },
  });
  expect(await envelopeOf('remove', { id: 'x', force: true })).toMatchObject({ code: 200 });
  const rows = (await envelopeOf('history', { id: 'x' })).data as unknown as { action: string; source: string; actor: string }[];
  expect(rows.map(({ action }) => action)).toEqual(['remove', 'import', 'rollback', 'enable', 'disable', 'update', 'add']);
  expect(new Set(rows.map(({ source }) => source))).toEqual(new Set(['nats']));
  expect(rows.map(({ actor }) => actor)).toEqual(['anonymous', 'anonymous', 'Zoë', 'anonymous', 'anonymous', 'anonymous', 'Zoë']);
});

test('each request is answered by exactly one node, and both take their part', async () => {
  const inbox = 'fluxmq.events.answers';
  const answers: string[] = [];
  const listener = await connect({ servers: cluster.nats.urls, user: 'node', pass: 'n' });
  listener.subscribe(inbox, { callback: (_error, message) => void answers.push(message.headers?.get('x-request-id') ?? '') });
  await listener.flush();
  const sent = Array.from({ length: 60 }, (_, n) => `once-${n}`);
  for (const id of sent) {
    const headers = natsHeaders();
    headers.set('X-Request-Id', id);
    operator.publish('fluxmq.endpoints.list', '', { reply: inbox, headers });
  }
  await until('all answers', () => answers.length >= sent.length, 20_000);
  const added = Array.from({ length: 6 }, async (_, n) => {
    const reason = `once ${n}`;
    return envelopeOf('add', { id: `once-${n}`, port: await freePort(), enabled: false, reason });
  });
  for (const { code } of await Promise.all(added)) expect(code).toBe(200);
  const rows = (await envelopeOf('history', { limit: 6 })).data as unknown as { reason: string; node: string }[];
  expect(rows.map(({ reason }) => reason).sort()).toEqual(Array.from({ length: 6 }, (_, n) => `once ${n}`));
  const handled = [];
  for await (const answer of await operator.requestMany('$SRV.STATS.fluxmq-endpoints', undefined, { maxWait: 1_000 })) {
    const { endpoints } = answer.json<{
      endpoints: { name: string; num_requests: number; data: { answered: number; failed: number } }[];
    }>();
    handled.push(endpoints.find(({ name }) => name === 'list')!.data);
    for (const { num_requests, data } of endpoints) expect(data.answered).toBe(num_requests);
  }
  expect(handled).toHaveLength(2);
  for (const { answered } of handled) expect(answered).toBeGreaterThan(0);
  expect(answers.sort()).toEqual(sent.sort());
  await listener.close();
});

test('what is too large or no JSON is refused with the whole error, and an answer that is too large says so', async () => {
  const large = JSON.stringify({ port: 1, reason: 'x'.repeat(1_100 * KIB) });
  const tooLarge = await ask('add', large);
  expect(tooLarge.envelope).toMatchObject({ code: 413, data: null, error: { kind: 'too-large', issues: [] } });
  expect(tooLarge.envelope.message).toContain('1048576');
  expect(tooLarge.header('Nats-Service-Error-Code')).toBe('413');
  for (const body of ['{', '', '[1]', '"x"'])
    expect(await envelopeOf('add', body)).toMatchObject({ code: 400, data: null, error: { kind: 'invalid', issues: [{ path: '' }] } });
  const wrong = await envelopeOf('add', { port: 70_000, colour: 'red', maxConnectionSize: 'many' }, { 'X-Query': 'timeout=9s' });
  expect(wrong.error?.issues.map(({ path }) => path).sort()).toEqual(['colour', 'maxConnectionSize', 'port']);
  expect((await envelopeOf('add', { port: 1 }, { 'X-Query': 'timout=9s' })).error?.issues).toEqual([
    { path: 'timout', message: 'unknown key' },
  ]);

  // Within the limits of a change, the history of it is larger than a message may be.
  const rules = (n: number) =>
    Array.from({ length: 3_000 }, (_, index) => ({
      permission: 'allow',
      subject: { type: 'all' },
      action: 'publish',
      topic: `site/${n}/${index}/${'x'.repeat(200)}`,
    }));
  const wide = { id: 'wide', port: await freePort(), enabled: false };
  for (const n of [1, 2]) {
    const aclConfig = { rules: rules(n) };
    const change = n === 1 ? await envelopeOf('add', { ...wide, aclConfig }) : await envelopeOf('update', { id: 'wide', aclConfig });
    expect(change).toMatchObject({ code: 200, message: 'Success' });
    expect(change.data['revision']).toBeGreaterThan(0);
  }
  const history = await ask('history', { id: 'wide' });
  expect(history.envelope).toMatchObject({ code: 413, error: { kind: 'too-large' } });
  expect(await envelopeOf('history', { id: 'wide', limit: 1, before: 1 })).toMatchObject({ code: 200, data: [] });
  expect(await envelopeOf('remove', { id: 'wide' })).toMatchObject({ code: 200 });
});

test('who may publish to one operation can do nothing else', async () => {
  const reader = await connect({ servers: cluster.nats.urls, user: 'reader', pass: 'r' });
  const refused: string[] = [];
  void (async () => {
    for await (const { data } of reader.status()) refused.push(String(data));
  })();
  const before = await envelopeOf('list');
  expect(await envelopeOf('list', undefined, {}, reader)).toEqual(before);
  const others = ['add', 'update', 'remove', 'get', 'history', 'export', 'import', 'rollback', 'disable', 'list.add'];
  for (const name of others)
    await expect(reader.request(`fluxmq.endpoints.${name}`, '{"port":1}', { timeout: 500 }), name).rejects.toThrow();
  await until('each was refused', () => refused.length >= others.length);
  const { endpoints } = (await envelopeOf('list')).data as { endpoints: unknown };
  expect(endpoints).toEqual(before.data['endpoints']);
  await reader.close();
});

test('nodes whose user may not subscribe to the operations do not serve them, say so, and are nodes all the same', async () => {
  const mute = await cluster.add('node-3', { credentials: { user: 'mute', password: 'm' } });
  await cluster.untilUp(3);
  await until('it says so', async () => (await mute.log()).includes('the service fluxmq-endpoints is not served by this node'));
  await until('the others serve', async () => (await instances()).length === 2);
  const port = await freePort();
  const added = await envelopeOf('add', { id: 'late', port, enableAuth: false });
  expect((added.data['nodes'] as { state: string }[]).map(({ state }) => state)).toEqual(['applied', 'applied', 'applied']);
  expect(await envelopeOf('remove', { id: 'late', force: true })).toMatchObject({ code: 200 });
}, 60_000);

test('of a node that stops, requests under way are answered, and the other one takes what comes then', async () => {
  const [first] = cluster.nodes;
  const port = await freePort();
  const wave = Array.from({ length: 40 }, () => envelopeOf('check-port', { port }));
  const stopped = first!.kill('SIGTERM');
  for (const answer of await Promise.all(wave)) expect(answer).toMatchObject({ code: 200, data: { nodes: [{}, {}, {}] } });
  expect(await stopped).toBe(0);
  for (let n = 0; n < 10; n++) expect((await envelopeOf('list')).code).toBe(200);
  expect((await instances()).map(({ metadata }) => metadata['node'])).toEqual(['node-2']);
}, 60_000);

test('bans, administrators, keys and the audit over NATS', async () => {
  const actor = { 'X-Actor': 'deploy-bot', 'X-Request-Id': 'ban-over-nats' };
  const banned = await envelopeOf('bans-add', { clientId: 'sensor-1', reason: 'stolen' }, actor);
  expect(banned).toMatchObject({ code: 200, data: { bans: [{ clientId: 'sensor-1', author: 'deploy-bot' }] } });
  // A node that an earlier test has stopped is named, too.
  expect((banned.data['nodes'] as { state: string }[]).filter(({ state }) => state === 'applied')).toHaveLength(2);
  expect(await envelopeOf('bans', { by: 'clientId', limit: '10' })).toMatchObject({ code: 200, data: { total: 1 } });
  expect((await envelopeOf('bans-remove', { clientId: 'sensor-2' })).code).toBe(404);
  expect((await envelopeOf('bans-remove', { clientId: 'sensor-1' })).code).toBe(200);
  // The nodes of this cluster need no login, so they take no administrators.
  expect((await envelopeOf('admins-add', { username: 'ann', password: 'long enough', role: 'viewer' })).code).toBe(422);
  expect(await envelopeOf('admins')).toMatchObject({ code: 200, data: { admins: [] } });
  expect(await envelopeOf('keys')).toMatchObject({ code: 200, data: { keys: [] } });
  const entry = await until('the audit', async () => {
    const { data } = await envelopeOf('audit', { actor: 'deploy-bot' });
    return (data['entries'] as unknown[])[0];
  });
  expect(entry).toMatchObject({ action: 'POST /api/bans/add', source: 'nats', address: null, requestId: 'ban-over-nats', status: 200 });
});
