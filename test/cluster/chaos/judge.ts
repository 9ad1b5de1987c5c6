/** The final judgement when everything works again: nodes, store, history, answers and listening sockets agree. */

import { isDeepStrictEqual } from 'node:util';
import type { Endpoint } from '../../admin/crash/operations.ts';
import { listeningPorts } from '../../kit/listening-ports.ts';
import { until } from '../../kit/until.ts';
import type { ChaosNode, Field } from './field.ts';
import type { Entry } from './writer.ts';

const CONVERGES_MS = 20_000;
const PAGE = 1000;
/** Threads without an endpoint: the warm spare, and one that is being ended. */
const SPARES_MAX = 2;

interface HistoryRow {
  revision: number;
  id: string;
  reason: string;
  before: Endpoint | null;
  after: Endpoint | null;
}

export interface Configuration {
  endpoints: Endpoint[];
  revision: number;
}

/** A node's knowledge of the store. @throws Error while the node is down */
export async function readConfiguration({ broker }: ChaosNode): Promise<Configuration> {
  const { body, headers, status } = await broker.api('GET', '/api/endpoints/list');
  if (status !== 200) throw new Error(JSON.stringify(body));
  const { endpoints } = (body as { data: { endpoints: Record<string, Endpoint> } }).data;
  return { endpoints: Object.values(endpoints), revision: Number(headers.get('etag')?.replaceAll('"', '')) };
}

/**
 * Waits until all nodes run what the store says, and compares that with the history and the answers.
 * @returns milliseconds until all nodes ran the same
 * @throws Error that says what is wrong
 */
export async function judge(field: Field, ledger: readonly Entry[]): Promise<number> {
  const startedAt = performance.now();
  const content = await until('all nodes run what the store says', () => agreed(field), CONVERGES_MS, 25);
  const convergedMs = performance.now() - startedAt;
  const rows = await history(field.nodes[0]!);
  judgeRevisions(rows, content.revision);
  judgeAnswers(rows, ledger);
  const folded = new Map<string, Endpoint>();
  for (const { id, before, after } of rows) {
    if (!isDeepStrictEqual(folded.get(id) ?? null, before)) throw new Error(`the history is broken at ${id}: ${JSON.stringify(before)}`);
    if (after === null) folded.delete(id);
    else folded.set(id, after);
  }
  const stored = new Map(content.endpoints.map((endpoint) => [endpoint.id, endpoint]));
  if (!isDeepStrictEqual(folded, stored)) {
    const same = [...folded].length === stored.size && [...folded].every(([id, each]) => isDeepStrictEqual(each, stored.get(id)));
    if (!same) throw new Error(`the history leads to ${JSON.stringify([...folded])}, but there is ${JSON.stringify(content.endpoints)}`);
  }
  for (const node of field.nodes) await judgeThreads(node);
  return convergedMs;
}

/** The configuration that all nodes run; @throws Error with what is in the way of it */
async function agreed(field: Field): Promise<Configuration> {
  const all = await Promise.all(field.nodes.map((node) => readConfiguration(node)));
  const [first] = all as [Configuration];
  for (const [index, each] of all.entries()) {
    if (!isDeepStrictEqual(each, first)) throw new Error(`node-1 has ${brief(first)}, node-${index + 1} ${brief(each)}`);
  }
  // The store itself, asked by one of them.
  const newest = (await historyPage(field.nodes[1]!, '')).at(0)?.revision ?? 0;
  if (newest !== first.revision) throw new Error(`the store is at ${newest}, the nodes at ${first.revision}`);
  await Promise.all(field.nodes.map((node) => judgeListeners(node, first)));
  return first;
}

/** The process listens where the store says and nowhere else, with what the store says. */
async function judgeListeners({ broker, name }: ChaosNode, { endpoints }: Configuration): Promise<void> {
  const { body } = await broker.api('GET', '/api/endpoints/status');
  const { data } = body as { data: { id: string; node: string; state: string; runningRevision: number; desiredRevision: number }[] };
  for (const { id, enabled } of endpoints) {
    const own = data.find((each) => each.id === id && each.node === name);
    const isRight = enabled ? own?.state === 'running' && own.runningRevision === own.desiredRevision : own?.state === 'stopped';
    if (!isRight) throw new Error(`${name}: ${JSON.stringify(own)}, enabled ${enabled}`);
  }
  const wanted = new Set([...endpoints.flatMap(({ enabled, port }) => (enabled ? [port] : [])), Number(new URL(broker.admin).port)]);
  const found = await listeningPorts(broker.pid);
  if (!isDeepStrictEqual([...found].sort(), [...wanted].sort()))
    throw new Error(`${name} listens on ${[...found]} instead of ${[...wanted]}`);
}

/** No thread is left of an endpoint that has gone. */
async function judgeThreads({ broker, name }: ChaosNode): Promise<void> {
  await until(
    `${name} has ended the threads that it does not need`,
    async () => {
      const { body } = await broker.api('GET', '/api/system/resources');
      const { threads } = (body as { data: { threads: { role: string; endpoints: string[] }[] } }).data;
      return threads.filter(({ role, endpoints }) => role === 'endpoint' && endpoints.length === 0).length <= SPARES_MAX;
    },
    CONVERGES_MS,
    100,
  );
}

/** Every revision is there, and once. */
function judgeRevisions(rows: HistoryRow[], newest: number): void {
  const revisions = [...new Set(rows.map(({ revision }) => revision))];
  const expected = Array.from({ length: newest }, (_, index) => index + 1);
  if (!isDeepStrictEqual(revisions, expected)) throw new Error(`revisions ${revisions} instead of 1..${newest}`);
}

/** Each answered change is there exactly once, each refused one not at all, and nothing that nobody asked for. */
function judgeAnswers(rows: HistoryRow[], ledger: readonly Entry[]): void {
  const byReason = new Map<string, Set<number>>();
  for (const { reason, revision } of rows) byReason.set(reason, (byReason.get(reason) ?? new Set()).add(revision));
  for (const { reason, request, answered, revision, message } of ledger) {
    const own = [...(byReason.get(reason) ?? [])];
    byReason.delete(reason);
    const isRight =
      answered === 'unknown' ? own.length <= 1 : answered === 'changed' ? own.length === 1 && own[0] === revision : own.length === 0;
    if (!isRight)
      throw new Error(
        `${request}\nwas answered ${message} (${answered}, ${revision}), and is in the history as ${own.join() || 'nothing'}`,
      );
  }
  if (byReason.size > 0) throw new Error(`nobody asked for ${[...byReason].map(([reason, own]) => `${reason} (${[...own]})`)}`);
}

/** Oldest first, rows of one revision in their order. */
async function history(node: ChaosNode): Promise<HistoryRow[]> {
  const pages: HistoryRow[][] = [];
  for (let before = ''; ; ) {
    const page = await historyPage(node, before);
    if (page.length === 0) break;
    pages.push(page);
    before = `&before=${page.at(-1)!.revision}`;
  }
  return pages.flat().reverse();
}

async function historyPage(node: ChaosNode, before: string): Promise<HistoryRow[]> {
  const { body, status } = await node.broker.api('GET', `/api/endpoints/history?limit=${PAGE}${before}`);
  if (status !== 200) throw new Error(JSON.stringify(body));
  return (body as { data: HistoryRow[] }).data;
}

function brief({ revision, endpoints }: Configuration): string {
  return `${revision}: ${endpoints.map(({ id, port, enabled }) => `${id} ${port}${enabled ? '' : ' off'}`).join(', ')}`;
}
