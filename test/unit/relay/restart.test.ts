/** A new session worker makes the relay begin the sessions of all links anew. Until they have begun, the other nodes are waited for. */

import { setImmediate as immediate } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { Worker } from '../../../workers/relay/contract.ts';
import { Gateway } from '../../../workers/relay/gateway.ts';
import { encodeControls, LANE } from '../../../workers/relay/packets.ts';
import { Namespace } from '../../../workers/shared/routing/namespace.ts';
import { INTEREST } from '../../../workers/shared/routing/peer.ts';
import type { Control } from '../../../workers/shared/wire/controls.ts';

type User = Parameters<ConstructorParameters<typeof Gateway>[0]['links']['add']>[1];
const QUIET = { debug() {}, info() {}, warn() {}, error() {} };

function startGateway() {
  let now = 0;
  const users = new Map<string, User>();
  const waiting: (() => void)[] = [];
  const written: string[] = [];
  const said: Control[] = [];
  const control = (each: Control) => said.push(each);
  const session: Worker = { id: 1, role: 'session', isKnown: true, isOverloaded: false, publish() {}, publishRun() {}, control };
  const namespace = new Namespace('default');
  const gateway = new Gateway({
    self: 5,
    incarnation: 1,
    hold: { bytes: 1_000, messages: 10 },
    prefersOwnMembers: false,
    local: { namespace: () => namespace, announce: async () => {}, fence: () => null, links: new Map([[1, session]]), isOverloaded: false },
    links: {
      add: (node, user) => users.set(node, user),
      remove() {},
      restart: (node, reason) => users.get(node)!.down(reason, 0),
      write(_node, _lane, packet) {
        written.push(Buffer.from(packet).toString('latin1'));
        return 1;
      },
      take() {},
    },
    now: () => now,
    soon: (run) => waiting.push(run),
    onLinked() {},
    logger: QUIET,
  });
  const turn = () => {
    for (const run of waiting.splice(0)) run();
  };
  gateway.setNodes([{ name: 'b', isUp: true }]);
  gateway.sessionKnown();
  users.get('b')!.up(7);
  turn();
  const told = () => said.splice(0).flatMap(({ t }) => (t === 'node-up' || t === 'node-down' ? t : []));
  const isAwaited = () => [...gateway.nodes()].map(({ node }) => node.isAwaited);
  const passed = (ms: number) => {
    now += ms;
    gateway.tick();
  };
  return { gateway, session, namespace, user: users.get('b')!, turn, told, isAwaited, passed, written };
}

test('claims and acknowledgements wait for a node whose link begins anew, and flushes are asked for again', () => {
  const { gateway, session, user, turn, told, isAwaited, passed, written } = startGateway();
  expect(told()).toEqual(['node-up']);
  gateway.onControl(session, { t: 'flush', request: 3, to: 'a' });
  turn();
  gateway.workerRemoved(session);
  turn();
  passed(3_900);
  expect(told()).toEqual([]);
  expect(isAwaited()).toEqual([true]);
  // Nothing that it asked in the former session is answered.
  written.splice(0);
  user.up(7);
  turn();
  expect(told()).toEqual(['node-up']);
  expect(written.join()).toContain('flush');
  passed(10_000);
  expect(told()).toEqual([]);
  expect(isAwaited()).toEqual([true]);
});

test('a node that does not begin the new session is given up; one that is lost for another reason at once', () => {
  const { gateway, user, turn, told, isAwaited, passed } = startGateway();
  told();
  gateway.sessionKnown();
  turn();
  passed(4_100);
  expect(told()).toEqual(['node-down']);
  expect(isAwaited()).toEqual([false]);
  user.up(7);
  turn();
  expect(told()).toEqual(['node-up']);
  user.down('silent', 0);
  turn();
  expect(told()).toEqual(['node-down']);
});

test('a SUBACK waits for a node whose link begins anew', async () => {
  const { gateway, session, namespace, user, turn } = startGateway();
  user.deliver(LANE.controls, encodeControls([{ t: 'known', request: 1 }]), 1);
  gateway.sessionKnown();
  turn();
  namespace.setInterest(session, 'x', INTEREST.live);
  let isOver = false;
  void gateway.localNews([{ namespace: 'default', filters: ['x'], flags: [INTEREST.live], shares: [] }])?.then(() => {
    isOver = true;
  });
  turn();
  await immediate();
  expect(isOver).toBe(false);
  user.up(7);
  turn();
  await immediate();
  expect(isOver).toBe(false);
  user.deliver(LANE.controls, encodeControls([{ t: 'known', request: 3 }]), 1);
  await immediate();
  expect(isOver).toBe(true);
});

test('a node has flushed only when its workers have given the new relay what they kept without one', async () => {
  const { gateway, user, turn, written } = startGateway();
  const hasFlushed = async () => {
    for (let step = 0; step < 3; step++) {
      turn();
      await immediate();
    }
    return written.join().includes('flushed');
  };
  user.deliver(LANE.controls, encodeControls([{ t: 'flush', request: 1, to: 'b' }]), 1);
  expect(await hasFlushed()).toBe(false);
  gateway.link();
  expect(await hasFlushed()).toBe(true);
});
