/** The bytes of a batch between two peers: publish records, QoS 0 runs and namespace names, one after the other. */

import type { ReadTurn } from '../../../src/kernel/turns/read-turn.ts';
import type { QoS } from '../../../src/mqtt/packet.ts';
import { EMPTY, Message } from '../messages/message.ts';
import type { Run } from '../messages/run.ts';
import { UNSTAMPED } from '../messages/stamp.ts';
import type { PeerPublish } from '../routing/peer.ts';

/** A batch is cut into buffers of at most this size, unless one record is larger. */
const BATCH_BYTES = 1024 * 1024;
const FIRST_BYTES = 2048;
/** Records of one source after which its floor is repeated. */
const FLOOR_RECORDS = 256;
/** More bytes than the names of a namespace and of a source take. */
const NAMES_BYTES = 1024;

/** Records and bytes that are read in one piece. */
const PIECE_RECORDS = 64;
const PIECE_BYTES = 64 * 1024;
/** Cost of a record in a turn: the record may be stored, or have thousands of subscribers. */
const RECORD_UNITS = 64;

const KIND = { publish: 1, run: 2, namespace: 3, source: 4, givenOn: 5 } as const;
/** kind, length, namespace index */
const HEAD = 7;
/** time and node of a stamp */
const STAMP_BYTES = 8 + 4;

const FLAG = { retain: 4, toSubscribers: 8, store: 16, expires: 32, forward: 64, groups: 128 } as const;

/** Differences from the batches of an ordinary pair of peers. */
export interface BatchForm {
  /**
   * Returns the floor of a source: the writer sends no new message of that source whose serial is the floor or lower. Null: the writer sends
   * its own messages alone, and records name no source.
   */
  floorOf: ((source: number) => number) | null;
  /** each buffer can be read without the buffers before it */
  isWhole: boolean;
}

const PLAIN: BatchForm = { floorOf: null, isWhole: false };

/** One filled buffer, ready to be transferred. */
export interface BatchPart {
  buffer: ArrayBuffer;
  used: number;
}

export class BatchWriter {
  #buffer: Buffer | null = null;
  #used = 0;
  #lastBytes = FIRST_BYTES;
  readonly #namespaces = new Map<string, number>();
  readonly #form: BatchForm;
  /** source of the last record */
  #source = -1;
  /** records since the source was named */
  #unnamed = 0;
  #full: BatchPart[] = [];

  /** Bytes ever written. */
  written = 0;

  constructor(form: BatchForm = PLAIN) {
    this.#form = form;
  }

  /** True when nothing waits for take(). */
  get isEmpty(): boolean {
    return this.#used === 0 && this.#full.length === 0;
  }

  publish(namespace: string, record: PeerPublish): void {
    const { message, groups } = record;
    // Only stored and retained messages need the publisher: they outlive the worker that knows the publisher's session.
    const from = message.retain || record.store || message.isGivenOn ? message.from : '';
    let size = HEAD + 1 + 8 + 2 + message.topic.length + 2 + from.length * 3 + message.payload.length;
    let flags: number = message.qos;
    if (message.retain) {
      flags |= FLAG.retain;
      size += 2 + message.origin.length * 3 + STAMP_BYTES;
    }
    if (record.toSubscribers) flags |= FLAG.toSubscribers;
    if (record.store) flags |= FLAG.store;
    if (message.expiresAt !== 0) {
      flags |= FLAG.expires;
      size += 8;
    }
    if (message.forward.length > 0) {
      flags |= FLAG.forward;
      size += 4 + message.forward.length;
    }
    if (groups !== null) {
      flags |= FLAG.groups;
      size += 2;
      for (const group of groups) size += 2 + group.length * 3;
    }
    if (this.#form.isWhole) this.#makeRoom(size);
    const index = this.#namespaceIndex(namespace);
    const { floorOf } = this.#form;
    if (floorOf !== null && (message.source !== this.#source || ++this.#unnamed === FLOOR_RECORDS))
      this.#nameSource(message.source, floorOf(message.source));
    const start = this.#reserve(size);
    const b = this.#buffer!;
    let at = start + HEAD;
    at = b.writeUInt8(flags, at);
    at = b.writeDoubleLE(message.serial, at);
    at = b.writeUInt16LE(message.topic.length, at);
    at += b.latin1Write(message.topic, at);
    at = writeText(b, from, at);
    if (message.retain) {
      at = writeText(b, message.origin, at);
      at = b.writeDoubleLE(message.stamp.at, at);
      at = b.writeUInt32LE(message.stamp.by, at);
    }
    if (message.expiresAt !== 0) at = b.writeDoubleLE(message.expiresAt, at);
    if (message.forward.length > 0) {
      at = b.writeUInt32LE(message.forward.length, at);
      at += message.forward.copy(b, at);
    }
    if (groups !== null) {
      at = b.writeUInt16LE(groups.length, at);
      for (const group of groups) at = writeText(b, group, at);
    }
    at += message.payload.copy(b, at);
    this.#head(start, message.isGivenOn ? KIND.givenOn : KIND.publish, at, index);
  }

  run(namespace: string, run: Run): void {
    if (this.#form.isWhole) this.#makeRoom(HEAD + 5 + run.end - run.start);
    const index = this.#namespaceIndex(namespace);
    const start = this.#reserve(HEAD + 5 + run.end - run.start);
    const b = this.#buffer!;
    b[start + HEAD] = run.version;
    b.writeUInt32LE(run.count, start + HEAD + 1);
    run.buf.copy(b, start + HEAD + 5, run.start, run.end);
    this.#head(start, KIND.run, start + HEAD + 5 + run.end - run.start, index);
  }

  /** Begins a new buffer unless a record of this size, with its namespace and its source, fits into the present one. */
  #makeRoom(size: number): void {
    if (this.#used > 0 && this.#used + size + NAMES_BYTES > BATCH_BYTES) this.#close();
  }

  #nameSource(source: number, floor: number): void {
    this.#source = source;
    this.#unnamed = 0;
    const start = this.#reserve(HEAD + 16);
    const b = this.#buffer!;
    const at = b.writeDoubleLE(source, start + HEAD);
    this.#head(start, KIND.source, b.writeDoubleLE(floor, at), 0);
  }

  #namespaceIndex(name: string): number {
    let index = this.#namespaces.get(name);
    if (index !== undefined) return index;
    index = this.#namespaces.size;
    this.#namespaces.set(name, index);
    const start = this.#reserve(HEAD + name.length * 3);
    const at = start + HEAD + this.#buffer!.utf8Write(name, start + HEAD);
    this.#head(start, KIND.namespace, at, index);
    return index;
  }

  #head(start: number, kind: number, end: number, index: number): void {
    const b = this.#buffer!;
    b[start] = kind;
    b.writeUInt32LE(end - start, start + 1);
    b.writeUInt16LE(index, start + 5);
    this.#used = end;
    this.written += end - start;
  }

  #reserve(bytes: number): number {
    let buffer = this.#buffer;
    if (buffer !== null && this.#used + bytes > buffer.length) {
      if (this.#used + bytes > BATCH_BYTES && !this.#form.isWhole) {
        this.#close();
        buffer = null;
      } else {
        const bigger = Buffer.allocUnsafeSlow(Math.max(Math.min(BATCH_BYTES, buffer.length * 2), this.#used + bytes));
        buffer.copy(bigger, 0, 0, this.#used);
        buffer = this.#buffer = bigger;
      }
    }
    if (buffer === null) this.#buffer = Buffer.allocUnsafeSlow(Math.max(bytes, this.#lastBytes));
    return this.#used;
  }

  #close(): void {
    if (this.#buffer === null) return;
    this.#full.push({ buffer: this.#buffer.buffer as ArrayBuffer, used: this.#used });
    this.#lastBytes = Math.max(FIRST_BYTES, Math.min(BATCH_BYTES, this.#used * 2));
    this.#buffer = null;
    this.#used = 0;
    if (!this.#form.isWhole) return;
    this.#namespaces.clear();
    this.#source = -1;
  }

  /** Everything written since the last take(). The caller owns the buffers and transfers them. */
  take(): BatchPart[] {
    this.#close();
    const parts = this.#full;
    this.#full = [];
    return parts;
  }
}

function writeText(b: Buffer, text: string, at: number): number {
  const bytes = b.utf8Write(text, at + 2);
  b.writeUInt16LE(bytes, at);
  return at + 2 + bytes;
}

/** Takes the content of a batch. */
export interface RecordSink {
  onPublish(namespace: string, record: PeerPublish): void;
  onRun(namespace: string, run: Run): void;
  /** The messages that follow come from this source. See BatchForm.floorOf */
  onSource?(source: number, floor: number): void;
}

/** Reads the batches of one peer; remembers its namespace names. */
export class BatchReader {
  readonly #namespaces: string[] = [];
  readonly #sourceBase: number;
  #source: number;
  /** added to moments of expiry: the clock of this process minus the clock of the writer's process (ms) */
  clockShift = 0;

  /**
   * @param source the peer that writes the batches
   * @param sourceBase added to sources that records name
   */
  constructor(source: number, sourceBase = 0) {
    this.#source = source;
    this.#sourceBase = sourceBase;
  }

  /**
   * Reads some records, from the byte `from` on: fewer when the turn is over.
   * @returns where to continue; `part.used`: the batch is read
   */
  read(part: BatchPart, from: number, sink: RecordSink, turn: ReadTurn): number {
    const b = Buffer.from(part.buffer, 0, part.used);
    return this.#read(b, from, Math.min(part.used, from + PIECE_BYTES), PIECE_RECORDS, sink, turn);
  }

  /** Reads a whole batch. The records are valid as long as its bytes. */
  readAll(batch: Buffer, sink: RecordSink): void {
    this.#read(batch, 0, batch.length, Number.POSITIVE_INFINITY, sink, null);
  }

  #read(b: Buffer, from: number, until: number, records: number, sink: RecordSink, turn: ReadTurn | null): number {
    let at = from;
    for (let left = records; at < until && left > 0; left--) {
      const kind = b[at]!;
      const end = at + b.readUInt32LE(at + 1);
      const index = b.readUInt16LE(at + 5);
      const body = at + HEAD;
      if (kind === KIND.namespace) this.#namespaces[index] = b.utf8Slice(body, end);
      else if (kind === KIND.source) {
        this.#source = this.#sourceBase + b.readDoubleLE(body);
        sink.onSource?.(this.#source, b.readDoubleLE(body + 8));
      } else if (kind === KIND.run) {
        const version = b[body] === 5 ? 5 : 4;
        const run: Run = { buf: b, start: body + 5, end, count: b.readUInt32LE(body + 1), version, other: null, from: '' };
        sink.onRun(this.#namespaces[index]!, run);
      } else {
        const record = this.#publish(b, body, end);
        record.message.isGivenOn = kind === KIND.givenOn;
        sink.onPublish(this.#namespaces[index]!, record);
      }
      at = end;
      if (turn?.worked(RECORD_UNITS)) break;
    }
    return at;
  }

  #publish(b: Buffer, at: number, end: number): PeerPublish {
    const flags = b[at]!;
    const serial = b.readDoubleLE(at + 1);
    const topicLength = b.readUInt16LE(at + 9);
    at += 11;
    const topic = b.latin1Slice(at, at + topicLength);
    at += topicLength;
    const fromLength = b.readUInt16LE(at);
    const from = fromLength === 0 ? '' : b.utf8Slice(at + 2, at + 2 + fromLength);
    at += 2 + fromLength;
    let origin = '';
    let stamp = UNSTAMPED;
    if (flags & FLAG.retain) {
      const length = b.readUInt16LE(at);
      origin = b.utf8Slice(at + 2, at + 2 + length);
      at += 2 + length;
      stamp = { at: b.readDoubleLE(at), by: b.readUInt32LE(at + 8) };
      at += STAMP_BYTES;
    }
    let expiresAt = 0;
    if (flags & FLAG.expires) {
      expiresAt = b.readDoubleLE(at) + this.clockShift;
      at += 8;
    }
    let forward = EMPTY;
    if (flags & FLAG.forward) {
      const length = b.readUInt32LE(at);
      forward = b.subarray(at + 4, at + 4 + length);
      at += 4 + length;
    }
    let groups: string[] | null = null;
    if (flags & FLAG.groups) {
      groups = [];
      const count = b.readUInt16LE(at);
      at += 2;
      for (let i = 0; i < count; i++) {
        const length = b.readUInt16LE(at);
        groups.push(b.utf8Slice(at + 2, at + 2 + length));
        at += 2 + length;
      }
    }
    const message = new Message(topic, b.subarray(at, end), (flags & 3) as QoS, (flags & FLAG.retain) !== 0, forward, expiresAt, from);
    message.source = this.#source;
    message.serial = serial;
    message.origin = origin;
    message.stamp = stamp;
    return { message, toSubscribers: (flags & FLAG.toSubscribers) !== 0, groups, store: (flags & FLAG.store) !== 0 };
  }
}
