/** Questions about every node of the cluster: asks this node and all others, and merges the answers. */

import { defaultSslConfig } from '../../endpoint/defaults.ts';
import { isObject, Problems } from '../../endpoint/problems.ts';
import { readSslConfig } from '../../endpoint/ssl-schema.ts';
import { FluxError } from '../../kernel/errors.ts';
import type { ClusterStatus, EndpointStatus, NodeView, PortCheck, ProbeResult } from '../contract/answers.ts';
import type { ClusterReads } from '../contract/cluster-reads.ts';
import type { Alone } from './alone.ts';
import { answerAboutClients, isAboutClients, type OwnClients } from './clients/answering.ts';
import type { Cluster } from './cluster.ts';
import type { ListenerPlan, NodeProbes } from './node-probes.ts';
import type { NodeAnswer, NodeQuestion } from './questions.ts';

export interface NodesOptions {
  node: string;
  probes: NodeProbes;
  /** status of this node's endpoints, or of the one on `port` */
  ownStatus: (port?: number) => EndpointStatus[];
  /** null: a single node */
  cluster: Cluster | null;
  /** reads the documents of the store up to a revision at least; rejects when that fails */
  learn: (revision: number) => Promise<void>;
  /** answers other nodes about the clients of this node */
  clients: OwnClients;
  /** the description of the cluster, also of a single node */
  view: Cluster | Alone;
}

/** Deadline for the answers of other nodes, ms. */
const ASK_TIMEOUT_MS = 7_000;

export class Nodes implements ClusterReads {
  readonly #options: NodesOptions;

  constructor(options: NodesOptions) {
    this.#options = options;
    const { cluster } = options;
    cluster?.answerWith((question, body) => this.#answer(question, body));
  }

  overview(): ClusterStatus {
    return this.#options.view.status();
  }

  nodes(): NodeView[] {
    return this.#options.view.nodes();
  }

  /** Binds the port on every node. */
  async checkPort(port: number, host = '0.0.0.0'): Promise<PortCheck> {
    const { node, probes } = this.#options;
    const [own, others] = await Promise.all([probes.portProblem(port, host), this.#ask('check-port', { port, host })]);
    const nodes = [
      { node, available: own === null, reason: own },
      ...others.map((other) => {
        const reason = other.reason ?? (typeof other.answer === 'string' ? other.answer : null);
        return { node: other.node, available: reason === null, reason };
      }),
    ];
    return { port, available: nodes.every(({ available }) => available), nodes };
  }

  /** Rows of all nodes, this node first; a silent node has no rows. */
  async statusEverywhere(port?: number): Promise<EndpointStatus[]> {
    const others = await this.#ask('status', { port: port ?? null });
    const theirs = others.flatMap(({ answer }) => (Array.isArray(answer) ? (answer as EndpointStatus[]) : []));
    return [...this.#options.ownStatus(port), ...theirs];
  }

  /** Connects with MQTT to the endpoints of every node. @throws FluxError `not-found` */
  async probe(port?: number): Promise<ProbeResult[]> {
    const { node, probes } = this.#options;
    const [own, others] = await Promise.all([probes.probe(port), this.#ask('probe', { port: port ?? null })]);
    return own.map(({ port: at, id, ...outcome }): ProbeResult => {
      const nodes = [{ node, ...outcome }, ...others.map((other) => theirProbe(other, id))];
      return { port: at, id, healthy: nodes.every(({ healthy }) => healthy), nodes };
    });
  }

  async #ask(question: NodeQuestion, body: unknown): Promise<NodeAnswer[]> {
    return (await this.#options.cluster?.askAll(question, body, ASK_TIMEOUT_MS)) ?? [];
  }

  /** Answers a question of another node. @throws FluxError `invalid` for an unknown question */
  async #learn(body: unknown): Promise<null> {
    const revision = isObject(body) ? body['revision'] : undefined;
    if (!Number.isSafeInteger(revision)) throw new FluxError('invalid', 'documents needs a revision');
    await this.#options.learn(revision as number);
    return null;
  }

  async #answer(question: NodeQuestion, body: unknown): Promise<unknown> {
    const { probes, ownStatus, clients } = this.#options;
    if (isAboutClients(question)) return answerAboutClients(clients, question, body);
    const { port, host, plans } = isObject(body) ? body : {};
    if (question === 'prepare') return probes.prepare(readPlans(plans));
    if (question === 'documents') return this.#learn(body);
    const chosen = isPort(port) ? port : undefined;
    if (question === 'status') return ownStatus(chosen);
    if (question === 'probe') return probes.probe(chosen);
    if (chosen === undefined || typeof host !== 'string') throw new FluxError('invalid', 'check-port needs a port and a host');
    return probes.portProblem(chosen, host);
  }
}

const isPort = (value: unknown): value is number => Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 65_535;

function readPlans(plans: unknown): ListenerPlan[] {
  if (!Array.isArray(plans)) throw new FluxError('invalid', 'prepare needs plans');
  return plans.map((plan: unknown) => {
    const { id, host, port, sslConfig = null } = isObject(plan) ? plan : {};
    if (typeof id !== 'string' || typeof host !== 'string' || !isPort(port))
      throw new FluxError('invalid', 'a plan needs id, host and port');
    const problems = new Problems();
    const tls = sslConfig === null ? null : readSslConfig(sslConfig, defaultSslConfig(), problems, []);
    problems.throwIfAny('endpoint');
    return { id, host, port, sslConfig: tls };
  });
}

function theirProbe({ node, answer, reason }: NodeAnswer, id: string): ProbeResult['nodes'][number] {
  const found: unknown = Array.isArray(answer) ? answer.find((each: unknown) => isObject(each) && each['id'] === id) : undefined;
  if (!isObject(found)) return { node, healthy: false, reason: reason ?? 'the node does not know this endpoint', latencyMs: null };
  const { healthy, reason: why, latencyMs } = found;
  return {
    node,
    healthy: healthy === true,
    reason: typeof why === 'string' ? why : null,
    latencyMs: typeof latencyMs === 'number' ? latencyMs : null,
  };
}
