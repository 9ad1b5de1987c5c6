/**
 * What strangers may have of the machine's memory: one budget for the node, known to all threads by shared memory. Each thread says what it
 * holds for its clients; who would go over the budget is refused before the heap, or the machine, is full.
 */

import { totalmem } from 'node:os';

const MIB = 1024 * 1024;
const BUDGET = 0;
const MACHINE = 1;
/** 1 while the process has more memory than is good for the machine; written by main. */
const IS_STRAINED = 2;
const HEADER = 4;
/** Threads at once; an endpoint has 64 at most. */
const SLOTS = 1024;
const BUDGET_MIN = 64 * MIB;
/** Part of the machine's memory that is the budget, where no setting says another one. */
const BUDGET_PART = 1 / 4;
/** From this part of the budget on nobody new is let in, so that those who are there can go on. */
const TIGHT_PART = 0.9;
/** Of the budget, what outlives its connection may have: messages that wait for sessions, and their filters, names and wills. With it nobody shuts the others out by going away. */
export const QUEUE_PART = 0.6;
export const LASTING_PART = 0.8;
/** Of a heap, after which its thread takes in nothing large: V8 ends a thread with a full one. */
const HEAP_PART = 0.75;
/** Of the machine, for the whole process. */
const MACHINE_PART = 0.85;
/** Growth after which a thread looks at what the others hold. */
const LOOK_BYTES = MIB;

/** Bytes of memory of the machine, or of the container that the process runs in. */
export function machineBytes(): number {
  const limit = process.constrainedMemory();
  return limit > 0 && limit < Number.MAX_SAFE_INTEGER ? Math.min(limit, totalmem()) : totalmem();
}

/** The budget of a node without a setting. */
export function defaultBudget(machine: number = machineBytes()): number {
  return Math.max(BUDGET_MIN, Math.floor(machine * BUDGET_PART));
}

/** What the threads of a node share. */
export function createMemoryBlock(budgetBytes: number, machine: number = machineBytes()): SharedArrayBuffer {
  const memory = new SharedArrayBuffer((HEADER + SLOTS) * 8);
  const values = new Float64Array(memory);
  values[BUDGET] = budgetBytes;
  values[MACHINE] = machine;
  return memory;
}

/** Main's view of the block. */
export class NodeMemory {
  readonly #values: Float64Array;
  readonly #taken = new Set<number>();

  constructor(memory: SharedArrayBuffer) {
    this.#values = new Float64Array(memory);
  }

  get budgetBytes(): number {
    return this.#values[BUDGET]!;
  }

  get machineBytes(): number {
    return this.#values[MACHINE]!;
  }

  /** What all threads hold for their clients. */
  get heldBytes(): number {
    return sumOf(this.#values);
  }

  /** Nobody new is let in. */
  get isTight(): boolean {
    return this.#values[IS_STRAINED] === 1 || this.heldBytes > this.budgetBytes * TIGHT_PART;
  }

  /** A number for a new thread. */
  takeSlot(): number {
    let slot = 0;
    while (this.#taken.has(slot)) slot++;
    this.#taken.add(slot);
    return slot % SLOTS;
  }

  /** The thread has ended, and holds nothing. */
  freeSlot(slot: number): void {
    this.#taken.delete(slot);
    this.#values[HEADER + slot] = 0;
  }

  /**
   * Judges the size of the process. Memory that has been freed stays with it for a while: it counts only while much is held.
   * @returns true when that has just become too much
   */
  judge(rssBytes: number): boolean {
    const isLarge = rssBytes > this.machineBytes * MACHINE_PART && this.heldBytes > this.budgetBytes * BUDGET_PART;
    const wasLarge = this.#values[IS_STRAINED] === 1;
    this.#values[IS_STRAINED] = isLarge ? 1 : 0;
    return isLarge && !wasLarge;
  }
}

/** What a heap has and may have, bytes. */
export interface HeapUse {
  used: number;
  limit: number;
}

/** One thread's view of the block. */
export class MemoryBudget {
  readonly #values: Float64Array;
  readonly #slot: number;
  readonly #readHeap: () => HeapUse;
  /** of the last sweep, and what was taken since */
  #swept = 0;
  #grown = 0;
  readonly #live: { readonly bytes: number };
  /** held by other threads when this one last looked, and what it held itself */
  #others = 0;
  #lookedAt = 0;
  #isStrained = false;

  /**
   * @param live what is counted exactly at any time
   * @param readHeap of this thread
   */
  constructor(memory: SharedArrayBuffer, slot: number, live: { readonly bytes: number }, readHeap: () => HeapUse) {
    this.#values = new Float64Array(memory);
    this.#slot = HEADER + slot;
    this.#live = live;
    this.#readHeap = readHeap;
  }

  get budgetBytes(): number {
    return this.#values[BUDGET]!;
  }

  /** Held by this thread. */
  get heldBytes(): number {
    return this.#swept + this.#grown + this.#live.bytes;
  }

  /** Nobody new is let in, and nothing large is begun. */
  get isTight(): boolean {
    return this.#isStrained || this.#others + this.heldBytes > this.budgetBytes * TIGHT_PART;
  }

  /**
   * Takes memory that a client asks for; false: there is none to have. The next sweep finds what was taken, and whether it is still there.
   * @param part of the budget that may be taken by then
   */
  reserve(bytes: number, part = 1): boolean {
    if (!this.hasRoom(bytes, part)) return false;
    this.#grown += bytes;
    return true;
  }

  /** Whether there is so much to have; nothing is taken. */
  hasRoom(bytes: number, part = 1): boolean {
    if (this.#isStrained) return false;
    const wanted = this.heldBytes + bytes;
    const allowed = this.budgetBytes * part;
    if (wanted - this.#lookedAt > LOOK_BYTES || this.#others + wanted > allowed) this.#look();
    return this.#others + wanted <= allowed;
  }

  /** To be called each half second with what is really held, beside what is live: nothing that was taken and forgotten counts for longer. */
  sweep(bytes: number): void {
    this.#swept = bytes;
    this.#grown = 0;
    this.#look();
    const { used, limit } = this.#readHeap();
    this.#isStrained = this.#values[IS_STRAINED] === 1 || used > limit * HEAP_PART;
  }

  /** Says what this thread holds, and reads what the others do. */
  #look(): void {
    this.#values[this.#slot] = this.heldBytes;
    this.#others = sumOf(this.#values) - this.heldBytes;
    this.#lookedAt = this.heldBytes;
  }
}

function sumOf(values: Float64Array): number {
  let sum = 0;
  for (let at = HEADER; at < values.length; at++) sum += values[at]!;
  return sum;
}
