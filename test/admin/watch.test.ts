/** GET /api/endpoints/watch: what it tells, how a reader that was away resumes, and how readers that do not read are bounded. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import { streamEventSchema } from '../../src/answers/watch.ts';
import { type Broker, startBroker } from '../kit/broker.ts';
import { EventReader } from '../kit/events.ts';
import { freePort } from '../kit/free-port.ts';
import { connected } from '../kit/lanes.ts';
import { until } from '../kit/until.ts';

const OPEN = { host: '127.0.0.1', enableAuth: false };
let broker: Broker;

beforeAll(async () => {
  broker = await startBroker({ endpoints: [OPEN] });
});
afterAll(() => broker.stop());

const watch = (headers: Record<string, string> = {}) => EventReader.open(`${broker.admin}/api/endpoints/watch`, headers);

const seenEvents = new Set<string>();

/** Each event has exactly the form that src/answers says: parse() leaves out keys that a schema lacks. */
function expectForms(reader: EventReader): void {
  expect(reader.events.length).toBeGreaterThan(0);
  for (const { event, id, data } of reader.events) {
    const sent = { event, id, ...data };
    expect(streamEventSchema.parse(sent)).toEqual(sent);
    seenEvents.add(event);
  }
}

async function change(action: string, body: Record<string, unknown>): Promise<number> {
  const answer = await broker.api('POST', `/api/endpoints/${action}`, body);
  expect(answer.status, JSON.stringify(answer.body)).toBe(200);
  return (answer.body as { data: { revision: number } }).data.revision;
}

test('states, revisions and drains, in order, with growing ids', async () => {
  const reader = await watch();
  expect([reader.status, reader.contentType]).toEqual([200, 'text/event-stream; charset=utf-8']);
  await reader.find('ready');
  const [port, moved] = [await freePort(), await freePort()];
  const added = await change('add', { ...OPEN, port, id: 'seen' });
  await reader.find('state', (data) => data['endpoint'] === 'seen' && data['state'] === 'running' && data['revision'] === added);
  await reader.find('revision', (data) => data['revision'] === added);
  const clients = await Promise.all(Array.from({ length: 5 }, () => connected('tcp', port, 5)));
  const updated = await change('update', { id: 'seen', newPort: moved });
  await reader.find('state', (data) => data['port'] === moved && data['revision'] === updated);
  await change('remove', { id: 'seen', drainMs: 300 });
  await reader.find('drain', (data) => data['endpoint'] === 'seen' && data['total'] === 5 && data['ended'] === false);
  await reader.find('drain', (data) => data['endpoint'] === 'seen' && data['left'] === 0 && data['ended'] === true);
  await reader.find('state', (data) => data['endpoint'] === 'seen' && data['state'] === 'stopped');
  const revisions = reader.events.filter(({ event }) => event === 'revision').map(({ data }) => data['changes']);
  expect(revisions).toEqual(
    (['added', 'updated', 'removed'] as const).map((kind, index) => [{ id: 'seen', port: index === 0 ? port : moved, change: kind }]),
  );
  const states = reader.events.filter(({ event }) => event === 'state').map(({ data }) => data['state']);
  expect(states).toEqual(['running', 'running', 'draining', 'stopped']);
  const ids = reader.events.filter(({ event }) => event !== 'ready').map(({ id }) => id!);
  expect(ids).toEqual([...ids].sort((a, b) => a - b));
  expect(new Set(ids).size).toBe(ids.length);
  await Promise.all(clients.map((client) => client.closed()));
  reader.close();
  expectForms(reader);
});

test('an endpoint that cannot listen is shown with its reason', async () => {
  const reader = await watch();
  const port = await freePort();
  await change('add', { ...OPEN, port, id: 'failing', enabled: false });
  const { createServer } = await import('node:net');
  const foreign = createServer();
  await new Promise<void>((resolve) => foreign.listen({ port, host: '127.0.0.1' }, resolve));
  expect((await broker.api('POST', '/api/endpoints/enable', { port })).status).toBe(409);
  await new Promise((resolve) => foreign.close(resolve));
  await change('enable', { port });
  await reader.find('state', (data) => data['endpoint'] === 'failing' && data['state'] === 'running');
  reader.close();
});

test('Last-Event-ID: nothing of the last 1,000 is missed, and what is older is said to be missing', async () => {
  const first = await watch();
  const { id: since } = await first.find('ready');
  first.close();
  const port = await freePort();
  const revisions = [await change('add', { ...OPEN, port, id: 'away' })];
  for (let n = 1; n <= 4; n++) revisions.push(await change('update', { id: 'away', maxConnectionSize: 100 + n }));
  const told = async (id: number) => {
    const reader = await watch({ 'last-event-id': String(id) });
    await reader.find('ready');
    reader.close();
    expectForms(reader);
    return reader.events;
  };
  const resumed = await told(since!);
  expect(resumed.filter(({ event }) => event === 'revision').map(({ data }) => data['revision'])).toEqual(revisions);
  expect(resumed.at(-1)!.event).toBe('ready');
  expect((await told(resumed.at(-1)!.id!)).map(({ event }) => event)).toEqual(['ready']);
  const third = resumed.filter(({ event }) => event === 'revision')[2]!.id!;
  expect((await told(third)).filter(({ event }) => event === 'revision').map(({ data }) => data['revision'])).toEqual(revisions.slice(3));
  // An identifier of an earlier process, or one that is not known yet.
  expect((await told(17))[0]!.event).toBe('incomplete');
  expect((await told(9_000_000_000_000_000))[0]!.event).toBe('incomplete');
  expect((await watch({ 'last-event-id': 'seven' })).status).toBe(400);
  expect([...seenEvents].sort()).toEqual(streamEventSchema.options.map(({ shape }) => shape.event.value).sort());
});

test('beyond 1,000 the oldest are forgotten: whoever asks for them gets `incomplete`, and the rest', async () => {
  const ports = await Promise.all(Array.from({ length: 100 }, () => freePort()));
  const configs = ports.map((port, n) => ({ ...OPEN, port, id: `busy-${n}`, exclusivePool: false }));
  const reader = await watch();
  const { id: since } = await reader.find('ready');
  const seen = () => reader.events.length;
  // Each import is a hundred states and a revision.
  for (let enabled = true; seen() < 1100; enabled = !enabled)
    await change('import', { configs: configs.map((each) => ({ ...each, enabled })) });
  const late = await watch({ 'last-event-id': String(since) });
  await late.find('ready');
  expect(late.events[0]!.event).toBe('incomplete');
  const kept = late.events.slice(1, -1);
  expect(kept).toHaveLength(1000);
  expect(kept).toEqual(reader.events.slice(-1000));
  reader.close();
  late.close();
}, 60_000);

test('there is a login before it as before everything else; the node stops at once with readers connected, and their streams end', async () => {
  const own = await startBroker({
    endpoints: [],
    config: { http: { host: '127.0.0.1', port: await freePort(), password: 'secret', viewers: [{ username: 'v', password: 'w' }] } },
  });
  const url = `${own.admin}/endpoints/watch`;
  expect((await EventReader.open(url)).status).toBe(401);
  const authorization = `Basic ${Buffer.from('v:w').toString('base64')}`;
  const readers = await Promise.all(Array.from({ length: 3 }, () => EventReader.open(url, { authorization })));
  expect(readers.map(({ status }) => status)).toEqual([200, 200, 200]);
  readers[0]!.close();
  const startedAt = Date.now();
  expect(await own.stop()).toBe(0);
  expect(Date.now() - startedAt).toBeLessThan(3000);
  await until('the streams have ended', () => readers.every(({ isEnded }) => isEnded));
});
