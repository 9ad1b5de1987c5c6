/** Fuzzes a broker with several endpoints and workers over TCP and both WebSocket transports for a time, and reports every fault; there must be none. */

import type { Socket } from 'node:net';
import { messageOf } from '../../src/kernel/errors.ts';
import type { Broker } from '../kit/broker.ts';
import { startBroker } from '../kit/broker.ts';
import { openTcp, openTransport, upgrade, WebSocketTransport } from '../kit/transport.ts';
import { sleep } from '../kit/until.ts';
import { Bystanders, type Place } from './bystanders.ts';
import { type Attack, Dice, makeAttack } from './inputs.ts';

export interface FuzzOptions {
  seed: number;
  seconds: number;
  /** called now and then with a line of progress */
  report?: (line: string) => void;
}

export interface FuzzResult {
  connections: number;
  kinds: Record<string, number>;
  bystanderMessages: number;
  slowestMs: number;
  rssMiB: { before: number; after: number };
}

/** Number of parallel attacks. */
const LANES = 12;
/** Milliseconds that a connection stays when nothing cuts or closes it. */
const STAY_MS = 40;
/** A slower message of a bystander had to wait for an attacker. Generous, because other work shares the machine. */
const SLOWEST_MS = 3000;
/** Allowed growth of the process: caches, sessions and retained messages of the attackers are bounded. */
const GROWTH_MIB = 600;

const NORMAL_CLOSURE = Buffer.from([0x03, 0xe8]);

const open = {
  enableAuth: false,
  maxConnectionSize: 5000,
  maxConnectionPerSecond: 1_000_000,
  maxSessionSize: 300,
  messageMaxSize: 1024 * 1024,
};
const ENDPOINTS = [
  { ...open, serverOptions: { workerGroupSize: 2 } },
  { ...open, useWebsocket: true, websocketTransport: 'builtin', serverOptions: { workerGroupSize: 2 } },
  { ...open, useWebsocket: true, websocketTransport: 'uws', serverOptions: { workerGroupSize: 2 } },
  { ...open, sessionPersistence: true },
];

async function run(attack: Attack, place: Place): Promise<void> {
  const transport = await openTransport(place.transport, place.port);
  transport.onData(() => undefined);
  const { socket } = transport;
  // The close frame comes in one segment with the packets.
  const closing = attack.end === 'close' && transport instanceof WebSocketTransport ? transport : null;
  if (closing !== null) socket.cork();
  for (const chunk of attack.chunks) {
    if (socket.destroyed) return;
    transport.write(chunk);
    if (attack.chunks.length > 20) await new Promise((resolve) => setImmediate(resolve));
  }
  closing?.writeFrame('close', NORMAL_CLOSURE);
  socket.uncork();
  await leave(socket, attack.end);
}

async function leave(socket: Socket, end: Attack['end']): Promise<void> {
  if (end === 'close') socket.end();
  if (end !== 'cut') await sleep(STAY_MS);
  socket.destroy();
}

/** Sends bytes that are no WebSocket, no upgrade, or forbidden frames. */
async function spoilWebSocket(dice: Dice, port: number): Promise<void> {
  const socket = await openTcp(port);
  if (dice.below(3) === 0) {
    socket.write(dice.below(2) === 0 ? dice.bytes(200) : `GET /${dice.below(9)} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n`);
  } else {
    await upgrade(socket, { path: dice.pick(['/mqtt', '/mqtt', '/mqtt', '/']), protocol: dice.pick(['mqtt', 'mqttv3.1', 'x', null]) });
    socket.resume();
    socket.write(dice.bytes(1 + dice.below(60)));
  }
  await leave(socket, dice.pick(['cut', 'close', 'wait']));
}

/** Opens many connections at once, most of which stay silent. */
async function crowd(dice: Dice, places: readonly Place[]): Promise<void> {
  const sockets = await Promise.all(Array.from({ length: 60 }, () => openTcp(dice.pick(places).port)));
  for (const socket of sockets) if (dice.below(2) === 0) socket.write(dice.bytes(dice.below(40)));
  await sleep(dice.below(STAY_MS));
  for (const socket of sockets) socket.destroy();
}

async function rssMiB(broker: Broker): Promise<number> {
  const { body } = await broker.api('GET', '/api/system/resources');
  return (body as { data: { memory: { rssBytes: number } } }).data.memory.rssBytes / 1024 / 1024;
}

/** @throws Error when a worker was replaced, or the log has an error */
async function inspect(broker: Broker): Promise<void> {
  const { body, status } = await broker.api('GET', '/api/system/health');
  const { workerRestarts } = (body as { data: { workerRestarts: number } }).data;
  const complaints = (await broker.log()).split('\n').filter((line) => /could not be handled|"level":("error"|50)/.test(line));
  if (complaints.length > 0) throw new Error(`the log complains: ${complaints.slice(0, 3).join('\n')}`);
  if (status !== 200 || workerRestarts !== 0) throw new Error(`health ${status}, ${workerRestarts} workers were replaced`);
  const endpoints = JSON.stringify((await broker.api('GET', '/api/endpoints/status')).body);
  if (/"restarts":[1-9]/.test(endpoints) || !endpoints.includes('"restarts":0')) throw new Error(`status: ${endpoints}`);
}

/** Fuzzes. @throws Error that names the fault */
export async function fuzz({ seed, seconds, report = () => undefined }: FuzzOptions): Promise<FuzzResult> {
  const broker = await startBroker({ endpoints: ENDPOINTS });
  try {
    const places: Place[] = ENDPOINTS.map((endpoint, index) => ({
      transport: 'useWebsocket' in endpoint ? 'ws' : 'tcp',
      port: broker.ports[index]!,
    }));
    const webSockets = places.filter(({ transport }) => transport === 'ws');
    const bystanders = new Bystanders();
    await bystanders.start(places);
    const before = await rssMiB(broker);
    const kinds: Record<string, number> = {};
    let connections = 0;
    const end = Date.now() + seconds * 1000;
    const lane = async (): Promise<void> => {
      while (Date.now() < end) {
        const number = seed + connections++;
        const dice = new Dice(number ^ 0x5eed);
        const place = dice.pick(places);
        let kind = 'bad WebSocket';
        const choice = dice.below(100);
        try {
          if (choice < 2) {
            kind = 'crowd';
            await crowd(dice, places);
          } else if (choice < 8) await spoilWebSocket(dice, dice.pick(webSockets).port);
          else {
            const attack = makeAttack(number);
            kind = attack.kind;
            await run(attack, place);
          }
        } catch (error) {
          // A refused upgrade, or a reset while connecting, is a valid answer; a closed port is not.
          if (!/upgrade|ECONNRESET|EPIPE/.test(messageOf(error))) throw new Error(`attack ${number} (${kind}): ${messageOf(error)}`);
        }
        kinds[kind] = (kinds[kind] ?? 0) + 1;
      }
    };
    const watch = (async () => {
      for (let next = Date.now() + 5000; Date.now() < end; next += 5000) {
        while (Date.now() < Math.min(next, end)) await sleep(100);
        bystanders.check();
        await inspect(broker);
        report(
          `${connections} connections, ${bystanders.received} messages of bystanders, slowest ${bystanders.slowest} ms, ${Math.round(await rssMiB(broker))} MiB`,
        );
      }
    })();
    await Promise.all([watch, ...Array.from({ length: LANES }, lane)]);
    await bystanders.finish();
    await inspect(broker);
    const after = await rssMiB(broker);
    if (after - before > GROWTH_MIB) throw new Error(`memory grew from ${before} to ${after} MiB`);
    if (bystanders.slowest > SLOWEST_MS) throw new Error(`a bystander's message took ${bystanders.slowest} ms`);
    const code = await broker.stop();
    if (code !== 0) throw new Error(`the broker ended with ${code}`);
    return {
      connections,
      kinds,
      bystanderMessages: bystanders.received,
      slowestMs: bystanders.slowest,
      rssMiB: { before: Math.round(before), after: Math.round(after) },
    };
  } catch (error) {
    await broker.kill('SIGKILL').catch(() => null);
    throw new Error(`seed ${seed}: ${messageOf(error)}\n${(await broker.log()).split('\n').slice(-5).join('\n')}`);
  }
}
