/** Faults for the parts of a field, one after another and sometimes two at once. At the stop every part works again. */

import type { DatabaseServer } from '../../kit/databases/server.ts';
import type { NatsServer } from '../../kit/nats.ts';
import { sleep } from '../../kit/until.ts';
import type { ChaosNode, Field } from './field.ts';

interface Harm {
  name: string;
  /** nobody harms one thing in two ways at once */
  target: string;
  begin(): Promise<() => Promise<void> | void>;
}

const LASTS_MS = [200, 2500] as const;
const PAUSE_MS = [50, 700] as const;
/** Lanes of harms side by side. */
const LANES = 2;

export class Harms {
  /** how often each was done */
  readonly done: Record<string, number> = {};
  readonly #begun = new Set<string>();
  readonly #field: Field;
  readonly #random: () => number;
  readonly #busy = new Set<string>();
  readonly #lanes: Promise<void>[];
  #isOver = false;

  constructor(field: Field, random: () => number) {
    this.#field = field;
    this.#random = random;
    this.#lanes = Array.from({ length: LANES }, () => this.#lane());
  }

  /** The names of all kinds. */
  get kinds(): string[] {
    return [...new Set(this.#all().map(({ name }) => name))].sort();
  }

  /** True when each kind was done. */
  get isComplete(): boolean {
    return this.kinds.every((name) => name in this.done);
  }

  /** No further harm begins. */
  stop(): void {
    this.#isOver = true;
  }

  /** Resolves when everything is whole again. @throws Error when something could not be made so */
  async end(): Promise<void> {
    this.stop();
    await Promise.all(this.#lanes);
  }

  async #lane(): Promise<void> {
    while (!this.#isOver) {
      await sleep(this.#between(PAUSE_MS));
      const free = this.#all().filter(({ target }) => !this.#busy.has(target));
      // Each kind comes once before any of these comes twice.
      const fresh = free.filter(({ name }) => !this.#begun.has(name));
      const all = fresh.length > 0 ? fresh : free;
      const target = this.#one([...new Set(all.map((harm) => harm.target))]);
      const harm = this.#one(all.filter((each) => each.target === target));
      if (harm === undefined) continue;
      this.#busy.add(harm.target);
      this.#begun.add(harm.name);
      const undo = await harm.begin();
      this.done[harm.name] = (this.done[harm.name] ?? 0) + 1;
      await sleep(this.#between(LASTS_MS));
      await undo();
      this.#busy.delete(harm.target);
    }
  }

  #one<T>(list: T[]): T | undefined {
    return list[Math.floor(this.#random() * list.length)];
  }

  #between([low, high]: readonly [number, number]): number {
    return low + this.#random() * (high - low);
  }

  #all(): Harm[] {
    const { nodes, nats, database } = this.#field;
    // One server at a time: a JetStream cluster of three still works with two.
    const servers = nats.servers.flatMap((server) => harmsOfServer('NATS', server));
    return [...nodes.flatMap(harmsOfNode), ...servers, ...(database === null ? [] : harmsOfServer('database', database))];
  }
}

function harmsOfServer(target: string, server: NatsServer | DatabaseServer): Harm[] {
  return [
    {
      name: `${target} killed`,
      target,
      begin: async () => {
        await server.kill();
        return () => server.start();
      },
    },
    {
      name: `${target} paused`,
      target,
      begin: async () => {
        server.pause();
        return () => server.resume();
      },
    },
  ];
}

function harmsOfNode(node: ChaosNode): Harm[] {
  const { name: target, toNats, toDatabase } = node;
  const cut = (name: string, lines: ChaosNode['toNats'], how: 'hold' | 'reset'): Harm => ({
    name,
    target,
    begin: async () => {
      for (const line of lines) line[how]();
      return () => {
        for (const line of lines) line.open();
      };
    },
  });
  return [
    { name: 'node killed', target, begin: async () => (await node.kill()).back },
    {
      name: 'node paused',
      target,
      begin: async () => {
        node.signal('SIGSTOP');
        return () => node.signal('SIGCONT');
      },
    },
    cut('node cut off from NATS', toNats, 'hold'),
    cut('node reset by NATS', toNats, 'reset'),
    ...(toDatabase.length === 0
      ? []
      : [cut('node cut off from the database', toDatabase, 'hold'), cut('node cut off from all', [...toNats, ...toDatabase], 'reset')]),
  ];
}
