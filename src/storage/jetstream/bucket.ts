/** The JetStream key-value bucket of the store: keys, compare-and-set, and failures as the errors of the contract. */

import { setTimeout as sleep } from 'node:timers/promises';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { ErrorCode, type JetStreamClient, type JetStreamManager, type KV, type NatsConnection, type NatsError, StorageType } from 'nats';
import { steadyNow } from '../../kernel/clock.ts';
import { pause } from '../../kernel/deadline.ts';
import { FluxError, messageOf } from '../../kernel/errors.ts';

/** Users see this name (docs/cluster.md). */
const BUCKET = 'ENDPOINT_CONFIG';
/** A bucket is a stream of this name, and each key is one of its subjects (NATS ADR-8). */
const STREAM = `KV_${BUCKET}`;
const SUBJECTS = `$KV.${BUCKET}`;
/** Timeout of one request to JetStream. */
const REQUEST_TIMEOUT_MS = 1_500;
/** How long a request without a responder is repeated. Less than the time within which a change reports that the store is away. */
const LEADERLESS_MS = 1_000;
const LEADERLESS_PAUSE_MS = 100;
const REPLICAS_WANTED = 3;
const REPLICAS_PAUSE_MS = 5_000;
/** JetStream's error codes for an impossible number of replicas: on a standalone server, and with too few servers at the moment. */
const NOT_CLUSTERED = 10074;
const TOO_FEW_SERVERS = 10005;
/** JetStream's error codes for a wrong last sequence. Newer servers use the second one while a write to the key is in progress. */
const WRONG_LAST_SEQUENCE = [10071, 10164];
/** How often swap() tries again when other keys were written in between. Those writes are few: they belong to concurrent changes. */
const SWAP_ATTEMPTS = 20;
/** Longest random pause between two attempts, milliseconds. Randomness keeps two writers from colliding in step. */
const SWAP_PAUSE_MS = 10;
/** Bytes of a message that stay free for headers and subject. */
const ENVELOPE_BYTES = 4096;

/** A value, and the bucket's sequence number of its last write. */
export interface BucketEntry {
  readonly value: unknown;
  readonly sequence: number;
}

/** Another writer changed the key. */
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
   * Opens the bucket and creates it when missing, with as many replicas as the servers allow. A bucket with too few replicas gets more
   * later.
   * @param isPatient true while servers may still be starting: a bucket that would get too few replicas now is not created yet
   * @throws FluxError `unavailable`
   */
  static async open(connection: NatsConnection, storage: 'file' | 'memory', isPatient: boolean): Promise<Bucket> {
    const js = connection.jetstream({ timeout: REQUEST_TIMEOUT_MS });
    const options = {
      history: 1,
      timeout: REQUEST_TIMEOUT_MS,
      storage: storage === 'file' ? StorageType.File : StorageType.Memory,
      // Only the leader answers reads: a replica may be far behind.
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
  async get(key: string): Promise<BucketEntry | null> {
    const entry = await this.#guard(`read ${key}`, () => this.#kv.get(key));
    if (entry === null || entry.operation !== 'PUT') return null;
    return { value: unpack(entry.value), sequence: entry.revision };
  }

  /**
   * Writes the key if its last write is `after`; null: if the key was never written. In a cluster two concurrent writes may both succeed,
   * so put() is only for values that are the same whichever node writes them. Use swap() for all others.
   * @throws ConflictError when the last write is another one; FluxError `unavailable`: the value may have been written nevertheless
   */
  async put(key: string, value: unknown, after: BucketEntry | null): Promise<void> {
    const bytes = this.#pack(key, value);
    await this.#guard(`write ${key}`, () => (after === null ? this.#kv.create(key, bytes) : this.#kv.update(key, bytes, after.sequence)));
  }

  /**
   * Writes the key if its last write is `after`. Only one of several concurrent writers succeeds. The leader of a cluster checks the last
   * sequence of a key when it accepts a message, against the state stored so far (2.9.10: with three concurrent writers two or three
   * succeeded, in five rounds of six). The leader checks the last sequence of the whole bucket when it stores the message. swap() sends both: a
   * server that was held up may answer with an old state of the key, and the sequence of the bucket alone would let that pass.
   * @throws as put(); FluxError `unavailable` also when other keys are written all the time: nothing was written in that case
   */
  async swap(key: string, value: unknown, after: BucketEntry | null): Promise<void> {
    const bytes = this.#pack(key, value);
    for (let attempt = 1; ; attempt++) {
      // The sequence comes first: a write after that makes this write fail, and a write before it is visible to get().
      const lastSequence = await this.#guard('report its state', async () => (await this.#manager.streams.info(STREAM)).state.last_seq);
      const now = await this.get(key);
      if (now?.sequence !== after?.sequence) throw new ConflictError(`write ${key}`);
      // A deleted key has a sequence that get() does not return, so no key sequence is expected.
      const expect = after === null ? { lastSequence } : { lastSequence, lastSubjectSequence: after.sequence };
      try {
        await this.#guard(`write ${key}`, () => this.#js.publish(`${SUBJECTS}.${key}`, bytes, { expect }));
        return;
      } catch (error) {
        // A write of another key causes the same conflict.
        if (!(error instanceof ConflictError)) throw error;
        if (attempt === SWAP_ATTEMPTS) throw new FluxError('unavailable', 'The store is too busy: other writers keep changing it');
        await pause(Math.random() * SWAP_PAUSE_MS);
      }
    }
  }

  /** Purges keys and frees their space. @throws FluxError `unavailable` */
  async drop(keys: readonly string[]): Promise<void> {
    for (const key of keys) await this.#guard(`drop ${key}`, () => this.#manager.streams.purge(STREAM, { filter: `${SUBJECTS}.${key}` }));
  }

  /** Bytes that one server keeps for the bucket. @throws FluxError `unavailable` */
  async bytes(): Promise<number> {
    return (await this.#guard('report its size', () => this.#manager.streams.info(STREAM))).state.bytes;
  }

  #pack(key: string, value: unknown): Uint8Array {
    const bytes = pack(value);
    if (bytes.length > this.#bytesMax) throw new FluxError('too-large', `${key} has ${bytes.length} bytes; NATS takes ${this.#bytesMax}`);
    return bytes;
  }

  /** True when the packed value fits into one message. */
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
        // No server took the request, so repeating it is safe. An election takes about a second.
        const isUntaken = (error as NatsError).code === ErrorCode.NoResponders;
        if (!isUntaken || steadyNow() > deadline) throw toUnavailable(error, `The bucket ${BUCKET} cannot ${what}`);
        await pause(LEADERLESS_PAUSE_MS);
      }
    }
  }
}

/** Adds replicas as soon as the servers allow it, until the connection closes. Two servers never hold three replicas, which is fine. */
async function addReplicas(connection: NatsConnection, manager: JetStreamManager): Promise<void> {
  while (!connection.isClosed()) {
    try {
      await manager.streams.update(STREAM, { num_replicas: REPLICAS_WANTED });
      return;
    } catch {
      // Nothing depends on the result; the next attempt shows whether the failure lasts.
      await sleep(REPLICAS_PAUSE_MS, undefined, { ref: false });
    }
  }
}

/** Turns the terse error codes of NATS into words. */
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
