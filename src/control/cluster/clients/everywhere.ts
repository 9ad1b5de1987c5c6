/** Questions about the clients of all nodes: asks this node and the others, and names those that do not answer. */

import type { Unreachable } from '../../../answers/envelope.ts';
import type { UserId } from '../../../endpoint/users/user.ts';
import { Deadline } from '../../../kernel/deadline.ts';
import { FluxError, messageOf } from '../../../kernel/errors.ts';
import { byIdentifier } from '../../clients/client-page.ts';
import type { FoundClient } from '../../clients/clients.ts';
import type { ClientLocation, ClientsAnswer } from '../../contract/answers.ts';
import type { ClientRequests, Gathered, NodeChoice, PublishRequest } from '../../contract/client-requests.ts';
import type { Cluster } from '../cluster.ts';
import type { AskedNode, NodeQuestion } from '../questions.ts';
import type { OwnClients } from './answering.ts';
import { pieceOf, readCloseAnswer, readDescribeAnswer, readFindAnswer } from './forms.ts';
import { mergedPage, NameStream } from './merge.ts';

/** Time for one answer of another node, ms. A node that let it pass is not asked again. */
const ASK_TIMEOUT_MS = 5_000;
/** Time for all answers that one request takes, ms. */
const ROUND_TIMEOUT_MS = 20_000;

export interface ClientsEverywhereOptions {
  node: string;
  own: OwnClients & { publish(request: PublishRequest): Promise<void> };
  /** null: a single node */
  cluster: Pick<Cluster, 'others' | 'ask' | 'isConnected'> | null;
}

/** The nodes that a request is about, those that fail, and its deadline. */
class Round {
  readonly hasOwn: boolean;
  readonly others: AskedNode[];
  readonly unreachable: Unreachable[] = [];
  readonly #options: ClientsEverywhereOptions;
  readonly #deadline = new Deadline(ROUND_TIMEOUT_MS);

  constructor(options: ClientsEverywhereOptions, hasOwn: boolean, others: AskedNode[]) {
    this.#options = options;
    this.hasOwn = hasOwn;
    this.others = others;
  }

  /** @throws FluxError of the node, `timeout` for a silent one */
  ask(node: AskedNode, question: NodeQuestion, body: unknown): Promise<unknown> {
    return this.#options.cluster!.ask(node, question, body, Math.min(ASK_TIMEOUT_MS, this.#deadline.leftMs));
  }

  /** The answer of each other node; one that does not answer is noted, and is left out from then on. */
  async each<T>(question: (node: AskedNode) => Promise<T>): Promise<{ node: AskedNode; answer: T }[]> {
    const answers = await Promise.all(
      this.others.map(async (node) => {
        if (this.hasFailed(node)) return [];
        try {
          return [{ node, answer: await question(node) }];
        } catch (error) {
          this.note(node, error);
          return [];
        }
      }),
    );
    return answers.flat();
  }

  note(node: AskedNode, error: unknown): void {
    if (this.hasFailed(node)) return;
    const isSilent = error instanceof FluxError && error.kind === 'timeout';
    this.unreachable.push({ node: node.label, reason: isSilent ? `no answer within ${ASK_TIMEOUT_MS / 1000} s` : messageOf(error) });
  }

  hasFailed({ label }: AskedNode): boolean {
    return this.unreachable.some(({ node }) => node === label);
  }
}

export class ClientsEverywhere implements ClientRequests {
  readonly #options: ClientsEverywhereOptions;

  constructor(options: ClientsEverywhereOptions) {
    this.#options = options;
  }

  publish(request: PublishRequest): Promise<void> {
    return this.#options.own.publish(request);
  }

  async locate(ids: string[], namespace: string | undefined, choice: NodeChoice): Promise<Gathered<ClientLocation[]>> {
    const { own, node: self } = this.#options;
    const round = this.#round(choice);
    const wanted = [...new Set(ids)];
    const [here, there] = await Promise.all([
      round.hasOwn ? own.find(wanted, namespace) : [],
      round.each((node) => findOn(round, node, wanted, namespace)),
    ]);
    const best = new Map<string, ClientLocation>();
    const note = (node: string) => (each: FoundClient) => {
      const key = `${each.namespace}\0${each.clientId}`;
      // A session may be left on another node for a moment, or where a link is cut.
      if (best.get(key)?.connected !== true && (each.connected || !best.has(key))) best.set(key, { ...each, node });
    };
    here.forEach(note(self));
    for (const { node, answer } of there) answer.forEach(note(node.label));
    const known = new Set([...best.values()].map(({ clientId }) => clientId));
    const nowhere = { namespace: namespace ?? 'default', connected: false, session: false, node: null, endpoint: null };
    const unknown = wanted.filter((id) => !known.has(id)).map((clientId) => ({ clientId, ...nowhere }));
    return { answer: [...best.values(), ...unknown], unreachable: round.unreachable };
  }

  async disconnect(ids: string[], namespace: string | undefined, choice: NodeChoice): Promise<Gathered<number>> {
    const round = this.#round(choice);
    const wanted = [...new Set(ids)];
    const [here, there] = await Promise.all([
      round.hasOwn ? this.#options.own.disconnect(wanted, namespace) : 0,
      round.each((node) => closeOn(round, node, wanted, namespace)),
    ]);
    return { answer: there.reduce((sum, { answer }) => sum + answer, here), unreachable: round.unreachable };
  }

  async disconnectUser({ by, name, namespace }: UserId): Promise<Gathered<number>> {
    if (by === 'clientId') return this.disconnect([name], namespace, {});
    const round = this.#round({});
    const question = { username: name, namespace };
    const [here, there] = await Promise.all([
      this.#options.own.disconnectUser(name, namespace),
      round.each(async (node) => readCloseAnswer(await round.ask(node, 'clients-close', question)).closed),
    ]);
    return { answer: there.reduce((sum, { answer }) => sum + answer, here), unreachable: round.unreachable };
  }

  async connected(query: { endpoint?: string; page: number; size: number }, choice: NodeChoice): Promise<Gathered<ClientsAnswer>> {
    const { own } = this.#options;
    const round = this.#round(choice);
    if (round.others.length === 0) return { answer: await own.connected(query), unreachable: round.unreachable };
    const { page, size } = query;
    const endpoint = query.endpoint ?? null;
    // The clients before the page are left out where they are, when one node is asked alone.
    const isMerged = round.hasOwn || round.others.length > 1;
    const range = { from: isMerged ? (page - 1) * size : 0, size };
    const skip = isMerged ? 0 : (page - 1) * size;
    const count = range.from + size;
    const streams = round.others.map(
      (node) => new NameStream(node, (question) => round.ask(node, 'clients', question), { endpoint, skip, count }),
    );
    const [here] = await Promise.all([
      round.hasOwn ? own.names({ endpoint: endpoint ?? undefined, skip: 0, after: null, count }) : { names: [], total: 0 },
      ...streams.map((stream) => stream.begin()),
    ]);
    const merged = await mergedPage(here.names, streams, range);
    for (const { node, failure } of streams) if (failure !== null) round.note(node, failure);
    const [mine, there] = await Promise.all([own.describe(merged.own), round.each((node) => describeOn(round, node, merged.of(node)))]);
    const total = streams.reduce((sum, { node, total: theirs }) => sum + (round.hasFailed(node) ? 0 : theirs), here.total);
    const data = [...mine, ...there.flatMap(({ node, answer }) => answer.map((client) => ({ ...client, node: node.label })))];
    return { answer: { data: data.sort(byIdentifier), total, page, size }, unreachable: round.unreachable };
  }

  /** @throws FluxError `not-found`, `invalid` */
  #round({ local = false, node }: NodeChoice): Round {
    const { cluster, node: self } = this.#options;
    if (local && node !== undefined && node !== self) throw choiceError('invalid', `local=true and node=${node} exclude each other`);
    if (cluster === null || local || node === self) {
      if (node !== undefined && node !== self) throw choiceError('not-found', `There is no node ${node}: this is ${self}, alone`);
      return new Round(this.#options, true, []);
    }
    const all = cluster.others();
    const others =
      node === undefined ? all.filter(({ hasLeft }) => !hasLeft) : all.filter(({ name, label }) => name === node || label === node);
    if (node !== undefined && others.length === 0) {
      const names = [self, ...all.map(({ label }) => label)].join(', ');
      throw choiceError('not-found', `There is no node ${node}; known are ${names}`);
    }
    const round = new Round(this.#options, node === undefined, others);
    if (node === undefined && others.length === 0 && !cluster.isConnected)
      round.unreachable.push({ node: '(others)', reason: 'no connection to NATS: the other nodes are not known' });
    return round;
  }
}

function choiceError(kind: 'invalid' | 'not-found', message: string): FluxError {
  return new FluxError(kind, message, { issues: [{ path: 'node', message }] });
}

async function findOn(round: Round, node: AskedNode, ids: string[], namespace: string | undefined): Promise<FoundClient[]> {
  const all: FoundClient[] = [];
  for (let at = 0; at < ids.length; ) {
    const question = { ids: pieceOf(ids, at), namespace: namespace ?? null };
    const { found, done } = readFindAnswer(await round.ask(node, 'clients-find', question));
    all.push(...found);
    at += done;
  }
  return all;
}

async function closeOn(round: Round, node: AskedNode, ids: string[], namespace: string | undefined): Promise<number> {
  let sum = 0;
  for (let at = 0; at < ids.length; ) {
    const piece = pieceOf(ids, at);
    sum += readCloseAnswer(await round.ask(node, 'clients-close', { ids: piece, namespace: namespace ?? null })).closed;
    at += piece.length;
  }
  return sum;
}

async function describeOn(round: Round, node: AskedNode, names: readonly { clientId: string; namespace: string }[]) {
  const all: ClientsAnswer['data'] = [];
  for (let at = 0; at < names.length; ) {
    const answer = readDescribeAnswer(await round.ask(node, 'clients-describe', { names: pieceOf(names, at) }));
    all.push(...answer.clients);
    at += answer.done;
  }
  return all;
}
