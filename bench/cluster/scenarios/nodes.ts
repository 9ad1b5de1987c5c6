/** fluxmq alone: a node that joins, dies or is frozen, NATS servers that do, remote filters, and a cluster that nobody uses. */

import { sumOf as metricOf, untilLinked } from '../../../test/cluster/messages-kit.ts';
import * as encode from '../../../test/kit/encode.ts';
import { RawClient } from '../../../test/kit/raw-client.ts';
import { sleep, until } from '../../../test/kit/until.ts';
import { cpuSeconds, residentBytes } from '../../load/clock.ts';
import { median } from '../../report/summary.ts';
import type { RunResult } from '../../scenario.ts';
import type { ClusterContext, ClusterScenario } from '../contract.ts';
import { digits } from '../figures.ts';
import { costsOf, runLoad, sumOf } from '../measure.ts';
import type { RunningCluster } from '../peers/cluster-peer.ts';
import { type FluxmqCluster, startAlone, startFluxmq } from '../peers/fluxmq-cluster.ts';

const RETAINED = 100_000;
const RETAINED_BYTES = 200;
const FILTERS = 200_000;
const AT_ONCE = 500;
const PULLED_MS = 60_000;
/** Each look at the metrics costs milliseconds of CPU time. */
const LOOK_MS = 100;
const FROZEN_MS = 6_000;
const EVERY_MS = 25;
/** NATS is believed about absent nodes when its servers have been the same for so long. */
const SETTLED_MS = 6_000;
/** Threads of a node that know the filters of other nodes: an endpoint worker, the session worker, the relay. */
const THREADS = 3;
const BROKER = { broker: 'fluxmq', most: null, note: '' } as const;

async function clientAt({ nodes }: RunningCluster, index: number, clientId = ''): Promise<RawClient> {
  const { host, port } = nodes[index]!.address;
  const client = await RawClient.open('tcp', port, 5, host);
  await client.handshake({ clientId, keepAlive: 0 });
  return client;
}

/**
 * Node 2 is killed, node 1 gets so many retained messages, and node 2 starts again. Its start counts until it has them and messages cross.
 * @returns ms, and CPU seconds of each node
 */
async function startAgain(running: FluxmqCluster, retained: number): Promise<{ ms: number; cpu: number[] }> {
  const { cluster } = running;
  await cluster.nodes[1]!.kill('SIGKILL');
  const publisher = await clientAt(running, 0);
  const payload = Buffer.alloc(RETAINED_BYTES, 'x');
  for (let n = 0; n < retained; n += AT_ONCE) {
    const packets = Array.from({ length: AT_ONCE }, (_, k) => encode.publish(5, `kept/${n + k}/value`, payload, { qos: 0, retain: true }));
    publisher.send(...packets);
    await publisher.ping();
  }
  publisher.destroy();
  const [first] = cluster.nodes;
  const before = cpuSeconds(first!.pid);
  const startedAt = performance.now();
  const node = await cluster.again(1);
  await untilLinked(cluster.nodes, PULLED_MS);
  await until('all came', async () => (await metricOf(node, 'fluxmq_cluster_retained_pulled_total')) >= retained, PULLED_MS, LOOK_MS);
  return { ms: performance.now() - startedAt, cpu: [cpuSeconds(first!.pid) - before, cpuSeconds(node.pid)] };
}

/** Node 2 is dead while node 1 gets the messages; then it starts and pulls them. The start without messages is subtracted. */
async function retainedJoin(context: ClusterContext): Promise<void> {
  const running = await startFluxmq(2);
  try {
    const empty = await startAgain(running, 0);
    const full = await startAgain(running, RETAINED);
    const cpu = full.cpu.map((each, index) => ((each - empty.cpu[index]!) * 1e6) / RETAINED);
    const note = `${digits(cpu[0]!)} + ${digits(cpu[1]!)} µs`;
    context.add({
      ...BROKER,
      what: 'time, 100,000 of 200 B',
      value: full.ms - empty.ms,
      unit: 'ms',
      most: 1_500,
      note: `a start takes ${digits(empty.ms)} ms without them`,
    });
    context.add({ ...BROKER, what: 'CPU of both nodes, each message', value: sumOf(cpu), unit: 'µs', most: 10, note });
  } finally {
    await running.stop();
  }
}

/** The longest delay of messages from node 1 to node 2 while `harm` does its work. */
async function longestDelay(running: RunningCluster, harm: () => Promise<void>): Promise<number> {
  const [publisher, subscriber] = [await clientAt(running, 0), await clientAt(running, 1)];
  let [longest, came, sent, isOver] = [0, 0, 0, false];
  subscriber.autoAcknowledge(({ payload }) => {
    came++;
    longest = Math.max(longest, performance.now() - Number(payload.toString()));
  });
  publisher.tap = () => undefined;
  await subscriber.subscribeRaw([{ filter: 'delay', qos: 1 }]).catch(() => undefined);
  const sending = (async () => {
    while (!isOver) {
      publisher.send(encode.publish(5, 'delay', String(performance.now()), { qos: 1, id: publisher.id() }));
      sent++;
      await sleep(EVERY_MS);
    }
  })();
  await sleep(1_000);
  longest = 0;
  await harm();
  isOver = true;
  await sending;
  await until('all messages', () => came >= sent, 20_000);
  for (const client of [publisher, subscriber]) client.destroy();
  return longest;
}

async function natsFaults(context: ClusterContext): Promise<void> {
  const running = await startFluxmq(2, 3);
  try {
    const delays: Record<'killed' | 'frozen', number[]> = { killed: [], frozen: [] };
    const quiet = await longestDelay(running, () => sleep(3_000));
    const { servers } = running.cluster.nats;
    // A node leaves a server for another one, so each round of faults meets the servers of both nodes.
    for (const server of servers) {
      const harm = async () => {
        server.pause();
        await sleep(FROZEN_MS);
        server.resume();
      };
      delays.frozen.push(await longestDelay(running, harm));
      await untilLinked(running.cluster.nodes, 30_000);
    }
    for (const server of servers) {
      const harm = async () => {
        await server.kill();
        await sleep(2_000);
      };
      delays.killed.push(await longestDelay(running, harm));
      await server.start();
      await untilLinked(running.cluster.nodes, 30_000);
    }
    context.add({ ...BROKER, what: 'longest delay without a fault', value: quiet, unit: 'ms' });
    for (const [how, most] of [['killed', 100] as const, ['frozen', 1_500] as const]) {
      const note = `each of three servers: ${delays[how].map(digits).join(', ')} ms`;
      context.add({ ...BROKER, what: `longest delay, server ${how}`, value: Math.max(...delays[how]), unit: 'ms', most, note });
    }
  } finally {
    await running.stop();
  }
}

/** How long a PUBACK waits for a node with a subscriber that dies, or is frozen. */
async function nodeDown(context: ClusterContext): Promise<void> {
  const running = await startFluxmq(3);
  const { cluster } = running;
  try {
    const [publisher, subscriber] = [await clientAt(running, 0), await clientAt(running, 2)];
    await subscriber.subscribe('down', 1);
    const wait = async () => {
      const began = performance.now();
      await publisher.publish('down', 'x', { qos: 1 });
      return performance.now() - began;
    };
    await sleep(SETTLED_MS);
    const usual = await wait();
    process.kill(cluster.nodes[2]!.pid, 'SIGSTOP');
    publisher.send(encode.publish(5, 'down', 'x', { qos: 1, id: publisher.id() }));
    const began = performance.now();
    await publisher.expect('puback', 15_000);
    const frozen = performance.now() - began;
    process.kill(cluster.nodes[2]!.pid, 'SIGCONT');
    await untilLinked(cluster.nodes, 30_000);
    await sleep(SETTLED_MS);
    await cluster.nodes[2]!.kill('SIGKILL');
    const killed = await wait();
    context.add({ ...BROKER, what: 'PUBACK of a crossing message', value: usual, unit: 'ms' });
    context.add({ ...BROKER, what: 'PUBACK, node frozen', value: frozen, unit: 'ms', most: 4_500 });
    context.add({ ...BROKER, what: 'PUBACK, node killed', value: killed, unit: 'ms', most: 4_500 });
    publisher.destroy();
  } finally {
    await running.stop();
  }
}

/** Node 2 gets filters; node 1 grows. */
async function remoteFilters(context: ClusterContext): Promise<void> {
  const running = await startFluxmq(2, 1, { maxSubscriptions: FILTERS + 1 });
  try {
    const client = await clientAt(running, 1);
    const pids = running.cluster.nodes.map(({ pid }) => pid);
    const rest = async () => {
      await sleep(2_000);
      return pids.map(residentBytes);
    };
    const before = await rest();
    for (let n = 0; n < FILTERS; n += AT_ONCE)
      await client.subscribe(
        Array.from({ length: AT_ONCE }, (_, k) => `plant/hall-07/machine-${String(n + k).padStart(12, '0')}`),
        1,
      );
    const after = await rest();
    const [there, here] = after.map((bytes, index) => (bytes - before[index]!) / FILTERS) as [number, number];
    const note = `resident memory, ${FILTERS} filters of 34 B, garbage included`;
    context.add({ ...BROKER, what: 'remote filter, each process', value: there, unit: 'B', note });
    context.add({ ...BROKER, what: 'remote filter, each of three threads', value: there / THREADS, unit: 'B', most: 200 });
    context.add({ ...BROKER, what: 'the same filter where its client is', value: here, unit: 'B' });
    client.destroy();
  } finally {
    await running.stop();
  }
}

/** The same local load on a node of a cluster of three, and on a node alone, in turns. */
async function nothingRemote(context: ClusterContext): Promise<void> {
  const { options } = context;
  const alone = await startAlone();
  const running = await startFluxmq(3);
  try {
    const loads = {
      'QoS 0': { qos: 0 },
      'QoS 1': { qos: 1, window: 20 },
      'fan-out 1→100': { pattern: 'fanout', publishers: 1, subscribers: 100, window: 50 },
    } as const;
    for (const [name, load] of Object.entries(loads)) {
      const runs: Record<'alone' | 'cluster', RunResult[]> = { alone: [], cluster: [] };
      const ratios: number[] = [];
      for (let n = 0; n < options.repetitions * 2; n++) {
        runs.alone.push(await runLoad(alone, load, [0, 0], options.duration));
        runs.cluster.push(await runLoad(running, load, [0, 0], options.duration));
        const cost = ({ partyCpu, delivered }: RunResult) => partyCpu['node0']! / delivered;
        ratios.push(cost(runs.cluster.at(-1)!) / cost(runs.alone.at(-1)!));
      }
      const [one, other] = [costsOf(runs.alone, 1), costsOf(runs.cluster, 3)];
      const note = `${digits(other.nodes[0]!)} : ${digits(one.nodes[0]!)} µs; round by round ${ratios.map(digits).join(', ')}; the two idle nodes ${digits(other.nodes[1]! + other.nodes[2]!)} µs`;
      context.add({ ...BROKER, what: `node of a cluster : node alone, ${name}`, value: median(ratios), unit: 'x', most: 1.03, note });
    }
  } finally {
    await running.stop();
    await alone.stop();
  }
}

export const NODES: readonly ClusterScenario[] = [
  { name: 'cluster-retained', title: '100,000 retained messages come to a node that starts', run: retainedJoin },
  { name: 'cluster-nats', title: 'a NATS server is killed, and frozen for 6 s: 40 messages/s from node to node, QoS 1', run: natsFaults },
  { name: 'cluster-down', title: 'a node with a subscriber is frozen, or killed', run: nodeDown },
  { name: 'cluster-filters', title: 'memory of filters of another node', run: remoteFilters },
  { name: 'cluster-alone', title: 'three nodes, all clients on one of them: beside a node alone', run: nothingRemote },
];
