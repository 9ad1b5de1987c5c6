/** The count of nodes: successive processes of one name are one node, simultaneous ones are two. */

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Bus } from '../../../../src/bus/bus.ts';
import { subjectsOf } from '../../../../src/bus/subjects.ts';
import { Members } from '../../../../src/control/cluster/members.ts';
import type { NodeFacts } from '../../../../src/control/cluster/notices.ts';
import { recordingLogger } from '../kit.ts';

const factsOf = (name: string, incarnation: string): NodeFacts => ({
  name,
  incarnation,
  address: '127.0.0.1',
  adminPort: 8080,
  messages: 0,
  version: '1.0.0',
  upSince: Date.now(),
  revision: 1,
  known: 1,
  status: 'ok',
  storeOk: true,
  failed: [],
});

const subjects = subjectsOf('test');
const handlers = new Map<string, (body: unknown, subject: string) => void>();
const bus = {
  state: { connected: true, server: '' },
  onState: (listener) => listener({ connected: true, server: '' }),
  publish: () => true,
  subscribe: (subject, handler) => {
    handlers.set(subject, handler);
    return () => handlers.delete(subject);
  },
} satisfies Partial<Bus> as unknown as Bus;

let log = recordingLogger();
let members: Members;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance', 'Date'] });
  log = recordingLogger();
  const self = factsOf('c1', 'c1-now');
  members = new Members({ bus, subjects, self, facts: () => self, logger: log.logger });
});
afterEach(() => {
  members.close();
  vi.useRealTimers();
});

const say = (incarnation: string, subject = subjects.heartbeat) => {
  handlers.get(subject)!(factsOf(incarnation.split('-')[0]!, incarnation), subject);
};
/** Seconds in which these processes, and only these, send their heartbeats. */
const pass = (seconds: number, ...incarnations: string[]) => {
  for (let n = 0; n < seconds; n++) {
    for (const incarnation of incarnations) say(incarnation);
    vi.advanceTimersByTime(1_000);
  }
};
const seen = () => members.list().map(({ incarnation, isUp, isTwin }) => `${incarnation} ${isUp ? 'up' : 'down'}${isTwin ? ' twin' : ''}`);
const downs = () => log.lines.filter(({ message }) => message.includes('is down')).map(({ message, fields }) => [message, fields]);

test('a node that was killed and is started again is one node, also after the second time', () => {
  pass(5, 'c2-a');
  say('c2-b', subjects.hello);
  pass(3, 'c2-b');
  expect(seen()).toEqual(['c1-now up', 'c2-b up']);
  expect(downs()).toEqual([['Cluster: node c2 is down', { reason: 'it was started anew' }]]);
  pass(5, 'c2-b');
  say('c2-c', subjects.hello);
  pass(3, 'c2-c');
  expect(seen()).toEqual(['c1-now up', 'c2-c up']);
});

test('one that has been down for a while, or was stopped, is forgotten with the first word of its successor', () => {
  pass(5, 'c2-a', 'c3-a');
  say('c3-a', subjects.bye);
  pass(6);
  expect(seen()).toEqual(['c1-now up', 'c2-a down', 'c3-a down']);
  say('c2-b', subjects.hello);
  say('c3-b', subjects.hello);
  expect(seen()).toEqual(['c1-now up', 'c2-b up', 'c3-b up']);
});

test('late notices of the older process change nothing', () => {
  pass(5, 'c2-a');
  pass(5);
  say('c2-b', subjects.hello);
  const before = log.lines.length;
  pass(2, 'c2-b');
  for (let n = 0; n < 5; n++) say('c2-a');
  expect(seen()).toEqual(['c1-now up', 'c2-b up']);
  pass(6, 'c2-b');
  expect(seen()).toEqual(['c1-now up', 'c2-b up']);
  expect(log.lines).toHaveLength(before);
});

test('news of the previous process of the same name are forgotten', () => {
  say('c1-before');
  pass(3);
  expect(seen()).toEqual(['c1-now up']);
});

test('two processes of one name at the same time are two nodes, and warned of', () => {
  pass(5, 'c2-a');
  pass(5, 'c2-a', 'c2-b');
  expect(seen()).toEqual(['c1-now up', 'c2-a up twin', 'c2-b up twin']);
  expect(log.lines.some(({ message }) => message.includes('two nodes are called c2'))).toBe(true);
  // The newer one went: the older one has not replaced it.
  say('c2-b', subjects.bye);
  pass(3, 'c2-a');
  expect(seen().sort()).toEqual(['c1-now up', 'c2-a up', 'c2-b down']);
});

test('an older process that was only cut off is listed beside the newer one as soon as it runs again', () => {
  pass(5, 'c2-a');
  pass(5);
  pass(5, 'c2-b');
  expect(seen()).toEqual(['c1-now up', 'c2-b up']);
  pass(4, 'c2-a', 'c2-b');
  expect(seen().sort()).toEqual(['c1-now up', 'c2-a up twin', 'c2-b up twin']);
  expect(log.lines.some(({ message }) => message.includes('two nodes are called c2'))).toBe(true);
});
