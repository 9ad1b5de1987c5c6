/** Traffic of every kind over three nodes while everything that they stand on is killed, frozen and cut off; then the judgement. */

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '../../../../src/kernel/errors.ts';
import { randomFrom } from '../../../admin/crash/kill-repeatedly.ts';
import { freePort } from '../../../kit/free-port.ts';
import { destroyAll } from '../../../kit/raw-client.ts';
import { sleep, until } from '../../../kit/until.ts';
import { FAILPOINTS_HOOK } from '../../fragile-cluster.ts';
import { change } from '../../kit.ts';
import { crossingAt, untilLinked } from '../../messages-kit.ts';
import { Field } from '../field.ts';
import { MessageHarms } from './message-harms.ts';
import { Publisher } from './publisher.ts';
import { Contest } from './scenes/contest.ts';
import { Jobs } from './scenes/jobs.ts';
import { Newcomers } from './scenes/newcomers.ts';
import { Retained } from './scenes/retained.ts';
import { Roaming } from './scenes/roaming.ts';
import type { Scene } from './scenes/scene.ts';
import { Wills } from './scenes/wills.ts';
import { Subscriber } from './subscriber.ts';
import { Trace } from './trace.ts';
import { Calm, type World } from './world.ts';

export interface MessagesOptions {
  /** of harm; longer until each kind of harm was done */
  seconds: number;
  seed: number;
  /** names of the harms to do; absent: all */
  only?: readonly string[];
  /** messages of each publisher; default 25 */
  perSecond?: number;
  /** gets each line of the trace at once */
  echo?: (line: string) => void;
}

export interface MessagesReport {
  seconds: number;
  /** acknowledged messages, and deliveries to subscribers */
  acknowledged: number;
  delivered: number;
  /** messages of QoS 0 that did not come to durable subscribers: allowed, and counted by the nodes */
  missedQos0: number;
  harms: Record<string, number>;
  /** every kind of harm */
  kinds: string[];
  counts: Record<string, number>;
}

const WILL_GRACE_MS = 2_000;
const PER_SECOND = 25;
const COMPLETE_MS = 40_000;

/** @throws Error that names the seed, and tells the first fault with what happened before it */
export async function messagesChaos({ seconds, seed, only, perSecond = PER_SECOND, echo }: MessagesOptions): Promise<MessagesReport> {
  const failpoints = mkdtempSync(join(tmpdir(), 'fluxmq-messages-'));
  const folderOf = (name: string) => join(failpoints, name);
  for (let n = 1; n <= 3; n++) mkdirSync(folderOf(`node-${n}`));
  const field = await Field.open('LOCAL', Math.random, {
    envOf: (name) => ({ FAILPOINTS: folderOf(name), NODE_OPTIONS: FAILPOINTS_HOOK }),
    cluster: { willGrace: WILL_GRACE_MS, sync: { interval: 60_000 } },
  });
  const trace = new Trace(echo ?? null);
  try {
    const port = await openPort(field);
    const world: World = { nodes: field.nodes, port, trace, random: randomFrom(seed), calm: new Calm(), publishers: new Map() };
    const report = await play(
      field,
      world,
      { seconds, perSecond },
      () => new MessageHarms(field, { ...world, random: randomFrom(seed + 1) }, folderOf, only),
    );
    if (trace.hasFaults) throw new Error(`${JSON.stringify(trace.faults)}\n${trace.story}`);
    return report;
  } catch (error) {
    if (process.env['CHAOS_LOGS'] !== undefined)
      for (const { name, broker } of field.nodes) process.stderr.write(`--- ${name}\n${await broker.log()}\n`);
    throw new Error(`seed ${seed}: ${messageOf(error)}`, { cause: error });
  } finally {
    destroyAll();
    await field.close().catch(() => {});
    rmSync(failpoints, { recursive: true, force: true });
  }
}

/** Adds the endpoint to all nodes. */
async function openPort(field: Field): Promise<number> {
  const port = await freePort();
  const endpoint = {
    id: 'm',
    port,
    enableAuth: false,
    sessionPersistence: true,
    maxQueuedMessages: 100_000,
    maxConnectionPerSecond: 1_000,
  };
  const { status, message } = await change(field.nodes[0]!.broker, 'add', endpoint);
  if (status !== 200) throw new Error(message);
  await untilLinked(
    field.nodes.map(({ broker }) => broker),
    30_000,
  );
  return port;
}

async function play(
  field: Field,
  world: World,
  pace: { seconds: number; perSecond: number },
  beginHarms: () => MessageHarms,
): Promise<MessagesReport> {
  const startedAt = performance.now();
  const { nodes, trace } = world;
  const { seconds, perSecond } = pace;
  const publishers = nodes.flatMap((node, index) =>
    ([0, 1, 2] as const).map((qos) => new Publisher(world, 'load', node, qos, (index + qos) % 2 === 0 ? 5 : 4)),
  );
  const workers = nodes.flatMap((node) => ([1, 2] as const).map((qos) => new Publisher(world, 'job', node, qos)));
  const wills = new Wills(world, nodes.length);
  const steady: Subscriber[] = [];
  for (const [ear, node] of nodes.entries()) {
    const onMessage = ({ topic, payload }: { topic: string; payload: Buffer }) => {
      if (topic.startsWith('will/')) wills.heard(ear, payload.toString());
    };
    steady.push(await new Subscriber(world, `steady-${node.name}`, node, ['load/#', 'will/#'], { onMessage }).subscribed());
  }
  const roaming = await new Roaming(world).open();
  const jobs = await new Jobs(world, workers).open();
  const retained = await new Retained(world).open();
  const scenes: Scene[] = [roaming, jobs, retained, wills, new Newcomers(world), new Contest(world)];
  const all = [...publishers, ...workers];
  await Promise.all(all.map((publisher) => publisher.begin()));
  for (const publisher of all) publisher.start(perSecond);
  const running = scenes.map((scene) => scene.run());
  const harms = beginHarms();
  await until('the harm is done', () => performance.now() - startedAt > seconds * 1000 && harms.isComplete, seconds * 1000 + 240_000, 100);
  await harms.end();
  trace.say('everything is whole');
  for (const scene of scenes) scene.stop();
  await Promise.all(running);
  await Promise.all(all.map((publisher) => publisher.stop()));
  trace.say('all publishers have stopped');
  await Promise.all([...scenes.map((scene) => scene.judge()), judgeSteady(steady)]);
  for (const each of [...scenes, ...all, ...steady]) each.end();
  await countLost(field, trace);
  return {
    seconds: Math.round((performance.now() - startedAt) / 1000),
    acknowledged: all.reduce((sum, each) => sum + each.acknowledged, 0),
    delivered: steady.reduce((sum, { arrivals }) => sum + arrivals.count, 0),
    missedQos0: steady.reduce((sum, { arrivals }) => sum + arrivals.missed(), 0),
    harms: harms.done,
    kinds: harms.kinds,
    counts: trace.counts,
  };
}

async function judgeSteady(steady: readonly Subscriber[]): Promise<void> {
  await until('everything', () => steady.every(({ arrivals }) => arrivals.missing().length === 0), COMPLETE_MS, 50).catch(() => {});
  for (const { arrivals } of steady) arrivals.judge();
  // A message that is repeated would come now.
  await sleep(500);
}

/** What the nodes themselves counted as lost. */
async function countLost(field: Field, trace: Trace): Promise<void> {
  for (const { broker } of field.nodes)
    for (const { lost } of (await crossingAt(broker)).nodes)
      for (const [reason, count] of Object.entries(lost)) if (count > 0) trace.count(`counted as lost by the nodes: ${reason}`, count);
}
