/** The channel to one peer: batches of publishes and controls in one ordered stream, one post per loop iteration, with credit. */

import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { steadyNow } from '../../../src/kernel/clock.ts';
import { ReadTurn, type TurnTaker } from '../../../src/kernel/turns/read-turn.ts';
import { crossing } from '../../../src/metrics/crossing.ts';
import { loopDelay } from '../../../src/metrics/loop-delay.ts';
import type { WorkerRole } from '../../../src/thread/commands.ts';
import { beat } from '../../../src/thread/heartbeat.ts';
import type { Run } from '../messages/run.ts';
import type { Peer, PeerPublish } from '../routing/peer.ts';
import type { Control } from '../wire/controls.ts';
import { type BatchForm, type BatchPart, BatchReader, BatchWriter } from '../wire/records.ts';
import { type Frame, Inbox } from './inbox.ts';
import type { Repeats } from './repeats.ts';

/**
 * Bytes without credit at a peer. Above this limit QoS 0 messages to the peer are dropped and QoS 1/2 publishers are paused; at half of the
 * limit the pause ends.
 */
const OVERLOAD_BYTES = 16 * 1024 * 1024;
/** Bytes after which a receiver reports them as handled. */
const CREDIT_BYTES = 256 * 1024;

/** Milliseconds of one loop iteration for the posts of all peers. */
const TURN_MS = 10;
/** The turn that all peers of this thread share. */
const peerTurn = new ReadTurn(steadyNow, TURN_MS);

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

/** Posts now what waits for the end of the loop iteration. */
export function flushPeers(): void {
  if (scheduled.length > 0) flushScheduled();
}

function flushScheduled(): void {
  beforePost();
  const links = scheduled;
  scheduled = [];
  for (const link of links) if (link.role === 'session') link.flush();
  for (const link of links) if (link.role !== 'session') link.flush();
}

export interface LinkOwner extends RecordSinkOfPeer {
  /** messages of other nodes that have come already */
  readonly repeats: Repeats;
  onControl(link: PeerLink, control: Control): void;
  /** A turn of the peer is over: everything handled in it has been routed. */
  onWorked(link: PeerLink): void;
  /** Everything written so far is about to be posted. */
  onFlush(): void;
  /** The peer has caught up after an overload. */
  onRelieved(link: PeerLink): void;
}

export interface RecordSinkOfPeer {
  onPublish(link: PeerLink, namespace: string, record: PeerPublish): void;
  onRun(link: PeerLink, namespace: string, run: Run): void;
}

export class PeerLink implements Peer, TurnTaker {
  readonly id: number;
  readonly role: WorkerRole;
  readonly #port: MessagePort;
  readonly #owner: LinkOwner;
  readonly #writer: BatchWriter;
  readonly #inbox: Inbox;
  /** true while the inbox waits for its next turn */
  #isWaiting = false;
  #isClosed = false;
  #parts: (BatchPart | Control[])[] = [];
  #isScheduled = false;
  #outstanding = 0;
  #uncredited = 0;
  #wasOverloaded = false;

  /** @param form of the batches that go to the peer */
  constructor(id: number, role: WorkerRole, port: MessagePort, owner: LinkOwner, form?: BatchForm) {
    this.id = id;
    this.role = role;
    this.#port = port;
    this.#owner = owner;
    this.#writer = new BatchWriter(form);
    this.#inbox = new Inbox(new BatchReader(id), {
      records: {
        onPublish: (namespace, record) => owner.onPublish(this, namespace, record),
        onRun: (namespace, run) => owner.onRun(this, namespace, run),
        onSource: (source, floor) => owner.repeats.raise(source, floor),
      },
      onControl: (control) => this.#take(control),
      onBatch: (bytes) => this.#workedOff(bytes),
    });
    port.on('message', (frame: Frame) => {
      loopDelay.touch();
      this.#inbox.push(frame);
      if (this.#isWaiting) return;
      if (peerTurn.isOver) this.#wait();
      else this.#work();
    });
  }

  /** Set by the owner: true from the peer's last piece of interest until the peer ends. */
  isKnown = false;
  /** true when the peer has ended, while its last messages are handled */
  isEnding = false;

  get isOverloaded(): boolean {
    return this.#outstanding > OVERLOAD_BYTES;
  }

  publish(namespace: string, record: PeerPublish): void {
    const before = this.#writer.written;
    this.#writer.publish(namespace, record);
    this.#count(1);
    this.#wrote(this.#writer.written - before);
  }

  publishRun(namespace: string, run: Run): void {
    const before = this.#writer.written;
    this.#writer.run(namespace, run);
    this.#count(run.count);
    this.#wrote(this.#writer.written - before);
  }

  #count(messages: number): void {
    if (this.role === 'endpoint') crossing.messages += messages;
    else if (this.role === 'relay') crossing.toRelay += messages;
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

  #wait(): void {
    this.#isWaiting = true;
    peerTurn.wait(this, 0);
  }

  onTurn(): void {
    this.#isWaiting = false;
    if (!this.#isClosed) this.#work();
  }

  /** Handles in turns what has come, so that a busy peer does not hold up the rest of this thread. */
  #work(): void {
    // Many turns may follow one another before the timer of the heartbeat fires.
    beat();
    if (!this.#inbox.work(peerTurn)) this.#wait();
    this.#owner.onWorked(this);
  }

  #take(control: Control): void {
    if (control.t === 'credit') this.#credit(control.bytes);
    else this.#owner.onControl(this, control);
  }

  #workedOff(bytes: number): void {
    this.#uncredited += bytes;
    if (this.#uncredited < CREDIT_BYTES) return;
    this.control({ t: 'credit', bytes: this.#uncredited });
    this.#uncredited = 0;
  }

  /** Moves everything that the peer has posted into its inbox. Node reads the ports of different peers in no particular order. */
  pull(): void {
    for (let posted = this.#receive(); posted !== undefined; posted = this.#receive()) this.#inbox.push(posted);
    if (!this.#inbox.isEmpty && !this.#isWaiting) this.#wait();
  }

  #receive(): Frame | undefined {
    return receiveMessageOnPort(this.#port)?.message as Frame | undefined;
  }

  /** Number of frames that have come. */
  get taken(): number {
    return this.#inbox.taken;
  }

  get worked(): number {
    return this.#isClosed ? this.#inbox.taken : this.#inbox.done;
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
    this.#isClosed = true;
    this.#port.removeAllListeners('message');
    this.#port.close();
  }
}
