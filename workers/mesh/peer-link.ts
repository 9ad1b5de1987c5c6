/** The channel to one peer: batches of publishes and controls in one ordered stream, one post per loop iteration, with credit. */

import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { crossing } from '../../src/metrics/crossing.ts';
import { loopDelay } from '../../src/metrics/loop-delay.ts';
import { beat } from '../../src/thread/heartbeat.ts';
import type { WorkerRole } from '../../src/thread/messages.ts';
import type { Peer, PeerPublish } from '../routing/peer.ts';
import type { Run } from '../routing/subscriber.ts';
import type { Control } from './controls.ts';
import { type BatchPart, BatchReader, BatchWriter, type RecordSink } from './records.ts';

/**
 * Bytes that a peer may be behind. Above it, QoS 0 to the peer is dropped and QoS 1/2 publishers are paused; at half of it the pause ends.
 */
const OVERLOAD_BYTES = 16 * 1024 * 1024;
/** Bytes after which a receiver reports them as handled. */
const CREDIT_BYTES = 256 * 1024;

/** One post: its parts in order, each a batch buffer or a list of controls. */
interface Frame {
  parts: (BatchPart | Control[])[];
}

/**
 * Links with something to send, flushed together at the end of the loop iteration, the session worker's link first. A worker may learn from
 * one peer that a message was routed and then ask the session worker, which must already have that message.
 */
let scheduled: PeerLink[] = [];
let beforePost = (): void => {};

/** Calls `then` before each post to peers, so that it can make the posted controls true. */
export function onBeforePost(then: () => void): void {
  beforePost = then;
}

function flushScheduled(): void {
  beforePost();
  const links = scheduled;
  scheduled = [];
  for (const link of links) if (link.role === 'session') link.flush();
  for (const link of links) if (link.role !== 'session') link.flush();
}

export interface LinkOwner extends RecordSinkOfPeer {
  /** A frame is about to be handled. */
  onFrameBegin(link: PeerLink): void;
  onControl(link: PeerLink, control: Control): void;
  /** A frame is handled: everything in it is routed. */
  onFrameEnd(): void;
  /** Everything sent so far is about to be posted. */
  onFlush(): void;
  /** The peer has caught up after an overload. */
  onRelieved(link: PeerLink): void;
}

export interface RecordSinkOfPeer {
  onPublish(link: PeerLink, namespace: string, record: PeerPublish): void;
  onRun(link: PeerLink, namespace: string, run: Run): void;
}

export class PeerLink implements Peer {
  readonly id: number;
  readonly role: WorkerRole;
  readonly #port: MessagePort;
  readonly #owner: LinkOwner;
  readonly #writer = new BatchWriter();
  readonly #reader: BatchReader;
  readonly #sink: RecordSink;
  #parts: (BatchPart | Control[])[] = [];
  #isScheduled = false;
  #outstanding = 0;
  #uncredited = 0;
  #wasOverloaded = false;

  constructor(id: number, role: WorkerRole, port: MessagePort, owner: LinkOwner) {
    this.id = id;
    this.role = role;
    this.#port = port;
    this.#owner = owner;
    this.#reader = new BatchReader(id);
    this.#sink = {
      onPublish: (namespace, record) => owner.onPublish(this, namespace, record),
      onRun: (namespace, run) => owner.onRun(this, namespace, run),
    };
    port.on('message', (frame: Frame) => {
      loopDelay.touch();
      this.#receive(frame);
    });
  }

  get isOverloaded(): boolean {
    return this.#outstanding > OVERLOAD_BYTES;
  }

  publish(namespace: string, record: PeerPublish): void {
    const before = this.#writer.written;
    this.#writer.publish(namespace, record);
    if (this.role === 'endpoint') crossing.messages++;
    this.#wrote(this.#writer.written - before);
  }

  publishRun(namespace: string, run: Run): void {
    const before = this.#writer.written;
    this.#writer.run(namespace, run);
    if (this.role === 'endpoint') crossing.messages += run.count;
    this.#wrote(this.#writer.written - before);
  }

  #wrote(bytes: number): void {
    this.#outstanding += bytes;
    if (this.#outstanding > OVERLOAD_BYTES) this.#wasOverloaded = true;
    this.#schedule();
  }

  /** Sends a control, behind everything published before it. */
  control(control: Control): void {
    const batch = this.#writer.take();
    if (batch.length > 0) this.#parts.push(...batch);
    const last = this.#parts.at(-1);
    if (Array.isArray(last)) last.push(control);
    else this.#parts.push([control]);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    if (scheduled.push(this) === 1) setImmediate(flushScheduled);
  }

  flush(): void {
    this.#isScheduled = false;
    this.#owner.onFlush();
    const parts = this.#parts;
    parts.push(...this.#writer.take());
    if (parts.length === 0) return;
    this.#parts = [];
    const transfer: ArrayBuffer[] = [];
    for (const part of parts) if (!Array.isArray(part)) transfer.push(part.buffer);
    this.#port.postMessage({ parts } satisfies Frame, transfer);
  }

  #receive(frame: Frame): void {
    // Many frames may be handled before the event loop runs again.
    beat();
    this.#owner.onFrameBegin(this);
    for (const part of frame.parts) {
      if (Array.isArray(part)) {
        for (const control of part) {
          if (control.t === 'credit') this.#credit(control.bytes);
          else this.#owner.onControl(this, control);
        }
      } else {
        this.#uncredited += part.used;
        this.#reader.read(part, this.#sink);
      }
    }
    if (this.#uncredited >= CREDIT_BYTES) {
      this.control({ t: 'credit', bytes: this.#uncredited });
      this.#uncredited = 0;
    }
    this.#owner.onFrameEnd();
  }

  /**
   * Handles at once everything that the peer has posted, because ports of different peers are read in no particular order. Must not be
   * called inside a frame: the later parts of that frame would be overtaken.
   */
  drain(): void {
    for (;;) {
      const posted = receiveMessageOnPort(this.#port);
      if (posted === undefined) return;
      this.#receive(posted.message as Frame);
    }
  }

  #credit(bytes: number): void {
    this.#outstanding -= bytes;
    if (this.#wasOverloaded && this.#outstanding < OVERLOAD_BYTES / 2) {
      this.#wasOverloaded = false;
      this.#owner.onRelieved(this);
    }
  }

  /** Closes the channel; unsent data is lost with the peer. */
  close(): void {
    this.#port.removeAllListeners('message');
    this.#port.close();
  }
}
