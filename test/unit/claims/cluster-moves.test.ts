/** A session comes from another node: what the new place waits for before it has the filters, and behind them. */

import { setImmediate as immediate } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { ClusterMoves, type ClusterMovesOptions } from '../../../workers/host/cluster-moves.ts';
import { encodeHead } from '../../../workers/host/lent-session.ts';
import type { SessionNews } from '../../../workers/shared/wire/identifier-news.ts';

const HEAD = encodeHead({ session: {} as never, subscriptions: [], at: 0, incarnation: 7 });

function startTaking() {
  const steps: string[] = [];
  let flush = 0;
  const session = { queue: { clear() {} }, namespace: { name: 'default' }, clientId: 'c' };
  const moves = new ClusterMoves({
    mesh: {
      links: new Map([[1, {}]]),
      namespace: () => ({}),
      fence: async () => {
        steps.push('fence');
      },
    },
    table: {
      create: () => session,
      forget() {},
      subscriptions: {
        install: async () => {
          steps.push('install');
        },
      },
    },
    registry: () => ({}),
    durable: () => null,
    send: (node: string, { t }: SessionNews) => steps.push(`${t} to ${node}`),
    onLent() {},
    tellRelay: (control: { t: string; request: number; to: string }) => {
      flush = control.request;
      steps.push(`flush to ${control.to}`);
    },
    node: 'b',
    logger: () => ({ warn() {} }),
  } as unknown as ClusterMovesOptions);
  const flushed = async () => {
    moves.flushed(flush);
    await immediate();
  };
  return { moves, steps, flushed };
}

test('messages that were routed before come before the filters; those of the old place come after them', async () => {
  const { moves, steps, flushed } = startTaking();
  const result = moves.take('a', 'default', 'c', 5);
  moves.onNews('a', { t: 'lent', move: 5, body: HEAD });
  await immediate();
  expect(steps.splice(0)).toEqual(['take to a', 'flush to b']);
  await flushed();
  expect(steps.splice(0)).toEqual(['fence', 'install', 'flush to a']);
  await flushed();
  expect(steps.splice(0)).toEqual(['installed to a']);
  moves.nodeLost('a');
  expect(await result).toBe('failed');
});

test('a move that is given up during a flush installs nothing', async () => {
  const { moves, steps } = startTaking();
  const result = moves.take('a', 'default', 'c', 5);
  moves.onNews('a', { t: 'lent', move: 5, body: HEAD });
  await immediate();
  moves.relayLost();
  expect(await result).toBe('failed');
  expect(steps).not.toContain('install');
});
