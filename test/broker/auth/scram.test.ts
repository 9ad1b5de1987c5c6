/** Enhanced authentication by SCRAM: over users of the store and of the configuration, in CONNECT and again on an open connection. */

import { connect as connectTcp, type Socket } from 'node:net';
import { connectAsync, connect as connectMqtt } from 'mqtt';
import mqttPacket, { type Packet } from 'mqtt-packet';
import { expect, test } from 'vitest';
import { makeHash } from '../../../src/kernel/logins/make-hash.ts';
import { useBroker } from '../../kit/lanes.ts';
import { type ScramClient, scramClient } from '../../kit/scram.ts';
import { uid, within } from '../../kit/until.ts';

const scramHash = await makeHash('scram-sha-256', 'secret');
const held = useBroker(() => ({
  endpoints: [
    { authType: 'users' },
    {
      authConfig: [
        {
          authType: 'fixed',
          users: [
            { username: 'clear', password: 'pässword' },
            { username: 'hashed', password: scramHash, encrypt: 'auto' },
          ],
        },
        { authType: 'users' },
      ],
      aclConfig: { default: 'deny', rules: [] },
    },
    { enableAuth: false },
    { authConfig: [{ authType: 'jwt', secret: 'x'.repeat(32) }] },
  ],
}));
const METHODS = ['SCRAM-SHA-256', 'SCRAM-SHA-512'];

/** A client that sends packets of mqtt-packet and keeps what comes. */
class Speaker {
  readonly #socket: Socket;
  readonly #packets: Packet[] = [];
  #wake = () => {};
  isClosed = false;

  constructor(port: number) {
    this.#socket = connectTcp(port, '127.0.0.1');
    const parser = mqttPacket.parser({ protocolVersion: 5 });
    parser.on('packet', (packet) => {
      this.#packets.push(packet);
      this.#wake();
    });
    this.#socket.on('data', (bytes) => parser.parse(bytes));
    this.#socket.on('error', () => {});
    this.#socket.on('close', () => {
      this.isClosed = true;
      this.#wake();
    });
  }

  send(...packets: Packet[]): void {
    this.#socket.write(Buffer.concat(packets.map((packet) => mqttPacket.generate(packet, { protocolVersion: 5 }))));
  }

  connect(method: string, data: Buffer | string | null, more: Record<string, unknown> = {}): void {
    const authenticationData = data === null ? {} : { authenticationData: Buffer.from(data) };
    const properties = { authenticationMethod: method, ...authenticationData, ...(more['properties'] ?? {}) };
    const named = { protocolId: 'MQTT', protocolVersion: 5, clean: true, keepalive: 0, clientId: uid('s') } as const;
    this.send({ cmd: 'connect', ...named, ...more, properties } as Packet);
  }

  auth(reasonCode: number, method: string, data: Buffer | string): void {
    this.send({ cmd: 'auth', reasonCode, properties: { authenticationMethod: method, authenticationData: Buffer.from(data) } } as Packet);
  }

  async #arrival(): Promise<void> {
    while (this.#packets.length === 0 && !this.isClosed) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** The next packet; null: the connection is closed. */
  async next(): Promise<{
    cmd: string;
    reasonCode?: number;
    properties?: { authenticationMethod?: string; authenticationData?: Buffer };
  } | null> {
    await within('a packet', 8000, this.#arrival());
    return (this.#packets.shift() ?? null) as Awaited<ReturnType<Speaker['next']>>;
  }

  /** Answers the server's challenge. */
  async prove(method: string, client: ScramClient) {
    const challenge = await this.next();
    expect(challenge).toMatchObject({ cmd: 'auth', reasonCode: 0x18, properties: { authenticationMethod: method } });
    this.auth(0x18, method, client.final(challenge!.properties!.authenticationData!));
    return this.next();
  }

  end(): void {
    this.#socket.destroy();
  }
}

const speakTo = (endpoint: number) => new Speaker(held.broker.ports[endpoint]!);

/** The code of CONNACK after a whole exchange, which the server proves too. */
async function login(endpoint: number, method: string, username: string, password: string, more = {}): Promise<number | undefined> {
  const speaker = speakTo(endpoint);
  const client = scramClient(method, username, password);
  speaker.connect(method, client.first, more);
  const connack = await speaker.prove(method, client);
  expect(connack?.cmd).toBe('connack');
  if (connack?.reasonCode === 0) {
    expect(connack.properties?.authenticationMethod).toBe(method);
    expect(client.isProof(connack.properties!.authenticationData!)).toBe(true);
  }
  speaker.end();
  return connack?.reasonCode;
}

const addUser = (body: Record<string, unknown>) => held.broker.api('POST', '/api/users', body);

test('a user of the store, by the hash of one method, also with a password', async () => {
  for (const [kind, method, other] of [
    ['scram-sha-256', METHODS[0]!, METHODS[1]!],
    ['scram-sha-512', METHODS[1]!, METHODS[0]!],
  ] as const) {
    expect((await addUser({ username: kind, hash: await makeHash(kind, 'pw=,ü') })).status).toBe(200);
    expect(await login(0, method, kind, 'pw=,ü')).toBe(0);
    expect(await login(0, method, kind, 'other')).toBe(0x86);
    expect(await login(0, other, kind, 'pw=,ü')).toBe(0x86);
    const plain = await connectAsync(`mqtt://127.0.0.1:${held.broker.ports[0]}`, { username: kind, password: 'pw=,ü', reconnectPeriod: 0 });
    await plain.endAsync();
  }
  await held.broker.api('PUT', '/api/users', { username: 'scram-sha-256', disabled: true });
  expect(await login(0, METHODS[0]!, 'scram-sha-256', 'pw=,ü')).toBe(0x86);
});

test('a user that changes between challenge and proof does not come in with the old secret', async () => {
  for (const [name, change] of [
    ['gone', () => held.broker.api('DELETE', '/api/users?username=gone')],
    ['off', () => held.broker.api('PUT', '/api/users', { username: 'off', disabled: true })],
    ['renewed', async () => held.broker.api('PUT', '/api/users', { username: 'renewed', hash: await makeHash('scram-sha-256', 'new') })],
    ['same', () => held.broker.api('PUT', '/api/users', { username: 'same', comment: 'x' })],
  ] as const) {
    await addUser({ username: name, hash: scramHash });
    const speaker = speakTo(0);
    const client = scramClient(METHODS[0]!, name, 'secret');
    speaker.connect(METHODS[0]!, client.first);
    const challenge = await speaker.next();
    expect((await change()).status).toBe(200);
    speaker.auth(0x18, METHODS[0]!, client.final(challenge!.properties!.authenticationData!));
    expect([name, (await speaker.next())?.reasonCode]).toEqual([name, name === 'same' ? 0 : 0x86]);
    speaker.end();
  }
});

test('users of the configuration: clear text by both methods, hashes, and the next authenticator [5:MQTT-4.12.0-2, 5:MQTT-4.12.0-5]', async () => {
  for (const method of METHODS) expect(await login(1, method, 'clear', 'pässword')).toBe(0);
  expect(await login(1, METHODS[0]!, 'hashed', 'secret')).toBe(0);
  expect(await login(1, METHODS[0]!, 'hashed', 'secret', { username: 'hashed' })).toBe(0);
  await addUser({ username: 'behind', hash: await makeHash('mosquitto', 'x') });
  expect(await login(1, METHODS[1]!, 'behind', 'x')).toBe(0);
});

test('MQTT.js logs in', async () => {
  const client = scramClient(METHODS[0]!, 'hashed', 'secret');
  const properties = { authenticationMethod: METHODS[0]!, authenticationData: client.first };
  const device = connectMqtt(`mqtt://127.0.0.1:${held.broker.ports[1]}`, { protocolVersion: 5, reconnectPeriod: 0, properties });
  device.handleAuth = (packet, then) => {
    const authenticationData = client.final(packet.properties!.authenticationData!);
    then(undefined, { cmd: 'auth', reasonCode: 0x18, properties: { authenticationMethod: METHODS[0]!, authenticationData } });
  };
  await within('connected', 8000, new Promise<unknown>((resolve) => device.once('connect', resolve)));
  await device.endAsync();
});

test('an unknown user looks like a known one', async () => {
  const challengeOf = async (name: string) => {
    const speaker = speakTo(1);
    speaker.connect(METHODS[0]!, scramClient(METHODS[0]!, name, 'x').first);
    const challenge = (await speaker.next())?.properties?.authenticationData?.toString().replace(/^r=[^,]+,/, '');
    speaker.end();
    return challenge;
  };
  const [one, again, other, known] = await Promise.all(['nobody', 'nobody', 'noone', 'clear'].map(challengeOf));
  expect(one).toBe(again);
  expect(one).not.toBe(other);
  expect([one, known].map((text) => text?.replace(/s=[^,]{24},/, 's,'))).toEqual(['s,i=15000', 's,i=15000']);
  expect(await login(1, METHODS[0]!, 'nobody', 'x')).toBe(0x86);
});

test('methods that the endpoint does not have', async () => {
  for (const [endpoint, method] of [
    [0, 'GS2-KRB5'],
    [0, 'SCRAM-SHA-1'],
    [2, METHODS[0]!],
    [3, METHODS[0]!],
  ] as const) {
    const speaker = speakTo(endpoint);
    speaker.connect(method, 'n,,n=user,r=abc');
    expect(await speaker.next()).toMatchObject({ cmd: 'connack', reasonCode: 0x8c });
    expect(await speaker.next()).toBeNull();
  }
});

test('bad messages and packets out of order end the connection', async () => {
  const client = () => scramClient(METHODS[0]!, 'hashed', 'secret');
  const attempt = async (code: number, ...steps: ((speaker: Speaker) => unknown)[]) => {
    const speaker = speakTo(1);
    for (const step of steps) await step(speaker);
    const answers: unknown[] = [];
    for (let packet = await speaker.next(); packet !== null; packet = await speaker.next()) answers.push([packet.cmd, packet.reasonCode]);
    expect(answers).toEqual([['connack', code]]);
  };
  const first = (speaker: Speaker) => speaker.connect(METHODS[0]!, client().first);
  const challenged = async (speaker: Speaker) => {
    first(speaker);
    await speaker.next();
  };
  await attempt(0x86, (speaker) => speaker.connect(METHODS[0]!, null));
  await attempt(0x86, (speaker) => speaker.connect(METHODS[0]!, 'rubbish'));
  await attempt(0x86, (speaker) => speaker.connect(METHODS[0]!, client().first, { username: 'clear' }));
  await attempt(0x86, challenged, (speaker) => speaker.auth(0x18, METHODS[0]!, 'rubbish'));
  await attempt(0x95, (speaker) => speaker.connect(METHODS[0]!, client().first, { properties: { maximumPacketSize: 60 } }));
  await attempt(0x82, challenged, (speaker) => speaker.auth(0x18, METHODS[1]!, 'rubbish'));
  await attempt(0x82, challenged, (speaker) => speaker.auth(0x19, METHODS[0]!, client().first));
  await attempt(0x82, challenged, (speaker) => speaker.send({ cmd: 'pingreq' }));
  await attempt(0x82, challenged, (speaker) =>
    speaker.send({ cmd: 'publish', topic: 't', payload: 'x', qos: 0, dup: false, retain: false }),
  );
  const leaver = speakTo(1);
  await challenged(leaver);
  leaver.send({ cmd: 'disconnect', reasonCode: 0 });
  expect(await leaver.next()).toBeNull();
  expect(await held.broker.log()).not.toMatch(/"level":"error"|secret|pässword/);
});

test('a client that proves itself again gets the rights of now, and one that cannot is ended [5:MQTT-4.12.1-2]', async () => {
  const [method] = METHODS as [string];
  const hash = await makeHash('scram-sha-256', 'pw');
  const rule = (topic: string) => [{ permission: 'allow', action: 'all', topic }];
  await addUser({ username: 'again', hash, acl: rule('one/#') });
  const speaker = speakTo(1);
  const client = scramClient(method, 'again', 'pw');
  speaker.connect(method, client.first);
  expect(await speaker.prove(method, client)).toMatchObject({ cmd: 'connack', reasonCode: 0 });
  const codes = async () => {
    const publish = (topic: string, messageId: number) =>
      ({ cmd: 'publish', topic, payload: 'x', qos: 1, dup: false, retain: false, messageId }) as Packet;
    speaker.send(publish('one/a', 1), publish('two/a', 2));
    return [(await speaker.next())?.reasonCode, (await speaker.next())?.reasonCode].map((code) => (code === 0x10 ? 0 : code));
  };
  expect(await codes()).toEqual([0, 0x87]);
  await held.broker.api('PUT', '/api/users', { username: 'again', acl: rule('two/#') });
  expect(await codes()).toEqual([0, 0x87]);
  for (const [password, code] of [
    ['pw', 0],
    ['pw', 0],
    ['wrong', 0x87],
  ] as const) {
    const next = scramClient(method, 'again', password);
    speaker.auth(0x19, method, next.first);
    const challenge = (await speaker.next())!;
    // The exchange does not stop other packets.
    speaker.send({ cmd: 'pingreq' });
    expect((await speaker.next())?.cmd).toBe('pingresp');
    speaker.auth(0x18, method, next.final(challenge.properties!.authenticationData!));
    const last = (await speaker.next())!;
    expect([last.cmd, last.reasonCode ?? 0]).toEqual([code === 0 ? 'auth' : 'disconnect', code]);
    if (code !== 0) continue;
    expect(next.isProof(last.properties!.authenticationData!)).toBe(true);
    expect(await codes()).toEqual([0x87, 0]);
  }
  expect(await speaker.next()).toBeNull();
});

test.each<[string, (speaker: Speaker) => void]>([
  ['another user', (speaker) => speaker.auth(0x19, METHODS[0]!, scramClient(METHODS[0]!, 'clear', 'pässword').first)],
  ['another method', (speaker) => speaker.auth(0x19, METHODS[1]!, scramClient(METHODS[1]!, 'clear', 'pässword').first)],
  ['no exchange', (speaker) => speaker.auth(0x18, METHODS[0]!, 'x')],
])('an open connection does not become that of %s', async (_what, send) => {
  const speaker = speakTo(1);
  const client = scramClient(METHODS[0]!, 'hashed', 'secret');
  speaker.connect(METHODS[0]!, client.first);
  await speaker.prove(METHODS[0]!, client);
  send(speaker);
  expect(await speaker.next()).toMatchObject({ cmd: 'disconnect', reasonCode: expect.toBeOneOf([0x82, 0x87]) });
  expect(await speaker.next()).toBeNull();
});
