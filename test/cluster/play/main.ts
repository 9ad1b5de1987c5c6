/** `npm run cluster`: three nodes, NATS and Postgres on loopback addresses, to play with. Ctrl-C, SIGTERM or SIGHUP ends all of it. */

import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '../../../src/kernel/errors.ts';
import { startPostgres } from '../../kit/databases/postgres.ts';
import { freePort } from '../../kit/free-port.ts';
import { startNats } from '../../kit/nats.ts';
import { guide } from './guide.ts';
import { Player } from './player.ts';

const ADDRESSES = ['127.0.0.1', '127.0.0.2', '127.0.0.3'] as const;
const ADMIN_PORTS = [18083, 18084, 18085] as const;
const MQTT_PORTS = [1883, 1884, 1885] as const;
const DATABASE = 'play';

const say = (text: string): void => void process.stdout.write(`${text}\n`);
const ends: (() => unknown)[] = [];
let ending: Promise<void> | null = null;

/** Nodes before what they need. */
async function end(): Promise<void> {
  for (const step of ends.splice(0).reverse()) {
    try {
      await step();
    } catch (error) {
      say(messageOf(error));
    }
  }
}

/** A second one ends the process at once, and its children with it. */
function onSignal(signal: NodeJS.Signals): void {
  if (ending !== null) process.exit(1);
  say(`${signal}: ending the nodes, NATS and Postgres`);
  ending = end();
  void ending.then(() => {
    say('Everything has ended.');
    process.exit(0);
  });
}

function isFree(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** The port that people know when it is free on all the addresses, else another one. */
async function choosePort(wanted: number, hosts: readonly string[]): Promise<number> {
  const free = await Promise.all(hosts.map((host) => isFree(wanted, host)));
  return free.every(Boolean) ? wanted : freePort();
}

async function play(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'fluxmq-cluster-'));
  ends.push(() => rmSync(folder, { recursive: true, force: true }));
  const [nats, postgres] = await Promise.all([startNats(), startPostgres()]);
  ends.push(
    () => nats.stop(),
    () => postgres.stop(),
  );
  await postgres.createDatabase(DATABASE);
  const { username, password } = postgres;
  const [mqttPort = 0, ...newPorts] = await Promise.all(MQTT_PORTS.map((port) => choosePort(port, ADDRESSES)));
  const config = {
    store: { storeType: 'POSTGRESQL', datasource: { url: postgres.url(DATABASE), username, password }, local: { dataPath: 'data' } },
    cluster: { addresses: nats.urls, sync: { interval: 1_000 } },
    endpoints: [{ port: mqttPort, id: 'main', enableAuth: false, isDefault: true }],
  };
  const players: Player[] = [];
  for (const [index, address] of ADDRESSES.entries()) {
    const adminPort = await choosePort(ADMIN_PORTS[index] ?? 0, ['127.0.0.1']);
    players.push(new Player({ name: `node-${index + 1}`, address, adminPort, folder, config, say }));
  }
  ends.push(() => Promise.all(players.map((player) => player.stop())));
  await Promise.all(players.map((player) => player.start()));
  const scene = {
    folder,
    admins: players.map(({ admin }) => admin),
    addresses: ADDRESSES,
    names: players.map(({ options }) => options.name),
    mqttPort,
    newPorts: newPorts as [number, number],
    nats: { url: nats.urls[0] ?? '', pid: nats.servers[0]?.pid ?? 0 },
    database: { url: postgres.url(DATABASE), username, password },
  };
  say(guide(scene));
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => onSignal(signal));
say('Starting three nodes, NATS and Postgres ...');
try {
  await play();
} catch (error) {
  if (ending === null) {
    process.stderr.write(`${messageOf(error)}\n`);
    await end();
    process.exit(1);
  }
}
