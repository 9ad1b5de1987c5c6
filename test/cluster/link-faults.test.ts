/** A link between two nodes over three real nats-servers, which are killed, frozen and cut off under it: nothing is lost, repeated or reordered. */

import { randomInt } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openNatsWire } from '../../src/bus/nats/nats-wire.ts';
import { steadyNow } from '../../src/kernel/clock.ts';
import type { Link } from '../../src/link/link.ts';
import { Links } from '../../src/link/links.ts';
import { type CutProxy, startCutProxy } from '../kit/cut-proxy.ts';
import { type NatsServer, type NatsServers, startNats } from '../kit/nats.ts';
import { until } from '../kit/until.ts';

const PACKET_BYTES = 8_000;
const PACE_MS = 5;
const BURST = 4;
const credentials = { user: null, password: null, token: null, credsFile: null, tls: null };

let nats: NatsServers;
beforeAll(async () => {
  nats = await startNats({ size: 3 });
}, 60_000);
afterAll(() => nats?.stop());

interface Side {
  links: Links;
  link: Link;
  events: string[];
  /** the nats-server that it uses */
  server(): NatsServer;
  /** ends its TCP connection */
  cut(): void;
  close(): Promise<void>;
}

interface Heard {
  /** the next number */
  next: number;
  /** numbers that came out of order */
  wrong: number;
  longestMs: number;
}

/** A node that reaches each server by a proxy of its own. */
async function open(name: string, other: string, deliver: (packet: Buffer) => void): Promise<Side> {
  const proxies = await Promise.all(nats.servers.map(({ port }) => startCutProxy(port)));
  let used = '';
  const info = (_text: string, facts?: Record<string, unknown>) => {
    if (facts?.['server'] !== undefined) used = String(facts['server']);
  };
  const addresses = proxies.map(({ port }) => `127.0.0.1:${port}`);
  const settings = { place: { kind: 'addresses' as const, addresses }, credentials };
  const wire = openNatsWire(settings, 'test', 'C', name, { debug() {}, info, warn() {}, error() {} });
  const events: string[] = [];
  const links = new Links(wire, { incarnation: randomInt(1, 2 ** 32), now: steadyNow, random32: () => randomInt(2 ** 32) });
  const link = links.add(other, {
    up: () => events.push('up'),
    down: (reason) => events.push(reason),
    deliver: (_lane, packet) => deliver(Buffer.from(packet.buffer, packet.byteOffset, packet.length)),
    acked: () => {},
    room: () => {},
  });
  const index = () => proxies.findIndex(({ port }) => used.endsWith(`:${port}`));
  const proxy = (): CutProxy => proxies[index()]!;
  return {
    links,
    link,
    events,
    server: () => nats.servers[index()]!,
    cut: () => {
      const cut = proxy();
      cut.reset();
      cut.open();
    },
    close: async () => {
      await links.close();
      for (const each of proxies) await each.close();
    },
  };
}

type Harm = (sender: Side, receiver: Side) => Promise<() => Promise<void>>;

const kill = async (server: NatsServer) => {
  await server.kill();
  return () => server.start();
};

const freeze = async (server: NatsServer) => {
  server.pause();
  await new Promise((resolve) => setTimeout(resolve, 6_000));
  server.resume();
  return async () => {};
};

const cut = async (side: Side) => {
  side.cut();
  return async () => {};
};

/** The longest delay that is allowed is for a loaded machine; a quiet one needs 0.1 s, and 1.4 s where a server froze. */
test.each<[string, number, Harm]>([
  ["the sender's server is killed", 2_500, (sender) => kill(sender.server())],
  ["the receiver's server is killed", 2_500, (_sender, receiver) => kill(receiver.server())],
  ["the sender's connection is cut", 2_500, (sender) => cut(sender)],
  ["the receiver's connection is cut", 2_500, (_sender, receiver) => cut(receiver)],
  ["the sender's server freezes for 6 s", 3_500, (sender) => freeze(sender.server())],
  ["the receiver's server freezes for 6 s", 3_500, (_sender, receiver) => freeze(receiver.server())],
])(
  '%s',
  async (_name, delayMax, harm) => {
    const heard: Heard = { next: 0, wrong: 0, longestMs: 0 };
    const receiver = await open('b/2', 'a', (packet) => {
      if (packet.readUInt32LE(0) !== heard.next) heard.wrong++;
      heard.next++;
      heard.longestMs = Math.max(heard.longestMs, steadyNow() - packet.readDoubleLE(4));
    });
    const sender = await open('a', 'b/2', () => {});
    let written = 0;
    let timer: NodeJS.Timeout | undefined;
    try {
      await until('the link', () => sender.link.state === 'up' && receiver.link.state === 'up', 15_000);
      timer = setInterval(() => {
        for (let i = 0; i < BURST; i++) {
          const packet = Buffer.allocUnsafe(PACKET_BYTES);
          packet.writeUInt32LE(written, 0);
          packet.writeDoubleLE(steadyNow(), 4);
          if (sender.links.write('b/2', 0, packet) !== null) written++;
        }
      }, PACE_MS);
      await until('packets', () => heard.next > 500, 15_000);
      const heal = await harm(sender, receiver);
      const before = heard.next;
      await until('packets after it', () => heard.next > before + 1_000, 15_000);
      clearInterval(timer);
      await until('the rest', () => heard.next === written && sender.link.keptBytes === 0, 15_000);
      await heal();
      expect(heard).toMatchObject({ next: written, wrong: 0 });
      expect(heard.longestMs).toBeLessThan(delayMax);
      expect([sender.events, receiver.events]).toEqual([['up'], ['up']]);
    } finally {
      clearInterval(timer);
      await sender.close();
      await receiver.close();
    }
  },
  60_000,
);
