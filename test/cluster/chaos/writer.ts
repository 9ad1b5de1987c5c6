/** Changes of every kind, through any door, and a ledger of what was answered to each. */

import { makeOperation, OPERATIONS } from '../../admin/crash/operations.ts';
import { sleep } from '../../kit/until.ts';
import { type Door, isCutOff } from './doors.ts';
import type { Configuration } from './judge.ts';

/** The outcome of a change by its answer. `unknown`: no answer, or an answer that does not know. */
export type Answered = 'changed' | 'nothing' | 'refused' | 'unknown';

export interface Entry {
  /** names the change in the history */
  reason: string;
  request: string;
  answered: Answered;
  /** of `changed` */
  revision: number;
  message: string;
}

/** Statuses that say that nothing was changed. */
const REFUSALS = [400, 404, 409, 412, 422, 503];
const PAUSE_MS = 120;
/** Changes under way at once through one door. */
const LANES = 2;
/** A node that takes nothing now, because it or its store is away, is not asked all the time. */
const AWAY_PAUSE_MS = 500;
const QUERIES = ['', '', '?wait=local', '?timeout=2s', '?policy=all'];

export class Writers {
  readonly ledger: Entry[] = [];
  readonly #doors: Door[];
  readonly #random: () => number;
  readonly #isEnough: (changed: number) => boolean;
  #serial = 0;
  #changed = 0;
  #hasFailed = false;

  /** @param isEnough asked before each change, with the number of those that were made */
  constructor(doors: Door[], random: () => number, isEnough: (changed: number) => boolean) {
    this.#doors = doors;
    this.#random = random;
    this.#isEnough = isEnough;
  }

  /** Resolves when it is enough, and all have been answered, or will not be. @throws Error for an answer that no change may have */
  async run(): Promise<void> {
    const lanes = this.#doors.flatMap((door) => Array.from({ length: LANES }, () => this.#lane(door)));
    const ended = await Promise.allSettled(lanes);
    const failure = ended.find((each) => each.status === 'rejected');
    if (failure !== undefined) throw failure.reason;
  }

  async #lane(door: Door): Promise<void> {
    while (!this.#hasFailed && !this.#isEnough(this.#changed)) {
      const scene = await door.read().catch(() => null);
      const isTaken = scene !== null && (await this.#send(door, scene));
      await sleep(isTaken ? this.#random() * PAUSE_MS : AWAY_PAUSE_MS);
    }
  }

  /** @returns false when the node is away, or has no store */
  async #send(door: Door, { endpoints, revision }: Configuration): Promise<boolean> {
    const serial = this.#serial++;
    const name = OPERATIONS[Math.floor(this.#random() * OPERATIONS.length)]!;
    const query = QUERIES[Math.floor(this.#random() * QUERIES.length)]!;
    const { path, body } = await makeOperation(name, { endpoints, revision, random: this.#random, newId: () => `e${serial}` });
    const reason = `change ${serial}`;
    // On every address, which means the node's own one.
    const text = JSON.stringify({ ...body, reason }).replaceAll('"host":"127.0.0.1"', '"host":"0.0.0.0"');
    const request = `${door.name} ${path}${query} ${text}`;
    const entry: Entry = { reason, request, answered: 'unknown', revision: 0, message: 'no answer' };
    this.ledger.push(entry);
    try {
      const answer = await door.change(path, query, JSON.parse(text));
      const { code, message, data } = answer;
      entry.message = `${code} ${message}`;
      if (code === 200) {
        entry.revision = data?.revision ?? 0;
        entry.answered = data?.effect === 'none' || data?.changes?.length === 0 ? 'nothing' : 'changed';
        if (entry.answered === 'changed') this.#changed++;
      } else if (!REFUSALS.includes(code)) throw new Error(`${request}: ${JSON.stringify(answer)}`);
      else entry.answered = data?.outcome === 'unknown' ? 'unknown' : 'refused';
      return code !== 503;
    } catch (error) {
      this.#hasFailed ||= !isCutOff(error);
      if (this.#hasFailed) throw error;
      return false;
    }
  }
}
