/** Three brokers, three nats-servers in a JetStream cluster, and a database or none: all on loopback, each of which can be harmed by itself. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { type Broker, startBroker } from '../../kit/broker.ts';
import { type CutProxy, startCutProxy } from '../../kit/cut-proxy.ts';
import { startMariadb } from '../../kit/databases/mariadb.ts';
import { startPostgres } from '../../kit/databases/postgres.ts';
import type { DatabaseServer } from '../../kit/databases/server.ts';
import { type NatsServers, startNats } from '../../kit/nats.ts';
import { until } from '../../kit/until.ts';

export const STORES = ['POSTGRESQL', 'MYSQL', 'LOCAL'] as const;
export type StoreName = (typeof STORES)[number];

const NODES = 3;

/** One node, with the lines that lead from it to everything else. */
export class ChaosNode {
  readonly name: string;
  /** all its endpoints listen there, and nothing else does */
  readonly address: string;
  readonly toNats: CutProxy[];
  readonly toDatabase: CutProxy[];
  readonly #env: Record<string, string>;
  #broker: Broker | null = null;

  constructor(name: string, address: string, lines: { toNats: CutProxy[]; toDatabase: CutProxy[] }, env: Record<string, string>) {
    this.name = name;
    this.address = address;
    this.toNats = lines.toNats;
    this.toDatabase = lines.toDatabase;
    this.#env = env;
  }

  get isUp(): boolean {
    return this.#broker !== null;
  }

  /** @throws Error while it is down */
  get broker(): Broker {
    if (this.#broker === null) throw new TypeError('fetch failed');
    return this.#broker;
  }

  async start(options: { config: Record<string, unknown> } | { dir: string }): Promise<void> {
    this.#broker = await startBroker({ endpoints: [], env: this.#env, ...options });
  }

  /** SIGKILL; `back` starts it again with its folder. */
  async kill(): Promise<{ back: () => Promise<void> }> {
    const { dir } = this.broker;
    const dying = this.broker;
    this.#broker = null;
    process.kill(dying.pid, 'SIGCONT');
    await dying.kill('SIGKILL');
    return { back: () => this.start({ dir }) };
  }

  signal(name: 'SIGSTOP' | 'SIGCONT'): void {
    process.kill(this.broker.pid, name);
  }

  /** SIGTERM. @throws Error when it does not end in order */
  async stop(): Promise<void> {
    const code = await this.#broker?.stop();
    if (code !== undefined && code !== 0) throw new Error(`${this.name} ended with ${code}`);
  }
}

export interface FieldOptions {
  /** the nodes have no lines that can be cut */
  isDirect?: boolean;
  /** environment of a node, by its name */
  envOf?: (name: string) => Record<string, string>;
  /** further keys of the `cluster` section of each node */
  cluster?: Record<string, unknown>;
}

export class Field {
  readonly store: StoreName;
  readonly nats: NatsServers;
  readonly database: DatabaseServer | null;
  readonly nodes: ChaosNode[];

  private constructor(store: StoreName, nats: NatsServers, database: DatabaseServer | null, nodes: ChaosNode[]) {
    this.store = store;
    this.nats = nats;
    this.database = database;
    this.nodes = nodes;
  }

  /** @param random chooses the addresses, so that fields beside each other do not meet */
  static async open(store: StoreName, random: () => number, options: FieldOptions = {}): Promise<Field> {
    const { isDirect = false, envOf = () => ({}), cluster = {} } = options;
    const database = store === 'LOCAL' ? null : await (store === 'POSTGRESQL' ? startPostgres() : startMariadb());
    const nats = await startNats({ size: 3 });
    const name = (await database?.createDatabase()) ?? '';
    const net = `127.${1 + Math.floor(random() * 250)}.${1 + Math.floor(random() * 250)}`;
    const nodes: ChaosNode[] = [];
    for (let n = 1; n <= NODES; n++) {
      const toNats = isDirect ? [] : await Promise.all(nats.servers.map(({ port }) => startCutProxy(port)));
      const toDatabase = isDirect || database === null ? [] : [await startCutProxy(database.port)];
      nodes.push(new ChaosNode(`node-${n}`, `${net}.${n}`, { toNats, toDatabase }, envOf(`node-${n}`)));
    }
    const field = new Field(store, nats, database, nodes);
    try {
      const start = (node: ChaosNode) => node.start({ config: field.#configOf(node, name, cluster) });
      // The first one makes the tables: on a busy machine the database would let the others wait for them too long.
      const [first, ...others] = nodes as [ChaosNode, ...ChaosNode[]];
      await start(first);
      await Promise.all(others.map(start));
      await Promise.all(nodes.map((node) => until(`${node.name} sees all`, () => seesAll(node), 15_000, 50)));
      return field;
    } catch (error) {
      await field.close().catch(() => {});
      throw error;
    }
  }

  #configOf({ name, address, toNats, toDatabase }: ChaosNode, database: string, cluster: Record<string, unknown>): Record<string, unknown> {
    const [line] = toDatabase;
    const { username = '', password = '' } = this.database ?? {};
    const direct = this.database?.url(database);
    const url = line === undefined ? direct : direct?.replace(`:${this.database?.port}`, `:${line.port}`);
    const servers = toNats.length === 0 ? this.nats.servers : toNats;
    return {
      node: { name, bindAddress: address },
      cluster: { addresses: servers.map(({ port }) => `nats://127.0.0.1:${port}`), localAddress: address, ...cluster },
      ...(this.database === null ? {} : { store: { storeType: this.store, datasource: { url, username, password } } }),
    };
  }

  /** Ends everything in order. @throws Error when a node does not, or when a process is left */
  async close(): Promise<void> {
    const pids = this.nodes.flatMap(({ broker }) => broker.pid);
    const ended = await Promise.allSettled(this.nodes.map((node) => node.stop()));
    for (const { toNats, toDatabase } of this.nodes) for (const line of [...toNats, ...toDatabase]) await line.close();
    await this.nats.stop();
    await this.database?.stop();
    const failure = ended.find((each) => each.status === 'rejected');
    if (failure !== undefined) throw failure.reason;
    const left = pids.filter((pid) => existsSync(`/proc/${pid}`)).concat(orphans());
    if (left.length > 0) throw new Error(`processes are left: ${left.map((pid) => `${pid} ${commandOf(pid)}`).join(', ')}`);
  }
}

async function seesAll(node: ChaosNode): Promise<boolean> {
  const { body } = await node.broker.api('GET', '/api/cluster/status');
  return (body as { data: { nodes: { up: number } } }).data.nodes.up === NODES;
}

/** Children of this process that are neither a tool of the tests nor ended. */
function orphans(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => parentOf(pid) === process.pid && /nats-server|postgres|mariadbd|main\.js/.test(commandOf(pid)));
}

function parentOf(pid: number): number {
  const fields = textOf(pid, 'stat')
    .replace(/^.*\) /s, '')
    .split(' ');
  // A zombie has ended: only its parent has not looked yet.
  return fields[0] === 'Z' ? 0 : Number(fields[1]);
}

const commandOf = (pid: number) => textOf(pid, 'cmdline').replaceAll('\0', ' ');

function textOf(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return ''; // it has ended since the folder was read
  }
}
