/**
 * Harms for nodes, their threads and the NATS servers, in two lanes. What a relay keeps for a node that is away dies with the relay
 * (docs/cluster.md), so nodes and relays die only while all nodes are linked.
 */

import { messageOf } from '../../../../src/kernel/errors.ts';
import type { NatsServer } from '../../../kit/nats.ts';
import { sleep } from '../../../kit/until.ts';
import { crashThread } from '../../fragile-cluster.ts';
import { untilLinked } from '../../messages-kit.ts';
import type { ChaosNode, Field } from '../field.ts';
import { pick, type World } from './world.ts';

interface Harm {
  name: string;
  target: string;
  /** parts: nodes may lose each other; kills: what a relay keeps is lost; thread: neither */
  kind: 'parts' | 'kills' | 'thread';
  lastsMs: readonly [number, number];
  begin(): Promise<() => Promise<void> | void>;
}

const SHORT_MS = [200, 2_500] as const;
/** Another node is down after 4 s of silence. Its wills are published after the grace. */
const LONG_MS = [4_500, 8_500] as const;
const PAUSE_MS = [300, 2_500] as const;
const LINKED_MS = 60_000;
/** Reports of links are this old, at most. */
const REPORT_MS = 1_500;
const LOOK_MS = 100;

export class MessageHarms {
  /** how often each was done */
  readonly done: Record<string, number> = {};
  readonly #field: Field;
  readonly #world: World;
  /** folder of the failpoints of a node */
  readonly #folderOf: (name: string) => string;
  readonly #busy = new Map<string, Harm['kind']>();
  readonly #lanes: Promise<void>[];
  #isOver = false;
  #failure: Error | null = null;

  /** @param only names of the kinds to do; absent: all */
  constructor(field: Field, world: World, folderOf: (name: string) => string, only?: readonly string[]) {
    this.#field = field;
    this.#world = world;
    this.#folderOf = folderOf;
    const isWanted = ({ name }: Harm) => only === undefined || only.includes(name);
    const nodes = field.nodes.flatMap((node) => this.#ofNode(node)).filter(isWanted);
    const rest = [...field.nodes.flatMap((node) => this.#ofThreads(node)), ...field.nats.servers.flatMap(ofServer)].filter(isWanted);
    if (nodes.length + rest.length === 0) throw new Error(`there is no harm ${only?.join(', ')}`);
    this.kinds = [...new Set([...nodes, ...rest].map(({ name }) => name))].sort();
    this.#lanes = [nodes, rest].map((harms) => this.#lane(harms).catch((error: Error) => this.#fail(error)));
  }

  /** names of all */
  readonly kinds: string[];

  /** True when each was done, or when something could not be made whole again. */
  get isComplete(): boolean {
    return this.#failure !== null || this.kinds.every((name) => name in this.done);
  }

  /** Resolves when everything is whole again. @throws Error when something could not be made so */
  async end(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#lanes);
    if (this.#failure !== null) throw this.#failure;
  }

  #fail(error: Error): void {
    this.#isOver = true;
    this.#failure ??= error;
  }

  async #lane(harms: readonly Harm[]): Promise<void> {
    if (harms.length === 0) return;
    const { random } = this.#world;
    while (!this.#isOver) {
      await sleep(between(PAUSE_MS, random));
      const fresh = harms.filter(({ name }) => !(name in this.done));
      const harm = pick(fresh.length > 0 ? fresh : harms, random);
      while (!this.#isOver && !this.#mayBegin(harm)) await sleep(LOOK_MS);
      if (!this.#isOver) await this.#do(harm);
    }
  }

  #mayBegin({ target, kind }: Harm): boolean {
    if (this.#busy.has(target)) return false;
    const kinds = [...this.#busy.values()];
    if (kind === 'kills') return kinds.every((each) => each === 'thread');
    // The node that is frozen or cut must not be the third one of a session move (docs/cluster.md).
    if (kind === 'parts') return !kinds.includes('kills') && this.#world.calm.hops === 0;
    return true;
  }

  async #do(harm: Harm): Promise<void> {
    const { calm, trace, random } = this.#world;
    const lasts = between(harm.lastsMs, random);
    const settled = harm.kind === 'thread' ? calm.threadDies() : calm.begin();
    this.#busy.set(harm.target, harm.kind);
    trace.say(`${harm.name}: ${harm.target}, for ${Math.round(lasts)} ms`);
    try {
      const undo = await harm.begin();
      await sleep(lasts);
      await undo();
      trace.say(`${harm.target} is made whole`);
      if (harm.kind !== 'thread') {
        await sleep(REPORT_MS);
        await untilLinked(
          this.#field.nodes.map(({ broker }) => broker),
          LINKED_MS,
        );
        trace.say('all nodes are linked');
      }
      this.done[harm.name] = (this.done[harm.name] ?? 0) + 1;
    } catch (error) {
      throw new Error(`${harm.name}, ${harm.target}: ${messageOf(error)}`, { cause: error });
    } finally {
      this.#busy.delete(harm.target);
      settled();
    }
  }

  #ofNode(node: ChaosNode): Harm[] {
    const { name: target, toNats } = node;
    const parts = (name: string, begin: () => void, end: () => void): Harm[] =>
      [SHORT_MS, LONG_MS].map((lastsMs) => ({
        name: lastsMs === SHORT_MS ? name : `${name} for long`,
        target,
        kind: 'parts',
        lastsMs,
        begin: async () => {
          begin();
          return end;
        },
      }));
    const open = () => {
      for (const line of toNats) line.open();
    };
    const cut = (how: 'hold' | 'reset') => () => {
      for (const line of toNats) line[how]();
    };
    return [
      { name: 'node killed', target, kind: 'kills', lastsMs: SHORT_MS, begin: async () => (await node.kill()).back },
      ...parts(
        'node frozen',
        () => node.signal('SIGSTOP'),
        () => node.signal('SIGCONT'),
      ),
      ...parts('node cut off from NATS', cut('hold'), open),
      ...parts('node reset by NATS', cut('reset'), open),
      { name: 'relay killed', target, kind: 'kills', lastsMs: [0, 0], begin: () => this.#crash(node, 'relay') },
    ];
  }

  #ofThreads(node: ChaosNode): Harm[] {
    return (['session', 'endpoint'] as const).map((role) => ({
      name: `${role} worker killed`,
      target: node.name,
      kind: 'thread',
      lastsMs: [0, 500],
      begin: () => this.#crash(node, role),
    }));
  }

  async #crash(node: ChaosNode, role: 'relay' | 'session' | 'endpoint'): Promise<() => void> {
    await crashThread(node.broker, this.#folderOf(node.name), role);
    return () => undefined;
  }
}

/** One server at a time: the nodes find another one. */
function ofServer(server: NatsServer, index: number): Harm[] {
  const common = { target: `NATS ${index + 1}`, kind: 'parts', lastsMs: SHORT_MS } as const;
  return [
    {
      ...common,
      name: 'NATS server killed',
      begin: async () => {
        await server.kill();
        return () => server.start();
      },
    },
    {
      ...common,
      name: 'NATS server frozen',
      begin: async () => {
        server.pause();
        return () => server.resume();
      },
    },
  ];
}

function between([low, high]: readonly [number, number], random: () => number): number {
  return low + random() * (high - low);
}
