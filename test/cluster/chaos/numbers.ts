/** The numbers of a cluster that is whole: how soon a change listens everywhere, how soon a thousand endpoints are caught up on, what an idle node sends. */

import { get } from 'node:http';
import { connect } from 'node:net';
import { freePort } from '../../kit/free-port.ts';
import { listeningPorts } from '../../kit/listening-ports.ts';
import { sleep, until } from '../../kit/until.ts';
import { type ChaosNode, Field, type StoreName } from './field.ts';
import { readConfiguration } from './judge.ts';

const WARM_UP = 5;
const THOUSAND = 1_000;
const IDLE_SECONDS = 10;
const RECONCILE_WAIT_MS = 60_000;

interface Numbers {
  /** from the request until the last of three nodes accepts, milliseconds */
  addMs: Spread;
  /** until the answer says that all have applied it */
  answerMs: Spread;
  moveMs: Spread;
  /** a node that was cut off while a thousand endpoints were added, and then changed, from its return until it runs them */
  addedMs: number;
  changedMs: number;
  /** of NATS's own count, from three nodes in rest */
  messagesPerSecondAndNode: number;
}

interface Spread {
  p50: number;
  p99: number;
  max: number;
}

const endpoint = (port: number, more: Record<string, unknown> = {}) => ({ port, enableAuth: false, ...more });

/**
 * @param random chooses addresses
 * @param changes to be timed
 * @param report told each part as soon as it is known
 */
export async function measure(
  store: StoreName,
  random: () => number,
  changes: number,
  report: (part: Partial<Numbers>) => void,
): Promise<void> {
  // Lines that can be cut go through this process, and would be measured with it.
  await withField(store, random, true, async (field) => {
    report(await timeChanges(field, changes));
    report(await idleMessages(field));
  });
  await withField(store, random, false, async (field) => report(await timePartition(field)));
}

async function withField<T>(store: StoreName, random: () => number, isDirect: boolean, work: (field: Field) => Promise<T>): Promise<T> {
  const field = await Field.open(store, random, { isDirect });
  try {
    return await work(field);
  } finally {
    await field.close();
  }
}

async function timeChanges(field: Field, changes: number): Promise<Pick<Numbers, 'addMs' | 'answerMs' | 'moveMs'>> {
  const [addMs, answerMs, moveMs]: number[][] = [[], [], []];
  for (let n = 0; n < WARM_UP + changes; n++) {
    const node = field.nodes[n % field.nodes.length]!;
    const [port, newPort] = [await freePort(), await freePort()];
    const added = await timeOne(field, node, 'add', endpoint(port, { exclusivePool: false }), port);
    const moved = await timeOne(field, node, 'update', { port, newPort }, newPort);
    await post(node, 'remove', { port: newPort, force: true });
    if (n < WARM_UP) continue;
    addMs!.push(added.listening);
    answerMs!.push(added.answered);
    moveMs!.push(moved.listening);
  }
  return { addMs: spread(addMs!), answerMs: spread(answerMs!), moveMs: spread(moveMs!) };
}

/** Milliseconds from the request until every node accepts on the port, and until the answer. */
async function timeOne(field: Field, node: ChaosNode, path: string, body: unknown, port: number) {
  const startedAt = performance.now();
  const answering = post(node, path, body).then(() => performance.now() - startedAt);
  await Promise.all(field.nodes.map((each) => untilAccepts(each.address, port)));
  const listening = performance.now() - startedAt;
  return { listening, answered: await answering };
}

/** Attempts again at once: the machine is asked for as little as possible in between. */
async function untilAccepts(host: string, port: number): Promise<void> {
  while (!(await accepts(host, port))) await sleep(1);
}

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** One node is away from NATS and its store while a thousand endpoints are added, and then all are changed. */
async function timePartition(field: Field): Promise<Pick<Numbers, 'addedMs' | 'changedMs'>> {
  const [a, , c] = field.nodes as [ChaosNode, ChaosNode, ChaosNode];
  const first = 33_000 - THOUSAND - Math.floor(performance.now() % 1000);
  const all = (more: Record<string, unknown>) =>
    Array.from({ length: THOUSAND }, (_, n) => endpoint(first + n, { id: `many-${n}`, exclusivePool: false, ...more }));
  const round = async (configs: unknown[]): Promise<number> => {
    const lines = [...c.toNats, ...c.toDatabase];
    for (const line of lines) line.reset();
    await post(a, 'import', { configs, mode: 'merge' }, '?wait=local');
    const { revision } = await readConfiguration(a);
    for (const line of lines) line.open();
    const startedAt = performance.now();
    await until('the node that was away runs all', () => runs(c, revision), RECONCILE_WAIT_MS, 20);
    return Math.round(performance.now() - startedAt);
  };
  const addedMs = await round(all({}));
  const changedMs = await round(all({ maxConnectionSize: 77 }));
  await post(a, 'import', { configs: [], mode: 'replace', force: true });
  return { addedMs, changedMs };
}

/** True when it listens on a thousand ports beside its own, with this revision. */
async function runs({ broker, name }: ChaosNode, revision: number): Promise<boolean> {
  if ((await listeningPorts(broker.pid)).size < THOUSAND) return false;
  const { body } = await broker.api('GET', '/api/cluster/nodes');
  const { data } = body as { data: { name: string; revision: number }[] };
  return data.find((each) => each.name === name)?.revision === revision;
}

async function idleMessages({ nats, nodes }: Field): Promise<Pick<Numbers, 'messagesPerSecondAndNode'>> {
  await sleep(2_000);
  const count = async () => {
    const all = await Promise.all(nats.servers.map(({ monitor }) => fromBrokers(monitor)));
    return all.reduce((sum, one) => sum + one, 0);
  };
  const before = await count();
  await sleep(IDLE_SECONDS * 1000);
  return { messagesPerSecondAndNode: Number((((await count()) - before) / IDLE_SECONDS / nodes.length).toFixed(2)) };
}

/** The messages that a server got from the brokers' connections, without those between servers. */
async function fromBrokers(monitor: number): Promise<number> {
  const { connections } = (await fetchJson(`http://127.0.0.1:${monitor}/connz`)) as { connections: { in_msgs: number }[] };
  return connections.reduce((sum, { in_msgs }) => sum + in_msgs, 0);
}

function fetchJson(url: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    get(url, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      answer.on('end', () => resolve(JSON.parse(text)));
    }).once('error', reject);
  });
}

async function post(node: ChaosNode, path: string, body: unknown, query = ''): Promise<void> {
  const answer = await node.broker.api('POST', `/api/endpoints/${path}${query}`, body);
  if (answer.status !== 200) throw new Error(`${path}: ${JSON.stringify(answer.body).slice(0, 500)}`);
}

function spread(times: number[]): Spread {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (part: number) => Number((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0).toFixed(1));
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}
