/**
 * The memory that clients may fill: one budget for the node, shared by all threads. Each thread reports what it holds for its clients. A
 * client over the budget is refused before the heap, or the machine, is full.
 */

import { totalmem } from 'node:os';
import { clientDescriptorsMax } from '../kernel/system/descriptors.ts';

const MIB = 1024 * 1024;
const BUDGET = 0;
const MACHINE = 1;
/** 1 while the process is larger than is good for the machine; main writes it. */
const IS_STRAINED = 2;
/** Descriptors at and above this number are not for clients; 0: no limit is known. Main writes it. */
const DESCRIPTORS = 3;
const HEADER = 4;
/** Threads at one time. An endpoint has 64 at most. */
const SLOTS = 1024;
const BUDGET_MIN = 64 * MIB;
/** Share of the machine's memory that is the budget when no setting names one. */
const BUDGET_PART = 1 / 4;
/** From this share of the budget on no new client is let in, so that those connected can continue. */
const TIGHT_PART = 0.9;
/** Share of the budget for what outlives a connection: queued messages, filters, names and wills. Clients that went away cannot lock the others out with it. */
export const QUEUE_PART = 0.6;
export const LASTING_PART = 0.8;
/** Share of its heap from which on a thread takes in nothing large: V8 ends a thread whose heap is full. */
const HEAP_PART = 0.75;
/** Share of the machine's memory for the whole process. */
const MACHINE_PART = 0.85;
/** Growth after which a thread reads the totals of the others, bytes. */
const LOOK_BYTES = MIB;

/** Bytes of memory of the machine, or of the container that the process runs in. */
export function machineBytes(): number {
  const limit = process.constrainedMemory();
  return limit > 0 && limit < Number.MAX_SAFE_INTEGER ? Math.min(limit, totalmem()) : totalmem();
}

/** The budget of a node without a setting, bytes. */
export function defaultBudget(machine: number = machineBytes()): number {
  return Math.max(BUDGET_MIN, Math.floor(machine * BUDGET_PART));
}

/** The block that the threads of a node share. */
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

  /** Bytes that all threads hold for their clients. */
  get heldBytes(): number {
    return sumOf(this.#values);
  }

  /** @param limit file descriptors that the process may open */
  limitDescriptors(limit: number): void {
    this.#values[DESCRIPTORS] = clientDescriptorsMax(limit);
  }

  /** True while no new client is let in. */
  get isTight(): boolean {
    return this.#values[IS_STRAINED] === 1 || this.heldBytes > this.budgetBytes * TIGHT_PART;
  }

  /** A slot for a new thread. */
  takeSlot(): number {
    let slot = 0;
    while (this.#taken.has(slot)) slot++;
    this.#taken.add(slot);
    return slot % SLOTS;
  }

  /** Frees the slot of a thread that has ended. */
  freeSlot(slot: number): void {
    this.#taken.delete(slot);
    this.#values[HEADER + slot] = 0;
  }

  /**
   * Judges the size of the process. The process keeps freed memory for a while, so its size counts only while clients hold a lot.
   * @returns true when the process has just become too large
   */
  judge(rssBytes: number): boolean {
    const isLarge = rssBytes > this.machineBytes * MACHINE_PART && this.heldBytes > this.budgetBytes * BUDGET_PART;
    const wasLarge = this.#values[IS_STRAINED] === 1;
    this.#values[IS_STRAINED] = isLarge ? 1 : 0;
    return isLarge && !wasLarge;
  }
}

/** Size and limit of a heap, bytes. */
export interface HeapUse {
  used: number;
  limit: number;
}

/** One thread's view of the block. */
export class MemoryBudget {
  readonly #values: Float64Array;
  readonly #slot: number;
  readonly #readHeap: () => HeapUse;
  /** bytes held at the last sweep, and taken since */
  #swept = 0;
  #grown = 0;
  readonly #live: { readonly bytes: number };
  /** bytes that other threads, and this one, held when this thread last read the totals */
  #others = 0;
  #lookedAt = 0;
  #isStrained = false;

  /**
   * @param live the part of what is held that is exact at any time
   * @param readHeap reads the heap of this thread
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

  /** Whether a client's socket may have this file descriptor: the last ones are for the node itself, which must stay reachable. */
  allowsDescriptor(descriptor: number): boolean {
    const max = this.#values[DESCRIPTORS]!;
    return max === 0 || descriptor < max;
  }

  /** Bytes that this thread holds. */
  get heldBytes(): number {
    return this.#swept + this.#grown + this.#live.bytes;
  }

  /** True while no new client is let in and no large work begins. */
  get isTight(): boolean {
    if (this.#isStrained) return true;
    const allowed = this.budgetBytes * TIGHT_PART;
    if (this.#others + this.heldBytes <= allowed) return false;
    // The others may have freed memory since the last sweep: nobody is refused for what is already gone.
    this.#look();
    return this.#others + this.heldBytes > allowed;
  }

  /**
   * Reserves memory for a client; false when none is left. The next sweep measures what is really held and replaces the reservation.
   * @param part share of the budget that may be full afterwards
   */
  reserve(bytes: number, part = 1): boolean {
    if (!this.hasRoom(bytes, part)) return false;
    this.#grown += bytes;
    return true;
  }

  /** True when `bytes` more fit into this part of the budget. Reserves nothing. */
  hasRoom(bytes: number, part = 1): boolean {
    if (this.#isStrained) return false;
    const wanted = this.heldBytes + bytes;
    const allowed = this.budgetBytes * part;
    if (wanted - this.#lookedAt > LOOK_BYTES || this.#others + wanted > allowed) this.#look();
    return this.#others + wanted <= allowed;
  }

  /** Gives back what has gone to another thread, which counts it at once: until the next sweep it would count twice. */
  release(bytes: number): void {
    this.#swept = Math.max(0, this.#swept + this.#grown - bytes);
    this.#grown = 0;
    this.#look();
  }

  /** Replaces all reservations by the bytes really held, beside the live part. Call it each half second. */
  sweep(bytes: number): void {
    this.#swept = bytes;
    this.#grown = 0;
    this.#look();
    const { used, limit } = this.#readHeap();
    this.#isStrained = this.#values[IS_STRAINED] === 1 || used > limit * HEAP_PART;
  }

  /** Publishes what this thread holds, and reads the totals of the others. */
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
