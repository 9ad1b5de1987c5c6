/** A broker that is killed in the middle of its changes, again and again on the same store, and judged after each restart. */

import { connect } from 'node:net';
import { resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { ChangeStep } from '../../../src/control/state/change-steps.ts';
import { type Broker, startBroker } from '../../kit/broker.ts';
import { listeningPorts } from '../../kit/listening-ports.ts';
import { preload } from '../../kit/preload.ts';
import { sleep } from '../../kit/until.ts';
import { type Endpoint, makeOperation, type OperationName } from './operations.ts';

/** `moment`: a few milliseconds after the request, wherever the change is by then. */
export type Place = ChangeStep | 'moment';

export const PLACES: Place[] = ['validated', 'bound', 'storing', 'moment', 'stored', 'activated', 'announced'];

/** The fate of a change that was cut off at a step. `moment` allows both, and so does a step of a second endpoint after the commit. */
const IS_STORED: Partial<Record<Place, boolean>> = {
  validated: false,
  bound: false,
  storing: false,
  stored: true,
  activated: true,
  announced: true,
};

interface HistoryRow {
  revision: number;
  id: string;
  reason: string;
  after: Endpoint | null;
}

/** Limit of a start. Among two hundred starts, some meet a busy machine. */
const READY_MS = 120_000;

interface Sent {
  reason: string;
  /** null: there was no answer */
  revision: number | null;
  place: Place;
  operation: OperationName;
}

/** The content of the store as of the last judgement. */
interface Known {
  revision: number;
  endpoints: Map<string, Endpoint>;
}

const PRELOAD = resolve(import.meta.dirname, '../../kit/crash-at.ts');
/** Changes before the one that is cut off, at most. */
const OPERATIONS_MAX = 8;

export class CrashField {
  /** how often the change that was cut off was there afterwards, and how often it was not */
  readonly outcomes = { there: 0, notThere: 0 };
  readonly #config: Record<string, unknown>;
  readonly #random: () => number;
  #dir: string | undefined;
  #known: Known = { revision: 0, endpoints: new Map() };
  #sent: Sent[] = [];
  #serial = 0;

  /** @param store the broker's `store` section; null: LOCAL in the broker's own folder */
  constructor(store: Record<string, unknown> | null, random: () => number) {
    this.#config = store === null ? {} : { store };
    this.#random = random;
  }

  /** Starts the broker, judges what the last kill left, changes, and is killed. @throws Error that says what is wrong */
  async round(place: Place, operation: OperationName): Promise<void> {
    // The first occurrence, or a later one: then changes before it have been answered.
    const occurrence = 1 + Math.floor(this.#random() * 3);
    const env = place === 'moment' ? {} : { CRASH_AT: `${place}:${occurrence}`, NODE_OPTIONS: preload(PRELOAD) };
    const broker = await this.#start(env);
    await this.#judge(broker);
    for (let n = 1; ; n++) {
      if (n > OPERATIONS_MAX) throw new Error(`${place} was not reached in ${OPERATIONS_MAX} changes`);
      const isLast = place === 'moment' && n === occurrence;
      if (!(await this.#change(broker, place, operation, isLast))) break;
    }
    await broker.kill('SIGKILL');
  }

  /** Starts the broker once more, judges, and ends it. */
  async end(): Promise<void> {
    const broker = await this.#start({});
    await this.#judge(broker);
    await broker.stop();
  }

  async #start(env: Record<string, string>): Promise<Broker> {
    const broker = await startBroker({
      config: this.#config,
      env,
      readyMs: READY_MS,
      ...(this.#dir === undefined ? {} : { dir: this.#dir }),
    });
    this.#dir = broker.dir;
    return broker;
  }

  /** @returns false when the broker was killed before it answered */
  async #change(broker: Broker, place: Place, name: OperationName, isToBeKilled: boolean): Promise<boolean> {
    const { endpoints, revision } = await read(broker);
    const newId = () => `e${(this.#serial++).toString()}`;
    const { path, body } = await makeOperation(name, { endpoints, revision, random: this.#random, newId });
    const reason = `change ${this.#serial++}`;
    if (isToBeKilled) void sleep(this.#random() * 12).then(() => broker.kill('SIGKILL'));
    try {
      const answer = await broker.api('POST', `/api/endpoints/${path}`, { ...body, reason });
      // A port that was free a moment ago, or a store with too much to do: refused, and so it must not be in the history.
      if (/port-in-use|"outcome":"nothing-written"/.test(JSON.stringify(answer.body))) return !isToBeKilled;
      if (answer.status !== 200) throw new Error(`${path} ${JSON.stringify(body)}: ${JSON.stringify(answer.body)}`);
      this.#sent.push({ reason, revision: (answer.body as { data: { revision: number } }).data.revision, place, operation: name });
      return !isToBeKilled;
    } catch (error) {
      if (!isCutOff(error)) throw error;
      this.#sent.push({ reason, revision: null, place, operation: name });
      return false;
    }
  }

  /** Store, history, answers and listeners must agree. */
  async #judge(broker: Broker): Promise<void> {
    const { endpoints, revision } = await read(broker);
    const { body } = await broker.api('GET', '/api/endpoints/history?limit=200');
    const rows = (body as { data: HistoryRow[] }).data.filter((row) => row.revision > this.#known.revision).reverse();
    this.#judgeHistory(rows, revision);
    const folded = new Map(this.#known.endpoints);
    for (const { id, after } of rows) {
      if (after === null) folded.delete(id);
      else folded.set(id, after);
    }
    const content = new Map(endpoints.map((endpoint) => [endpoint.id, endpoint]));
    const same = folded.size === content.size && [...folded].every(([id, endpoint]) => isDeepStrictEqual(endpoint, content.get(id)));
    if (!same) throw new Error(`the history leads to ${JSON.stringify([...folded.values()])}, but there is ${JSON.stringify(endpoints)}`);
    await judgeListeners(broker, endpoints);
    this.#known = { revision, endpoints: content };
    this.#sent = [];
  }

  #judgeHistory(rows: HistoryRow[], newest: number): void {
    const revisions = [...new Set(rows.map((row) => row.revision))];
    const expected = Array.from({ length: newest - this.#known.revision }, (_, index) => this.#known.revision + 1 + index);
    if (!isDeepStrictEqual(revisions, expected)) throw new Error(`revisions ${revisions} instead of ${expected}`);
    for (const { reason, revision, place, operation } of this.#sent) {
      const own = [...new Set(rows.filter((row) => row.reason === reason).map((row) => row.revision))];
      if (revision !== null && (own.length !== 1 || own[0] !== revision)) {
        throw new Error(`${reason} was answered with revision ${revision}, but the history has it as ${own.join() || 'nothing'}`);
      }
      if (revision !== null) continue;
      if (own.length > 1) throw new Error(`${reason} is in the history as ${own}`);
      const isThere = own.length === 1;
      const isCertain = operation !== 'makeDefault' || IS_STORED[place] === true || place === 'storing';
      if (isCertain && (IS_STORED[place] ?? isThere) !== isThere)
        throw new Error(`${reason}, cut off at ${place}, is ${isThere ? '' : 'not '}there`);
      this.outcomes[isThere ? 'there' : 'notThere']++;
    }
    const known = new Set(this.#sent.map(({ reason }) => reason));
    const foreign = rows.find((row) => !known.has(row.reason));
    if (foreign !== undefined) throw new Error(`nobody asked for ${JSON.stringify(foreign)}`);
  }
}

/** The process listens where the store says and nowhere else, and there it speaks MQTT. */
async function judgeListeners(broker: Broker, endpoints: Endpoint[]): Promise<void> {
  const expected = endpoints.filter(({ enabled }) => enabled).map(({ port }) => port);
  const found = await listeningPorts(broker.pid);
  const wanted = new Set([...expected, Number(new URL(broker.admin).port)]);
  if (found.size !== wanted.size || [...found].some((port) => !wanted.has(port)))
    throw new Error(`it listens on ${[...found]} instead of ${[...wanted]}: ${JSON.stringify(endpoints)}`);
  await Promise.all(expected.map(connectMqtt));
}

/** The request got no answer because the other end was gone. */
function isCutOff(error: unknown): boolean {
  return error instanceof TypeError && error.message === 'fetch failed';
}

async function read(broker: Broker): Promise<{ endpoints: Endpoint[]; revision: number }> {
  const { body, headers } = await broker.api('GET', '/api/endpoints/list');
  const { endpoints } = (body as { data: { endpoints: Record<string, Endpoint> } }).data;
  return { endpoints: Object.values(endpoints), revision: Number(headers.get('etag')?.replaceAll('"', '')) };
}

/** CONNECT of MQTT 3.1.1 with a clean session, without an identifier. */
const CONNECT = Buffer.from([0x10, 12, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 60, 0, 0]);

/** @throws Error when it is not accepted there */
function connectMqtt(port: number): Promise<void> {
  return new Promise((done, fail) => {
    const socket = connect(port, '127.0.0.1');
    socket.setTimeout(10_000, () => socket.destroy(new Error(`port ${port} accepts and says nothing`)));
    socket.once('connect', () => socket.write(CONNECT));
    socket.once('data', (bytes) => {
      socket.destroy();
      if (bytes.equals(Buffer.from([0x20, 2, 0, 0]))) done();
      else fail(new Error(`port ${port} answered ${bytes.toString('hex')}`));
    });
    socket.once('error', fail);
  });
}
