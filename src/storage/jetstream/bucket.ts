/** The JetStream key-value bucket of the store: keys, compare-and-set, and failures in the contract's words. */

import { setTimeout as sleep } from 'node:timers/promises';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { ErrorCode, type JetStreamClient, type JetStreamManager, type KV, type NatsConnection, type NatsError, StorageType } from 'nats';
import { steadyNow } from '../../kernel/clock.ts';
import { pause } from '../../kernel/deadline.ts';
import { FluxError, messageOf } from '../../kernel/errors.ts';

/** A name that users see (docs/cluster.md). */
const BUCKET = 'ENDPOINT_CONFIG';
/** A bucket is a stream of this name, a key one of its subjects (NATS ADR-8). */
const STREAM = `KV_${BUCKET}`;
const SUBJECTS = `$KV.${BUCKET}`;
/** One request to JetStream. */
const REQUEST_TIMEOUT_MS = 1_500;
/** How long a request that nobody takes is made again; below the time in which a change is told that the store is away. */
const LEADERLESS_MS = 1_000;
const LEADERLESS_PAUSE_MS = 100;
const REPLICAS_WANTED = 3;
const REPLICAS_PAUSE_MS = 5_000;
/** JetStream's own numbers for "so many copies are not possible": on a server alone, and with too few servers (now). */
const NOT_CLUSTERED = 10074;
const TOO_FEW_SERVERS = 10005;
/** JetStream's own numbers for "the last sequence is another one"; newer servers say the second one while a write of it is under way. */
const WRONG_LAST_SEQUENCE = [10071, 10164];
/** Writes of other keys that may come in between: they are few, and belong to changes that are made at the same time. */
const SWAP_ATTEMPTS = 20;
/** At most so long between two of them, milliseconds: whoever is in the way is not met in step. */
const SWAP_PAUSE_MS = 10;
/** Left free in a message for headers and subject. */
const ENVELOPE_BYTES = 4096;

/** A value and the bucket's number of its last write. */
export interface Entry {
  readonly value: unknown;
  readonly sequence: number;
}

/** Somebody else has written the key. */
export class ConflictError extends Error {}

export class Bucket {
  readonly #kv: KV;
  readonly #js: JetStreamClient;
  readonly #manager: JetStreamManager;
  readonly #bytesMax: number;

  private constructor(kv: KV, js: JetStreamClient, manager: JetStreamManager, bytesMax: number) {
    this.#kv = kv;
    this.#js = js;
    this.#manager = manager;
    this.#bytesMax = bytesMax;
  }

  /**
   * Opens the bucket, made when it is missing, with as many copies as the servers allow; one that has fewer than that gets them.
   * @param isPatient servers may still be starting: a bucket that would have too few copies now is not made yet
   * @throws FluxError `unavailable`
   */
  static async open(connection: NatsConnection, storage: 'file' | 'memory', isPatient: boolean): Promise<Bucket> {
    const js = connection.jetstream({ timeout: REQUEST_TIMEOUT_MS });
    const options = {
      history: 1,
      timeout: REQUEST_TIMEOUT_MS,
      storage: storage === 'file' ? StorageType.File : StorageType.Memory,
      // Only the leader is asked: a copy may be far behind.
      allow_direct: false,
    };
    try {
      const kv = await js.views.kv(BUCKET, { ...options, replicas: REPLICAS_WANTED }).catch((error: unknown) => {
        const code = (error as NatsError).api_error?.err_code;
        if (code !== NOT_CLUSTERED && (code !== TOO_FEW_SERVERS || isPatient)) throw error;
        return js.views.kv(BUCKET, { ...options, replicas: 1 });
      });
      const { replicas, streamInfo } = await kv.status();
      const manager = await connection.jetstreamManager({ timeout: REQUEST_TIMEOUT_MS, checkAPI: false });
      if (replicas < REPLICAS_WANTED && streamInfo.cluster !== undefined) void addReplicas(connection, manager);
      return new Bucket(kv, js, manager, (connection.info?.max_payload ?? 1024 * 1024) - ENVELOPE_BYTES);
    } catch (error) {
      throw toUnavailable(error, `The bucket ${BUCKET} cannot be opened`);
    }
  }

  /** Null when there is no such key. @throws FluxError `unavailable` */
  async get(key: string): Promise<Entry | null> {
    const entry = await this.#guard(`read ${key}`, () => this.#kv.get(key));
    if (entry === null || entry.operation !== 'PUT') return null;
    return { value: unpack(entry.value), sequence: entry.revision };
  }

  /**
   * Writes the key if its last write is the one that is known; null: if it was never written. In a cluster two that write at once may
   * both succeed: only for values that are the same whoever writes them. Else: swap().
   * @throws ConflictError when it is not, FluxError `unavailable`: it may have been written nevertheless
   */
  async put(key: string, value: unknown, after: Entry | null): Promise<void> {
    const bytes = this.#pack(key, value);
    await this.#guard(`write ${key}`, () => (after === null ? this.#kv.create(key, bytes) : this.#kv.update(key, bytes, after.sequence)));
  }

  /**
   * Writes the key if its last write is the one that is known, and of several that do so at once only one succeeds. A cluster of servers
   * checks the last number of a key when its leader takes a message, against what is stored by then (2.9.10: of three that wrote at once
   * two or three succeeded, in five rounds of six); the last number of the whole bucket it checks when the message is stored. Both are
   * sent: a server that was held up may answer with an old state of the key, and the other number alone would let that pass.
   * @throws as put(); FluxError `unavailable` also when other keys are written all the time: it was not written then
   */
  async swap(key: string, value: unknown, after: Entry | null): Promise<void> {
    const bytes = this.#pack(key, value);
    for (let attempt = 1; ; attempt++) {
      // In this order: whatever is written after the number was read makes the write fail, and what was written before is seen.
      const lastSequence = await this.#guard(
        'be asked for its state',
        async () => (await this.#manager.streams.info(STREAM)).state.last_seq,
      );
      const now = await this.get(key);
      if (now?.sequence !== after?.sequence) throw new ConflictError(`write ${key}`);
      // A key that was deleted has a number that get() does not tell.
      const expect = after === null ? { lastSequence } : { lastSequence, lastSubjectSequence: after.sequence };
      try {
        await this.#guard(`write ${key}`, () => this.#js.publish(`${SUBJECTS}.${key}`, bytes, { expect }));
        return;
      } catch (error) {
        // Another key may have been written in between.
        if (!(error instanceof ConflictError)) throw error;
        if (attempt === SWAP_ATTEMPTS) throw new FluxError('unavailable', 'The store is too busy: others write to it all the time');
        await pause(Math.random() * SWAP_PAUSE_MS);
      }
    }
  }

  /** Removes keys without a trace: their places are free. @throws FluxError `unavailable` */
  async drop(keys: readonly string[]): Promise<void> {
    for (const key of keys) await this.#guard(`drop ${key}`, () => this.#manager.streams.purge(STREAM, { filter: `${SUBJECTS}.${key}` }));
  }

  /** Bytes that one server keeps. @throws FluxError `unavailable` */
  async bytes(): Promise<number> {
    return (await this.#guard('be asked for its size', () => this.#manager.streams.info(STREAM))).state.bytes;
  }

  #pack(key: string, value: unknown): Uint8Array {
    const bytes = pack(value);
    if (bytes.length > this.#bytesMax) throw new FluxError('too-large', `${key} has ${bytes.length} bytes; NATS takes ${this.#bytesMax}`);
    return bytes;
  }

  /** True when the value, packed, goes into one message. */
  fits(value: unknown): boolean {
    return pack(value).length <= this.#bytesMax;
  }

  async #guard<T>(what: string, work: () => Promise<T>): Promise<T> {
    const deadline = steadyNow() + LEADERLESS_MS;
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (WRONG_LAST_SEQUENCE.includes((error as NatsError).api_error?.err_code ?? 0)) throw new ConflictError(what);
        // Nobody has taken the request, so that it may be made again: an election takes about a second.
        const isUntaken = (error as NatsError).code === ErrorCode.NoResponders;
        if (!isUntaken || steadyNow() > deadline) throw toUnavailable(error, `The bucket ${BUCKET} cannot ${what}`);
        await pause(LEADERLESS_PAUSE_MS);
      }
    }
  }
}

/** Attempts it as long as the connection lives: a server may be on its way. Two servers cannot hold three copies, and need not. */
async function addReplicas(connection: NatsConnection, manager: JetStreamManager): Promise<void> {
  while (!connection.isClosed()) {
    try {
      await manager.streams.update(STREAM, { num_replicas: REPLICAS_WANTED });
      return;
    } catch {
      // Nobody waits for it, and the next attempt tells whether it matters.
      await sleep(REPLICAS_PAUSE_MS, undefined, { ref: false });
    }
  }
}

/** NATS says little: codes are turned into words. */
export function toUnavailable(error: unknown, what: string): FluxError {
  if (error instanceof FluxError) return error;
  const code = (error as { code?: string }).code;
  const words: Record<string, string> = {
    '503': 'JetStream does not answer (is it enabled, and has it a leader?)',
    TIMEOUT: 'no answer in time',
    CONNECTION_CLOSED: 'the connection was lost',
    DISCONNECT: 'the connection was lost',
  };
  const why = words[code ?? ''] ?? messageOf(error);
  return new FluxError('unavailable', `${what}: ${why}`, { cause: error });
}

function pack(value: unknown): Uint8Array {
  return deflateRawSync(JSON.stringify(value));
}

function unpack(bytes: Uint8Array): unknown {
  return JSON.parse(inflateRawSync(bytes).toString('utf8'));
}
