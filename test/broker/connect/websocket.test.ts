/** MQTT over WebSocket: subprotocol, path, frames, and their boundaries. */

import { describe, expect, test } from 'vitest';
import * as encode from '../../kit/encode.ts';
import { useBroker } from '../../kit/lanes.ts';
import { RawClient } from '../../kit/raw-client.ts';
import { openTcp, openWebSocket, upgrade } from '../../kit/transport.ts';
import { uid } from '../../kit/until.ts';

const base = { enableAuth: false, useWebsocket: true, maxConnectionPerSecond: 100_000 };
const held = useBroker(() => ({ endpoints: [base, { ...base, serverOptions: { workerGroupSize: 3 } }, { ...base, path: '/other/path' }] }));

/** A client with a will, and another one that hears its topic. */
async function withWill(index: number) {
  const port = held.broker.ports[index]!;
  const topic = uid('w/');
  const witness = RawClient.over(await openWebSocket(port), 5);
  await witness.handshake({ clientId: uid('c') });
  await witness.subscribe(topic, 0);
  const transport = await openWebSocket(port);
  const client = RawClient.over(transport, 5);
  await client.handshake({ clientId: uid('c'), will: { topic, payload: 'gone' } });
  return { topic, witness, client, transport };
}

describe.each([0, 1])('WebSocket, endpoint %i', (index) => {
  test('subprotocol mqtt is selected, mqttv3.1 too [5:MQTT-6.0.0-4, 3:MQTT-6.0.0-4]', async () => {
    for (const [offered, selected] of [
      ['mqtt', 'mqtt'],
      ['mqttv3.1', 'mqttv3.1'],
      ['chat, mqtt', 'mqtt'],
    ] as const) {
      const socket = await openTcp(held.broker.ports[index]!);
      const answer = await upgrade(socket, { protocol: offered });
      expect(answer.status).toBe(101);
      expect(answer.headers['sec-websocket-protocol']).toBe(selected);
      socket.destroy();
    }
  });

  test('an offer without mqtt is refused, or answered without a subprotocol that was not offered [5:MQTT-6.0.0-3, 3:MQTT-6.0.0-3]', async () => {
    for (const protocol of ['chat', null]) {
      const socket = await openTcp(held.broker.ports[index]!);
      const answer = await upgrade(socket, { protocol }).catch(() => null);
      if (answer?.status === 101) expect(answer.headers['sec-websocket-protocol']).toBeUndefined();
      else if (answer) expect(answer.status).toBeGreaterThanOrEqual(400);
      socket.destroy();
    }
  });

  test('another path gets 404', async () => {
    const socket = await openTcp(held.broker.ports[index]!);
    expect((await upgrade(socket, { path: '/elsewhere' })).status).toBe(404);
    socket.destroy();
  });

  test('a text frame ends the connection [5:MQTT-6.0.0-1, 3:MQTT-6.0.0-1]', async () => {
    const transport = await openWebSocket(held.broker.ports[index]!);
    const client = RawClient.over(transport, 5);
    await client.handshake({ clientId: uid('c') });
    transport.writeFrame('text', encode.pingreq());
    await client.closed();
  });

  test('several packets in a frame, a packet over several frames, a message of several fragments [5:MQTT-6.0.0-2, 3:MQTT-6.0.0-2]', async () => {
    const transport = await openWebSocket(held.broker.ports[index]!);
    const client = RawClient.over(transport, 5);
    const topic = uid('ws/');
    const bytes = Buffer.concat([
      encode.connect(5, { clientId: uid('c') }),
      encode.subscribe(5, 1, [{ filter: topic, qos: 1 }]),
      encode.publish(5, topic, 'x'.repeat(300)),
    ]);
    // One frame, then each cut in two at every place, then fragments.
    transport.writeFrame('binary', bytes);
    await client.expect('connack');
    for (let round = 0; round < 2; round++) await client.next();
    const publish = encode.publish(5, topic, 'cut');
    for (let cut = 1; cut < publish.length; cut++) {
      transport.writeFrame('binary', publish.subarray(0, cut));
      transport.writeFrame('binary', publish.subarray(cut));
    }
    await client.publishes(publish.length - 1);
    transport.writeFrame('binary', publish.subarray(0, 3), false);
    transport.writeFrame('continuation', publish.subarray(3, 7), false);
    transport.writeFrame('ping', Buffer.from('between'));
    transport.writeFrame('continuation', publish.subarray(7), true);
    await client.expect('publish');
    transport.writeFrame('binary', Buffer.alloc(0));
    await client.ping();
  });

  test('a close frame ends the connection like a cut one: the will is published', async () => {
    const { witness, client, transport } = await withWill(index);
    transport.writeFrame('close', Buffer.from([0x03, 0xe8]));
    await client.closed();
    expect((await witness.take()).payload.toString()).toBe('gone');
  });

  test.each([
    ['DISCONNECT, which cancels the will', encode.disconnect(), []],
    ['malformed DISCONNECT, which fails nobody else', encode.disconnect(5), ['gone']],
  ] as const)('one segment brings a PUBLISH, the close frame and between them a %s', async (_, last, wills) => {
    const { topic, witness, client, transport } = await withWill(index);
    transport.socket.cork();
    for (const packet of [encode.publish(5, topic, 'last', { qos: 1, id: 1 }), encode.pingreq(), last]) transport.write(packet);
    transport.writeFrame('close', Buffer.from([0x03, 0xe8]));
    transport.socket.uncork();
    await client.closed();
    const payloads = (await witness.publishes(1 + wills.length)).map(({ payload }) => payload.toString());
    expect(payloads).toEqual(['last', ...wills]);
    await witness.silence();
    expect(await held.broker.log()).not.toMatch(/could not be handled|Invalid access/);
  });

  test.each([
    ['close', Buffer.from([0x03, 0xe9])],
    ['close', Buffer.alloc(0)],
    ['close', Buffer.from([0x03, 0xe7])],
    ['text', Buffer.from('x')],
  ] as const)('a %s frame of a client that leaves its side open: the will comes at once', async (opcode, payload) => {
    const { witness, client, transport } = await withWill(index);
    transport.socket.allowHalfOpen = true;
    const ended = new Promise((resolve) => transport.socket.once('end', resolve));
    const start = performance.now();
    transport.writeFrame(opcode, payload);
    expect((await witness.take()).payload.toString()).toBe('gone');
    await ended;
    // Without an answer of the client the connection itself would be cut off after 5 s.
    expect(performance.now() - start).toBeLessThan(4_000);
    client.destroy();
  });

  test('a frame that announces more than any packet may have ends that connection alone', async () => {
    const bystander = RawClient.over(await openWebSocket(held.broker.ports[index]!), 5);
    await bystander.handshake({ clientId: uid('c') });
    const transport = await openWebSocket(held.broker.ports[index]!);
    const client = RawClient.over(transport, 5);
    await client.handshake({ clientId: uid('c') });
    transport.socket.write(Buffer.from([0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4]));
    await client.closed();
    await bystander.ping();
  });

  test('plain HTTP and plain MQTT on the port are turned away', async () => {
    const http = await fetch(`http://127.0.0.1:${held.broker.ports[index]!}/`, { signal: AbortSignal.timeout(5000) }).catch(() => null);
    if (http) expect(http.status).toBeGreaterThanOrEqual(400);
    const client = await RawClient.open('tcp', held.broker.ports[index]!, 5);
    client.tap = () => undefined;
    client.send(encode.connect(5, { clientId: uid('c') }));
    await client.closed(15_000).catch((error: Error) => expect(error.message).toContain('not allowed'));
  }, 30_000);
});

test('a path of its own', async () => {
  const transport = await openWebSocket(held.broker.ports[2]!, { path: '/other/path' });
  await RawClient.over(transport, 5).handshake({ clientId: uid('c') });
  const socket = await openTcp(held.broker.ports[2]!);
  expect((await upgrade(socket, { path: '/mqtt' })).status).toBe(404);
  socket.destroy();
});
