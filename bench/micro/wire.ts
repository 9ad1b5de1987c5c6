/** CPU of a frame of 40 KB over a real nats-server: published plainly, and by a reliable link. Needs `nats-server`. */

import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { openNatsWire } from '../../src/bus/nats/nats-wire.ts';
import { steadyNow } from '../../src/kernel/clock.ts';
import { Link } from '../../src/link/link.ts';
import type { LinkTransport } from '../../src/link/transport.ts';
import { type NatsServers, startNats } from '../../test/kit/nats.ts';
import { type Measured, measure } from './measure.ts';

const FRAME_BYTES = 40_000;
const FRAMES = 3_000;
const ROUNDS = 5;
/** Frames of the plain publisher that have not come yet: 2 MB. */
const UNDER_WAY = 50;
const TICK_MS = 20;
/** /proc/PID/stat counts in hundredths of a second. */
const NS_PER_TICK = 1e7;

const packet = Buffer.alloc(FRAME_BYTES);
const turn = () => new Promise((resolve) => setImmediate(resolve));

interface Cost {
  ends: number;
  server: number;
}

/** Nanoseconds of CPU for each frame. */
async function costOf(server: number, work: () => Promise<void>): Promise<Cost> {
  const before = { ends: process.cpuUsage(), server: ticksOf(server) };
  await work();
  const { user, system } = process.cpuUsage(before.ends);
  return { ends: ((user + system) * 1e3) / FRAMES, server: ((ticksOf(server) - before.server) * NS_PER_TICK) / FRAMES };
}

function ticksOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

async function plain(from: LinkTransport, to: LinkTransport): Promise<void> {
  let heard = 0;
  to.onFrame(() => heard++);
  for (let sent = 0; heard < FRAMES; await turn()) {
    for (; sent < FRAMES && sent - heard < UNDER_WAY; sent++) from.send('b', packet);
  }
}

function linkOver(transport: LinkTransport, other: string, heard: () => void): Link {
  const random32 = () => randomInt(2 ** 32);
  const options = { incarnation: randomInt(1, 2 ** 32), now: steadyNow, random32 };
  const nothing = () => {};
  const send = (frame: Buffer) => transport.send(other, frame);
  const link = new Link(options, { send, up: nothing, down: nothing, deliver: heard, acked: nothing, room: nothing });
  let isDue = false;
  transport.onFrame((_node, frame) => {
    link.heard(frame);
    if (isDue) return;
    isDue = true;
    setImmediate(() => {
      isDue = false;
      link.flush();
    });
  });
  transport.onState((isConnected) => link.connected(isConnected));
  return link;
}

async function linked(from: LinkTransport, to: LinkTransport): Promise<() => Promise<void>> {
  let heard = 0;
  const links = [linkOver(from, 'b', () => {}), linkOver(to, 'a', () => heard++)] as const;
  const timer = setInterval(() => {
    for (const link of links) link.tick();
  }, TICK_MS).unref();
  while (links.some(({ state }) => state !== 'up')) await turn();
  const [sender] = links;
  return async () => {
    for (let sent = 0; heard < FRAMES; await turn()) {
      for (; sent < FRAMES && sender.write(0, packet) !== null; sent++) sender.flush();
    }
    clearInterval(timer);
    for (const link of links) link.close();
  };
}

function summary(name: string, costs: readonly number[]): Measured {
  const sorted = costs.toSorted((a, b) => a - b);
  return { name, median: sorted[sorted.length >> 1]!, best: sorted[0]! };
}

/** The cost of a link without a wire: two ends that hand their frames to each other. */
function alone(): Measured {
  const frames: [Link, Buffer][] = [];
  const nothing = () => {};
  const make = (other: () => Link): Link => {
    const send = (frame: Buffer) => frames.push([other(), Buffer.from(frame.buffer, frame.byteOffset, frame.length)]) > 0;
    const options = { incarnation: 1, now: steadyNow, random32: () => randomInt(2 ** 32) };
    return new Link(options, { send, up: nothing, down: nothing, deliver: nothing, acked: nothing, room: nothing });
  };
  const a: Link = make(() => b);
  const b: Link = make(() => a);
  const carry = () => {
    for (let next = frames.shift(); next !== undefined; next = frames.shift()) next[0].heard(next[1]);
  };
  a.connected(true);
  carry();
  return measure('link: 40 KB, both ends, no wire', (times) => {
    for (let i = 0; i < times; i++) {
      a.write(0, packet);
      a.flush();
      carry();
      b.flush();
      carry();
    }
  });
}

/** Plain and linked rounds in turns. Without a nats-server, only the link alone. */
export async function wire(): Promise<Measured[]> {
  let nats: NatsServers;
  try {
    nats = await startNats();
  } catch {
    return [alone()];
  }
  const [server] = nats.servers;
  const addresses = nats.urls.map((url) => url.slice('nats://'.length));
  const credentials = { user: null, password: null, token: null, credsFile: null, tls: null };
  const settings = { place: { kind: 'addresses' as const, addresses }, credentials };
  const quiet = { debug() {}, info() {}, warn() {}, error() {} };
  const [a, b] = ['a', 'b'].map((node) => openNatsWire(settings, 'bench', 'bench', node, quiet) as LinkTransport) as [
    LinkTransport,
    LinkTransport,
  ];
  const costs: { plain: Cost[]; linked: Cost[] } = { plain: [], linked: [] };
  let isThere = false;
  b.onFrame(() => {
    isThere = true;
  });
  for (; !isThere; await turn()) a.send('b', packet);
  for (let round = 0; round < ROUNDS; round++) {
    costs.plain.push(await costOf(server!.pid!, () => plain(a, b)));
    costs.linked.push(await costOf(server!.pid!, await linked(a, b)));
  }
  await Promise.all([a.close(), b.close()]);
  await nats.stop();
  return [
    alone(),
    ...(['plain', 'linked'] as const).flatMap((kind) =>
      (['ends', 'server'] as const).map((part) => {
        const what = kind === 'plain' ? 'publish' : 'link';
        const where = part === 'ends' ? 'both ends' : 'nats-server';
        return summary(
          `${what}: 40 KB over NATS, CPU of ${where}`,
          costs[kind].map((cost) => cost[part]),
        );
      }),
    ),
  ];
}
