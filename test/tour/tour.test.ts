/** The main job on real input: endpoints come, change and go by curl while 1,000 clients lose nothing; after kill -9 all is back. */

import { connect as connectSocket } from 'node:net';
import { connect, connectAsync, type IClientOptions, type IConnackPacket, type MqttClient } from 'mqtt';
import { afterEach, expect, test } from 'vitest';
import { freePort } from '../kit/free-port.ts';
import { mosquittoPub, mosquittoSub } from '../kit/mosquitto.ts';
import { destroyAll, RawClient } from '../kit/raw-client.ts';
import { until, within } from '../kit/until.ts';
import { Flood } from './flood.ts';
import { Curl, environment, freshFolder, Started } from './started.ts';

const WIDE = { host: '127.0.0.1', enableAuth: false, maxConnectionSize: 5000, maxConnectionPerSecond: 1_000_000 };
const COMMAND = './fluxmq start';
const AWAY_JS = { clientId: 'away-js', protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: 3600 } } as const;
const AWAY_SHELL = ['-t', 'queue/#', '-q', '2', '-c', '-i', 'away-shell', '-V', 'mqttv311'];
const running = new Set<Started>();
const clients = new Set<MqttClient>();

afterEach(async () => {
  destroyAll();
  await Promise.all([...clients].map((client) => client.endAsync(true)));
  clients.clear();
  for (const started of running) started.child.kill('SIGKILL');
  running.clear();
});

async function start(folder: string, env: NodeJS.ProcessEnv): Promise<Started> {
  const started = await Started.run(COMMAND, folder, env);
  running.add(started);
  return started;
}

async function mqttJs(url: string, options: IClientOptions): Promise<MqttClient> {
  const client = await connectAsync(url, { reconnectPeriod: 0, connectTimeout: 5000, ...options });
  clients.add(client);
  return client;
}

/** True when a TCP connection to the port is accepted. */
function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectSocket({ port, host: '127.0.0.1' });
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

/** Collects what a MQTT.js client hears on `talk/#`. */
async function listen(client: MqttClient): Promise<string[]> {
  const heard: string[] = [];
  client.on('message', (topic, payload) => {
    if (topic.startsWith('talk/')) heard.push(`${topic} ${payload}`);
  });
  await client.subscribeAsync('talk/#', { qos: 1 });
  return heard;
}

interface Ports {
  admin: number;
  /** of the configuration */
  base: number;
  /** WebSocket, two threads; left alone */
  web: number;
  /** TCP, durable sessions; changed */
  sensors: number;
  /** TCP; removed */
  guests: number;
  /** where `sensors` moves to */
  moved: number;
}

async function choosePorts(): Promise<Ports> {
  const ports = new Set<number>();
  while (ports.size < 6) ports.add(await freePort());
  const [admin, base, web, sensors, guests, moved] = [...ports] as [number, number, number, number, number, number];
  return { admin, base, web, sensors, guests, moved };
}

async function addThree(curl: Curl, ports: Ports): Promise<void> {
  const web = { ...WIDE, id: 'web', port: ports.web, useWebsocket: true, serverOptions: { workerGroupSize: 2 } };
  for (const endpoint of [
    web,
    { ...WIDE, id: 'sensors', port: ports.sensors, sessionPersistence: true },
    { ...WIDE, port: ports.guests },
  ]) {
    const data = await curl.change('add', endpoint);
    expect(data['nodes']).toMatchObject([{ state: 'applied' }]);
    // A change is answered when it has happened: no waiting, no second try.
    expect(await accepts(endpoint.port)).toBe(true);
  }
}

/** Foreign clients of every kind, on every endpoint, hear each other. */
async function talk(ports: Ports, sensorsPort: number): Promise<void> {
  const sub = await mosquittoSub(sensorsPort, ['-t', 'talk/#', '-q', '1', '-V', '5']);
  const speakers = [
    await mqttJs(`mqtt://127.0.0.1:${ports.base}`, { protocolVersion: 5 }),
    await mqttJs(`mqtt://127.0.0.1:${sensorsPort}`, { protocolVersion: 4 }),
    await mqttJs(`ws://127.0.0.1:${ports.web}/mqtt`, { protocolVersion: 5 }),
    await mqttJs(`ws://127.0.0.1:${ports.web}/mqtt`, { protocolVersion: 4 }),
  ];
  const heard = await Promise.all(speakers.map(listen));
  for (const [index, speaker] of speakers.entries()) await speaker.publishAsync(`talk/${index}`, 'from MQTT.js', { qos: 1 });
  expect(await mosquittoPub(ports.base, ['-t', 'talk/4', '-m', 'from mosquitto', '-q', '2', '-V', 'mqttv311'])).toBe(0);
  const expected = [...speakers.map((_, index) => `talk/${index} from MQTT.js`), 'talk/4 from mosquitto'];
  for (const list of heard) await until('everything heard by MQTT.js', () => list.length >= expected.length);
  for (const list of heard) expect(list.toSorted()).toEqual(expected);
  const lines = await sub.wait(expected.length);
  expect(lines.map((line) => line.split(' ')[0]).toSorted()).toEqual(expected.map((line) => line.split(' ')[0]));
  await sub.stop();
  for (const speaker of speakers) {
    await speaker.endAsync();
    clients.delete(speaker);
  }
}

/** A live key, a rebind key and a move, each at once true for new clients. */
async function changeSensors(curl: Curl, ports: Ports): Promise<void> {
  expect(await curl.change('update', { id: 'sensors', maxQueuedMessages: 500 })).toMatchObject({ effect: 'live' });
  const rebind = { id: 'sensors', serverOptions: { workerGroupSize: 2, soBacklog: 1024 } };
  expect(await curl.change('update', rebind)).toMatchObject({ effect: 'rebind' });
  expect(await accepts(ports.sensors)).toBe(true);
  expect(await curl.change('update', { id: 'sensors', newPort: ports.moved })).toMatchObject({ effect: 'rebind' });
  expect(await accepts(ports.moved)).toBe(true);
  expect(await accepts(ports.sensors)).toBe(false);
}

/** Its clients get a DISCONNECT, and no others. */
async function removeGuests(curl: Curl, ports: Ports): Promise<void> {
  const guest = await RawClient.open('tcp', ports.guests, 5);
  expect(await guest.handshake({ clientId: 'guest' })).toMatchObject({ code: 0 });
  await curl.change('remove', { port: ports.guests });
  expect(await guest.closed()).toMatchObject([{ type: 'disconnect', code: 0x98 }]);
  expect(await accepts(ports.guests)).toBe(false);
}

/** Two clients of the durable endpoint go away with a subscription, and messages come for them. */
async function leaveQueues(ports: Ports): Promise<void> {
  const away = await mqttJs(`mqtt://127.0.0.1:${ports.moved}`, AWAY_JS);
  await away.subscribeAsync('queue/#', { qos: 1 });
  await away.endAsync();
  clients.delete(away);
  const shell = await mosquittoSub(ports.moved, AWAY_SHELL);
  await shell.stop();
  for (const text of ['one', 'two', 'three'])
    expect(await mosquittoPub(ports.base, ['-t', `queue/${text}`, '-m', text, '-q', '2'])).toBe(0);
}

/** Both find their session, and in it what came while they were away. */
async function takeQueues(ports: Ports): Promise<void> {
  const expected = ['one', 'two', 'three'];
  const heard: string[] = [];
  const client = connect(`mqtt://127.0.0.1:${ports.moved}`, { ...AWAY_JS, reconnectPeriod: 0 });
  clients.add(client);
  client.on('message', (_topic, payload) => heard.push(payload.toString()));
  const connack = await within('CONNACK', 5000, new Promise<IConnackPacket>((resolve) => client.once('connect', resolve)));
  expect(connack.sessionPresent).toBe(true);
  await until('the queue of MQTT.js', () => heard.length >= expected.length);
  expect(heard).toEqual(expected);
  const shell = await mosquittoSub(ports.moved, AWAY_SHELL);
  expect((await shell.wait(expected.length)).map((line) => line.split(' ').at(-1))).toEqual(expected);
  await shell.stop();
}

test('endpoints come, change and go while 1,000 clients lose nothing, and kill -9 changes nothing', async () => {
  const ports = await choosePorts();
  const folder = freshFolder();
  const env = environment(ports.admin, { ...WIDE, port: ports.base });
  const curl = new Curl(ports.admin);
  const first = await start(folder, env);
  await addThree(curl, ports);
  await talk(ports, ports.sensors);

  const flood = new Flood();
  await flood.open([
    { transport: 'tcp', port: ports.base, clients: 600 },
    { transport: 'ws', port: ports.web, clients: 400 },
    { transport: 'tcp', port: ports.sensors, clients: 20 },
  ]);
  flood.start();
  await until('the flow is going', () => flood.sent >= 4);
  await changeSensors(curl, ports);
  await removeGuests(curl, ports);
  await talk(ports, ports.moved);
  await until('the flow has gone on', () => flood.sent >= 20, 10_000);
  await flood.finish();
  expect(flood.faults).toEqual([]);
  expect(flood.disconnected).toBe(0);
  expect(flood.heard).toBe(1020 * 2 * flood.sent);
  destroyAll();

  await leaveQueues(ports);
  const before = await curl.call('/api/endpoints/list');
  await first.kill();
  expect(await accepts(ports.moved)).toBe(false);
  const second = await start(folder, env);
  expect(await curl.call('/api/endpoints/list')).toEqual(before);
  await takeQueues(ports);
  await talk(ports, ports.moved);
  expect(await second.stop()).toBe(0);
}, 90_000);
