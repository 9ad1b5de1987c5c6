/** Rounds of a soak by MQTT clients: moving sessions, retained messages, wills, filters, shared groups, slow and broken clients. */

import * as encode from '../../kit/encode.ts';
import { connected } from '../../kit/lanes.ts';
import { RawClient } from '../../kit/raw-client.ts';
import { sleep, uid, until } from '../../kit/until.ts';
import type { Round } from './activity.ts';

const RETAINED = 200;
const FILTERS = 200;
const QUEUED = 20;
const SLOW_MESSAGES = 200;
const SLOW_PAYLOAD = Buffer.alloc(16_384, 'x');
const SESSION_SECONDS = 60;

/** A durable session gets its queue over another transport, is taken over, and ends with a clean start of its client. */
export const roam: Round = async ({ tcp, ws }, round) => {
  const clientId = uid('roam');
  const topic = `soak/roam/${clientId}`;
  const options = { clientId, clean: false, properties: { sessionExpiry: SESSION_SECONDS } };
  const first = await connected('tcp', tcp, 5, options);
  await first.subscribe(topic, 2);
  await first.cut();
  const publisher = await connected('ws', ws, 5);
  for (let n = 0; n < QUEUED; n++) await publisher.publish(topic, `${n}`, { qos: n % 2 === 0 ? 1 : 2 });
  await publisher.disconnect();
  const second = await connected('ws', ws, 5, options);
  const third = await connected('tcp', tcp, 5, options);
  second.destroy();
  const seen = new Set<string>();
  third.autoAcknowledge((message) => void seen.add(message.payload.toString()));
  await until(`queue of round ${round}`, () => seen.size === QUEUED);
  await third.disconnect(0, { sessionExpiry: 0 });
};

/** Retained messages are set, read by a new subscriber, and removed. */
export const retain: Round = async ({ tcp, ws }, round) => {
  const base = `soak/retained/${round % 4}`;
  const publisher = await connected('tcp', tcp, 5);
  for (let n = 0; n < RETAINED; n++) {
    await publisher.publish(`${base}/${n}`, `value ${round}`, { qos: 1, retain: true, properties: { messageExpiry: 600 } });
  }
  const reader = await connected('ws', ws, 4);
  let count = 0;
  reader.autoAcknowledge(() => void count++);
  await reader.subscribe(`${base}/#`, 1);
  await until(`retained messages of round ${round}`, () => count >= RETAINED);
  await reader.disconnect();
  for (let n = 0; n < RETAINED; n++) await publisher.publish(`${base}/${n}`, '', { qos: 1, retain: true });
  await publisher.disconnect();
};

/** A client breaks off. Its will, with a delay half the time, reaches a subscriber. */
export const die: Round = async ({ tcp, ws }, round) => {
  const topic = uid('soak/will/');
  const watcher = await connected('tcp', tcp, 5);
  await watcher.subscribe(topic, 1);
  const properties = round % 2 === 0 ? {} : { willDelay: 1 };
  const victim = await connected('ws', ws, 5, {
    will: { topic, payload: 'gone', qos: 1, properties },
    properties: { sessionExpiry: 2 },
  });
  victim.destroy();
  const will = await watcher.expect('publish', 10_000);
  watcher.send(encode.puback(will.id));
  await watcher.disconnect();
};

/** Many filters come and go, singly and with their client; members of a shared group share the messages. */
export const subscribe: Round = async ({ tcp }, round) => {
  const base = uid('soak/filters/');
  const client = await connected('tcp', tcp, 5);
  const filters = Array.from({ length: FILTERS }, (_each, n) => (n % 3 === 0 ? `${base}/${n}/+` : `${base}/${n}`));
  for (let at = 0; at < filters.length; at += 50) await client.subscribe(filters.slice(at, at + 50), 1);
  if (round % 2 === 0) await client.unsubscribe(...filters.slice(0, FILTERS / 2));
  const members = await Promise.all([1, 2].map(() => connected('tcp', tcp, 5)));
  let got = 0;
  for (const member of members) {
    member.autoAcknowledge(() => void got++);
    await member.subscribe(`$share/g/${base}/shared`, 1);
  }
  for (let n = 0; n < 10; n++) await client.publish(`${base}/shared`, 'x', { qos: 1 });
  await until('shared messages', () => got === 10);
  for (const each of [...members, client]) await each.disconnect();
};

/** A subscriber reads nothing while large messages come for it, until it is cut off. */
export const readSlowly: Round = async ({ tcp, ws }) => {
  const topic = uid('soak/slow/');
  const slow = await connected('tcp', tcp, 5);
  await slow.subscribe(topic, 1);
  slow.transport.socket.pause();
  const publisher = await connected('ws', ws, 5);
  for (let n = 0; n < SLOW_MESSAGES; n++) await publisher.publish(topic, SLOW_PAYLOAD, { qos: n % 2 === 0 ? 0 : 1 });
  slow.destroy();
  await publisher.disconnect();
};

/** Input that a port gets on the open network. */
const RUBBISH: readonly Buffer[] = [
  Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
  Buffer.from('160301020001000c', 'hex'),
  Buffer.from('PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n'),
  Buffer.alloc(64, 0xff),
  Buffer.from([0x10]),
  encode.pingreq(),
];

/** Connections that speak no MQTT, or break its rules after CONNECT. */
export const misbehave: Round = async ({ tcp, ws }, round) => {
  const stranger = await RawClient.open('tcp', tcp, 5);
  stranger.send(RUBBISH[round % RUBBISH.length] as Buffer);
  const broken = await connected(round % 2 === 0 ? 'tcp' : 'ws', round % 2 === 0 ? tcp : ws, 5);
  broken.send(encode.frame(0x36, Buffer.from('0001610001', 'hex')));
  await broken.closed();
  await sleep(200);
  stranger.destroy();
};
