/** Long streams of packets: cut anywhere, many in one write, to subscribers of every kind; what is kept must not change when buffers are used again. */

import { describe, expect, test } from 'vitest';
import * as encode from '../../kit/encode.ts';
import type { EndpointName } from '../../kit/lanes.ts';
import { LANES, useSharedLanes } from '../../kit/lanes.ts';
import { uid, until } from '../../kit/until.ts';

const kit = useSharedLanes();

/** A generator of numbers below `limit` that is the same in every run (mulberry32). */
function seeded(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  };
}

/** A payload that shows every displaced byte: its number, then bytes that depend on their place. */
function payloadOf(number: number, length: number): Buffer {
  const payload = Buffer.alloc(length + 4);
  payload.writeUInt32BE(number);
  for (let index = 0; index < length; index++) payload[index + 4] = (number * 31 + index * 7) & 0xff;
  return payload;
}

describe.each(LANES)('streams, $name', (lane) => {
  test('packets of all sizes, cut at random places, arrive whole and in order', async () => {
    const next = seeded(lane.version * 1000 + lane.name.length);
    const topics = [uid('st/'), uid('st/'), `${uid('st/')}/with/some/more/levels`];
    const to = await kit.client(lane);
    const got = topics.map((): number[] => []);
    to.autoAcknowledge((message) => {
      const number = message.payload.readUInt32BE();
      expect(message.payload.equals(payloadOf(number, message.payload.length - 4)), `payload ${number}`).toBe(true);
      got[topics.indexOf(message.topic)]!.push(number);
    });
    await to.subscribe(topics, 1);
    const from = await kit.client(lane);
    let acknowledged = 0;
    from.tap = () => {
      acknowledged++;
    };
    const sent = topics.map((): number[] => []);
    let withQos = 0;
    for (let batch = 0; batch < 20; batch++) {
      const packets: Buffer[] = [];
      for (let n = 0; n < 25; n++) {
        const number = batch * 25 + n;
        // Runs of the same topic, as fast paths like them.
        const which = Math.floor(n / 6) % topics.length;
        const qos = next(4) === 0 ? 1 : 0;
        if (qos === 1) withQos++;
        const size = next(8) === 0 ? next(20_000) : next(200);
        packets.push(encode.publish(lane.version, topics[which]!, payloadOf(number, size), { qos, id: number + 1 }));
        sent[which]!.push(number);
      }
      const bytes = Buffer.concat(packets);
      for (let at = 0; at < bytes.length; ) {
        const length = 1 + next(next(3) === 0 ? 30 : 5000);
        from.send(bytes.subarray(at, at + length));
        at += length;
        if (next(4) === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      await until('acknowledgements', () => acknowledged === withQos, 5000, 1);
    }
    await until('all messages', () => got.flat().length >= 500);
    // Order is kept for each topic and QoS; here both QoS go through one queue.
    for (const [index, numbers] of got.entries()) expect(numbers.toSorted((a, b) => a - b)).toEqual(sent[index]);
  });

  test('what is retained, queued or in flight is not touched by what comes after it', async () => {
    const base = uid('keep/');
    const options = { clientId: uid('c'), clean: false, properties: lane.version === 5 ? { sessionExpiry: 60 } : {} };
    const away = await kit.client(lane, options);
    await away.subscribe(`${base}/q/#`, 1);
    await away.disconnect();
    const slow = await kit.client(lane, { properties: lane.version === 5 ? { receiveMaximum: 1 } : {} });
    await slow.subscribe(`${base}/q/#`, 1);
    const from = await kit.client(lane);
    from.tap = () => undefined;
    const packets: Buffer[] = [];
    for (let n = 0; n < 60; n++) {
      packets.push(encode.publish(lane.version, `${base}/q/${n}`, payloadOf(n, 50 + n), { qos: 1, id: n + 1 }));
      packets.push(encode.publish(lane.version, `${base}/r/${n}`, payloadOf(n, 30 + n), { retain: true }));
    }
    // All in one write, and then rubbish of the same size over whatever buffer they were in.
    from.send(...packets);
    for (let round = 0; round < 20; round++) from.send(encode.publish(lane.version, uid('rubbish/'), Buffer.alloc(20_000, 0xee)));
    const back = await kit.client(lane, options);
    for (const client of [back, slow]) {
      for (let n = 0; n < 60; n++) {
        const message = await client.take();
        expect(message.topic).toBe(`${base}/q/${n}`);
        expect(message.payload.equals(payloadOf(n, 50 + n)), `queued ${n}`).toBe(true);
      }
    }
    const late = await kit.client(lane);
    await late.subscribe(`${base}/r/+`);
    for (let n = 0; n < 60; n++) {
      const { topic, payload, retain } = await late.take();
      const number = Number(topic.split('/').at(-1));
      expect(retain).toBe(true);
      expect(payload.equals(payloadOf(number, 30 + number)), `retained ${number}`).toBe(true);
    }
  });
});

describe.each(['tcp1', 'tcp3', 'ws3'] as EndpointName[])('runs of one topic to every kind of subscriber, published at %s', (endpoint) => {
  test.each([5, 4] as encode.Version[])('by MQTT %i', async (version) => {
    const topic = uid('run/');
    const on = (v: encode.Version, place: EndpointName) => ({ name: '', version: v, endpoint: place });
    const kinds: [string, Awaited<ReturnType<typeof kit.client>>][] = [];
    for (const place of ['tcp1', 'ws3', 'tcp3'] as EndpointName[]) {
      const add = async (
        name: string,
        v: encode.Version,
        filter: encode.Filter,
        options: encode.ConnectOptions = {},
        id?: number,
      ): Promise<void> => {
        const client = await kit.client(on(v, place), options);
        await client.subscribe([filter], 0, id === undefined ? undefined : { subscriptionIds: [id] });
        kinds.push([`${name} at ${place}`, client]);
      };
      await add('v5', 5, { filter: topic });
      await add('v4', 4, { filter: topic });
      await add('v3 with QoS 1', 3, { filter: topic, qos: 1 });
      await add('wildcard', 5, { filter: `${topic.slice(0, topic.indexOf('/'))}/#`, qos: 2 });
      await add('identifier', 5, { filter: topic }, {}, 1234);
      await add('retain as published', 5, { filter: topic, retainAsPublished: true });
      await add('no local', 5, { filter: topic, noLocal: true });
      await add('small packets', 5, { filter: topic }, { properties: { maximumPacketSize: 80 } });
      await add('alias', 5, { filter: topic }, { properties: { topicAliasMaximum: 3 } });
      await add('alone in its group', 5, { filter: `$share/${uid('g')}/${topic}` });
    }
    const from = await kit.client(on(version, endpoint));
    const texts: string[] = [];
    const packets: Buffer[] = [];
    for (let n = 0; n < 120; n++) {
      // Every tenth is too large for "small packets"; some are of another topic, so that runs end.
      const text = n % 10 === 9 ? `${n}-`.padEnd(90, 'x') : `${n}`;
      texts.push(text);
      packets.push(encode.publish(version, topic, text));
      if (n % 17 === 0) packets.push(encode.publish(version, uid('other/'), 'x'));
    }
    from.send(...packets);
    for (const [name, client] of kinds) {
      const wanted = name.startsWith('small') ? texts.filter((text) => text.length < 50) : texts;
      const aliases = new Map<number, string>();
      const got: string[] = [];
      for (const message of await client
        .publishes(wanted.length)
        .catch((error: Error) => Promise.reject(new Error(`${name}: ${error.message}`)))) {
        const alias = message.properties.topicAlias;
        if (alias !== undefined && message.topic !== '') aliases.set(alias, message.topic);
        expect(message.topic === '' ? aliases.get(alias!) : message.topic, name).toBe(topic);
        expect(message.properties.subscriptionIds, name).toEqual(name.startsWith('identifier') ? [1234] : undefined);
        expect(message, name).toMatchObject({ qos: 0, retain: false, dup: false });
        got.push(message.payload.toString());
      }
      expect(got, name).toEqual(wanted);
    }
    for (const [name, client] of kinds) {
      await client.ping();
      expect(client.inbox, name).toEqual([]);
    }
  });
});
