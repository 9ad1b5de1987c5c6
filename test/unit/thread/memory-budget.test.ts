/** The budget of a node: what threads hold together, who is refused, and that nothing stays counted. */

import { expect, test } from 'vitest';
import { adminSocketsMax } from '../../../src/kernel/system/descriptors.ts';
import { createMemoryBlock, defaultBudget, MemoryBudget, NodeMemory } from '../../../src/thread/memory-budget.ts';

const MIB = 1024 * 1024;
const BUDGET = 100 * MIB;

function scene() {
  const block = createMemoryBlock(BUDGET, 1000 * MIB);
  const heap = { used: 0, limit: 1000 };
  const live = { bytes: 0 };
  const thread = (slot: number) => new MemoryBudget(block, slot, slot === 0 ? live : { bytes: 0 }, () => heap);
  return { node: new NodeMemory(block), one: thread(0), other: thread(1), heap, live };
}

test('what one thread holds is not there for the other, within a MiB', () => {
  const { one, other, node } = scene();
  for (let n = 0; n < 60; n++) expect(one.reserve(MIB)).toBe(true);
  let taken = 0;
  while (other.reserve(MIB / 8)) taken += MIB / 8;
  expect(taken).toBeGreaterThanOrEqual(39 * MIB);
  expect(taken).toBeLessThanOrEqual(42 * MIB);
  expect(one.reserve(3 * MIB)).toBe(false);
  other.sweep(0);
  expect(one.reserve(3 * MIB)).toBe(true);
  one.sweep(5 * MIB);
  expect(node.heldBytes).toBe(5 * MIB);
});

test('a sweep finds what was taken and never given back', () => {
  const { one, node } = scene();
  expect(one.reserve(50 * MIB)).toBe(true);
  one.sweep(0);
  expect([one.heldBytes, node.heldBytes]).toEqual([0, 0]);
});

test('what is live counts without being taken', () => {
  const { one, live } = scene();
  live.bytes = 99 * MIB;
  expect(one.hasRoom(2 * MIB)).toBe(false);
  expect(one.hasRoom(MIB / 2)).toBe(true);
  expect(one.heldBytes).toBe(99 * MIB);
});

test('nobody new is let in over nine tenths of it, nor with a heap that is nearly full, nor while the process is too large', () => {
  const { one, node, heap } = scene();
  expect(one.isTight).toBe(false);
  one.sweep(91 * MIB);
  expect([one.isTight, node.isTight]).toEqual([true, true]);
  expect(one.reserve(MIB)).toBe(true);
  one.sweep(0);
  heap.used = 800;
  one.sweep(0);
  expect(one.isTight).toBe(true);
  expect(one.reserve(1)).toBe(false);
  heap.used = 100;
  one.sweep(30 * MIB);
  expect(one.isTight).toBe(false);
  expect(node.judge(900 * MIB)).toBe(true);
  one.sweep(30 * MIB);
  expect([one.isTight, one.reserve(1)]).toEqual([true, false]);
  // Memory that was freed stays with the process for a while: that is no reason to refuse anybody.
  one.sweep(0);
  expect(node.judge(900 * MIB)).toBe(false);
  one.sweep(0);
  expect(one.isTight).toBe(false);
});

test('memory that another thread has freed is free at once, before the next sweep of this one', () => {
  const { one, other } = scene();
  other.sweep(95 * MIB);
  one.sweep(0);
  expect(one.isTight).toBe(true);
  other.sweep(0);
  expect(one.isTight).toBe(false);
});

test('what moves to another thread is given back before the next sweep', () => {
  const { one, other, node } = scene();
  one.sweep(60 * MIB);
  one.release(50 * MIB);
  other.sweep(50 * MIB);
  expect([node.heldBytes, node.isTight]).toEqual([60 * MIB, false]);
  one.release(50 * MIB);
  expect(node.heldBytes).toBe(50 * MIB);
});

test('a thread that has ended holds nothing, and its slot is given to another', () => {
  const { one, node } = scene();
  expect([node.takeSlot(), node.takeSlot()]).toEqual([0, 1]);
  one.sweep(10 * MIB);
  node.freeSlot(0);
  expect(node.heldBytes).toBe(0);
  expect(node.takeSlot()).toBe(0);
});

test('the budget is a quarter of the machine, and 64 MiB at least', () => {
  expect([defaultBudget(2048 * MIB), defaultBudget(100 * MIB)]).toEqual([512 * MIB, 64 * MIB]);
});

test('the last file descriptors are not for clients; without a known limit all are', () => {
  const { one, node } = scene();
  expect(one.allowsDescriptor(1_000_000)).toBe(true);
  node.limitDescriptors(300);
  // An eighth is reserved, and 24 at least.
  expect([one.allowsDescriptor(262), one.allowsDescriptor(263)]).toEqual([true, false]);
  node.limitDescriptors(100);
  expect([one.allowsDescriptor(75), one.allowsDescriptor(76)]).toEqual([true, false]);
  node.limitDescriptors(1_000_000);
  expect(one.allowsDescriptor(995_903)).toBe(true);
  // Windows shows no descriptor.
  expect(one.allowsDescriptor(-1)).toBe(true);
});

test('the admin API leaves a part of the reserve to files', () => {
  expect([adminSocketsMax(null, 2048), adminSocketsMax(20_000, 2048), adminSocketsMax(1024, 2048)]).toEqual([2048, 2048, 106]);
});
