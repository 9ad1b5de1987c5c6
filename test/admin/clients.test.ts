/** publish, check, close and clients of the real broker, with MQTT clients on the other side. */

import { connectAsync, type MqttClient } from 'mqtt';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Broker, startBroker } from '../kit/broker.ts';
import { uid, until, within } from '../kit/until.ts';

let broker: Broker;
beforeAll(async () => {
  broker = await startBroker({ endpoints: [{ enableAuth: false }, { enableAuth: false, namespace: 'other' }] });
});
afterAll(async () => {
  await broker.stop();
});

async function connect(clientId: string, endpoint = 0): Promise<MqttClient> {
  return connectAsync(`mqtt://127.0.0.1:${broker.ports[endpoint]}`, { clientId, protocolVersion: 5, reconnectPeriod: 0 });
}

interface Received {
  topic: string;
  payload: string;
  qos: number;
  retain: boolean;
}

function nextMessage(client: MqttClient): Promise<Received> {
  const message = new Promise<Received>((resolve) => {
    client.once('message', (topic, payload, { qos, retain }) => resolve({ topic, payload: payload.toString(), qos, retain }));
  });
  return within('message', 5000, message);
}

describe('publish', () => {
  test('reaches a subscriber of its namespace only', async () => {
    const topic = uid('topic');
    const [here, there] = [await connect(uid()), await connect(uid(), 1)];
    const got: string[] = [];
    there.on('message', (_topic, payload) => got.push(payload.toString()));
    for (const client of [here, there]) await client.subscribeAsync(topic, { qos: 1 });
    const message = nextMessage(here);
    const { status, body } = await broker.api('POST', '/api/publish', { topic, payload: 'grüezi', qos: 1 });
    expect([status, body]).toEqual([200, expect.objectContaining({ code: 0 })]);
    expect(await message).toEqual({ topic, payload: 'grüezi', qos: 1, retain: false });
    await broker.api('POST', '/api/publish', { topic, payloadBase64: 'Mg==', namespace: 'other' });
    await until('message in the other namespace', () => got.length > 0);
    expect(got).toEqual(['2']);
    await Promise.all([here.endAsync(), there.endAsync()]);
  });

  test('retain is kept for later subscribers', async () => {
    const topic = uid('topic');
    await broker.api('POST', '/api/publish', { topic, payload: 'kept', retain: true });
    const client = await connect(uid());
    const message = nextMessage(client);
    await client.subscribeAsync(topic);
    expect(await message).toMatchObject({ payload: 'kept', retain: true });
    await client.endAsync();
  });
});

describe('check, close, clients', () => {
  test('a client is found, listed and disconnected', async () => {
    const clientId = uid('client');
    const client = await connect(clientId);
    await client.subscribeAsync('a/#');
    const found = await broker.api('POST', '/api/check', { ids: [clientId, 'nobody'] });
    expect(found.body).toMatchObject({
      code: 0,
      data: expect.arrayContaining([
        expect.objectContaining({ clientId, connected: true, namespace: 'default', endpoint: `mqtt-${broker.ports[0]}` }),
      ]),
    });
    const listed = await broker.api('GET', `/api/clients?endpoint=mqtt-${broker.ports[0]}&size=1000`);
    expect(listed.body).toMatchObject({
      code: 200,
      data: {
        page: 1,
        size: 1000,
        data: expect.arrayContaining([expect.objectContaining({ clientId, protocolVersion: 5, subscriptions: 1 })]),
      },
    });
    const gone = new Promise<number | undefined>((resolve) => client.once('disconnect', ({ reasonCode }) => resolve(reasonCode)));
    const closed = await broker.api('POST', '/api/close', { ids: [clientId, 'nobody'] });
    expect(closed.body).toMatchObject({ code: 0, data: { closed: 1 } });
    // 0x98: Administrative action.
    expect(await within('DISCONNECT', 5000, gone)).toBe(0x98);
    await client.endAsync(true);
  });

  test('pages over several threads are sorted by identifier, and each client stands on one', async () => {
    const prefix = uid('threads');
    const wanted = ['a', 'b', 'c', 'd', 'e'].map((name) => `${prefix}-${name}`);
    // Each endpoint has a thread of its own; the first page takes the later one's client first.
    const clients = await Promise.all(wanted.map((id, index) => connect(id, index === 1 || index === 2 ? 0 : 1)));
    const got: string[] = [];
    for (let page = 1, total = 1; got.length < total; page++) {
      const { body } = await broker.api('GET', `/api/clients?page=${page}&size=2`);
      const { data, total: all } = (body as { data: { data: { clientId: string }[]; total: number } }).data;
      total = all;
      expect(data.length).toBeGreaterThan(0);
      got.push(...data.map(({ clientId }) => clientId));
    }
    expect(got.filter((id) => id.startsWith(prefix))).toEqual(wanted);
    await Promise.all(clients.map((client) => client.endAsync()));
  });

  test('pages are sorted by identifier and do not overlap', async () => {
    const prefix = uid('page');
    const clients = await Promise.all(['c', 'a', 'b'].map((name) => connect(prefix + name, 1)));
    const names: string[] = [];
    for (const page of [1, 2]) {
      const { body } = await broker.api('GET', `/api/clients?endpoint=mqtt-${broker.ports[1]}&page=${page}&size=2`);
      const { data, total } = (body as { data: { data: { clientId: string }[]; total: number } }).data;
      expect(total).toBe(3);
      names.push(...data.map((client) => client.clientId));
    }
    expect(names).toEqual(['a', 'b', 'c'].map((name) => prefix + name));
    await Promise.all(clients.map((client) => client.endAsync()));
  });
});
