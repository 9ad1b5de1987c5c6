/** Of two processes with the name of one node, messages cross to and from one alone; a process that restarts is no twin. */

import { expect, test } from 'vitest';
import { processNumber, RELAY_VERSION } from '../../../src/bus/relay.ts';
import { relayedNodes } from '../../../src/control/cluster/messages/relayed.ts';
import type { ClusterMember } from '../../../src/control/cluster/notices.ts';
import { HEAD_BYTES, KIND, writeHead } from '../../../src/link/frame.ts';
import { stubTransport } from './stub-transport.ts';

function member(name: string, incarnation: string, more: Partial<ClusterMember> = {}): ClusterMember {
  const seen = { isUp: true, isSelf: false, isTwin: false, lastSeen: 0 };
  const facts = { address: '', adminPort: 0, version: '1.0.0', revision: 0, known: 0, status: 'ok', storeOk: true, failed: [] } as const;
  return { name, incarnation, upSince: 0, messages: RELAY_VERSION, ...facts, ...seen, ...more };
}

const chosen = (...members: ClusterMember[]) =>
  relayedNodes(members, 'self').map(({ name, incarnation, isUp }) => [name, incarnation, isUp]);
const first = { upSince: 1 };
const second = { upSince: 2 };

test('the first of two that live, the last of two of which one has ended', () => {
  const twins = [member('b', 'old', { ...first, isTwin: true }), member('b', 'new', { ...second, isTwin: true })];
  for (const order of [twins, twins.toReversed()]) expect(chosen(...order)).toEqual([['b', processNumber('old'), true]]);
  const restarted = [member('b', 'old', first), member('b', 'new', second)];
  for (const order of [restarted, restarted.toReversed()]) expect(chosen(...order)).toEqual([['b', processNumber('new'), true]]);
  const ended = [member('b', 'old', { ...first, isUp: false }), member('b', 'new', second)];
  expect(chosen(...ended)).toEqual([['b', processNumber('new'), true]]);
});

test('no process under the own name, and none of a version whose messages are not understood', () => {
  const others = [member('self', 'twin'), member('self', 'me', { isSelf: true }), member('b', 'b', { messages: 0 })];
  expect(chosen(...others, member('c', 'c', { messages: RELAY_VERSION + 1 }))).toEqual([]);
});

test('frames of the other twin are dropped and counted', () => {
  const heard: string[] = [];
  const { transport, hear } = stubTransport();
  transport.onFrame((node) => heard.push(node));
  transport.know([{ name: 'b', incarnation: 7 }]);
  for (const incarnation of [7, 8]) {
    const frame = Buffer.alloc(HEAD_BYTES);
    const times = { sentAt: 1, echo: 0, keptMs: 0 };
    writeHead(frame, { kind: KIND.hello, epoch: 5, toEpoch: 0, seq: 0, got: 0, taken: 0, ...times, incarnation });
    hear('b', frame);
  }
  expect([heard, transport.strangers]).toEqual([['b'], 1]);
});
