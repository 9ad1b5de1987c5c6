/** One publisher. Its packets are built once; a run of them is stamped and written with one system call. */

import type { Load } from '../scenario.ts';
import { micros } from './clock.ts';
import type { Link } from './link.ts';
import { publish, type Template } from './packets.ts';

const RUN_BYTES = 64 * 1024;

export class Publisher {
  readonly index: number;
  readonly link: Link;
  readonly #qos: number;
  readonly #window: number;
  /** packets in one buffer, all of the same size */
  #run: Buffer;
  readonly #size: number;
  readonly #slots: number;
  /** true for several topics: the slots are used in turn */
  readonly #isCyclic: boolean;
  readonly #template: Template;
  sent = 0;
  /** messages that have arrived, times their receivers */
  delivered = 0;
  acknowledged = 0;
  /** receivers of each message */
  readonly receivers: number;
  /** true while the publisher is in the list of those that can send */
  isQueued = false;
  #isBlocked = false;

  constructor(load: Load, index: number, link: Link, topics: readonly string[], receivers: number) {
    this.index = index;
    this.link = link;
    this.receivers = receivers;
    this.#qos = load.qos;
    this.#window = load.window;
    const templates = topics.map((topic) => publish(load, topic, index));
    this.#template = templates[0]!;
    this.#size = this.#template.bytes.length;
    this.#isCyclic = topics.length > 1;
    this.#slots = this.#isCyclic ? topics.length : Math.max(1, Math.min(1024, Math.floor(RUN_BYTES / this.#size)));
    const parts: Buffer[] = [];
    for (let i = 0; i < this.#slots; i++) parts.push(templates[i % templates.length]!.bytes);
    this.#run = Buffer.concat(parts);
  }

  /** Number of messages that the window now allows. */
  get credit(): number {
    const done = Math.floor(this.delivered / this.receivers);
    return this.#window - (this.sent - (this.#qos === 0 || done < this.acknowledged ? done : this.acknowledged));
  }

  /** Sends up to `count` messages with the timestamp `at` (microseconds). @returns how many */
  send(count: number, at: number): number {
    let left = count;
    while (left > 0 && !this.#isBlocked) {
      const slot = this.#isCyclic ? this.sent % this.#slots : 0;
      const number = Math.min(left, this.#slots - slot);
      this.#write(slot, number, at);
      left -= number;
    }
    return count - left;
  }

  #write(slot: number, count: number, at: number): void {
    const { idAt, stampAt, variableAt } = this.#template;
    const run = this.#run;
    for (let i = 0, start = slot * this.#size; i < count; i++, start += this.#size) {
      const sequence = ++this.sent;
      let k = start + stampAt + 4;
      run[k++] = sequence >>> 24;
      run[k++] = sequence >>> 16;
      run[k++] = sequence >>> 8;
      run[k++] = sequence;
      run[k++] = at >>> 24;
      run[k++] = at >>> 16;
      run[k++] = at >>> 8;
      run[k] = at;
      if (variableAt >= 0) writeDigits(run, start + variableAt, sequence);
      if (idAt < 0) continue;
      const id = (sequence % 65_535) + 1;
      run[start + idAt] = id >> 8;
      run[start + idAt + 1] = id;
    }
    if (this.link.send(run.subarray(slot * this.#size, (slot + count) * this.#size))) return;
    // The bytes belong to the socket until it has drained.
    this.#isBlocked = true;
    this.#run = Buffer.from(run);
    this.link.onceWritable(() => {
      this.#isBlocked = false;
    });
  }

  /** True when the free part of the window is worth a system call. */
  get isReady(): boolean {
    return this.credit >= Math.max(1, this.#window >> 2);
  }

  sendWindow(): number {
    return this.isReady ? this.send(this.credit, micros()) : 0;
  }
}

function writeDigits(target: Buffer, at: number, value: number): void {
  for (let i = at + 3; i >= at; i--) {
    target[i] = 0x30 + (value % 10);
    value = Math.floor(value / 10);
  }
}
