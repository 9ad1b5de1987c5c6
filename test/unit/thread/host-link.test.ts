/** A worker's end of the channel, over a real MessageChannel. */

import { once } from 'node:events';
import { MessageChannel } from 'node:worker_threads';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FluxError } from '../../../src/kernel/errors.ts';
import type { LogFields } from '../../../src/kernel/logger.ts';
import type { ThreadFrame, VerifyJob } from '../../../src/thread/commands.ts';
import { HostLink } from '../../../src/thread/host-link.ts';

const JOB: VerifyJob = { encrypt: 'plain', stored: 'x', salt: '', saltMode: 'disable', password: new Uint8Array() };
let channel: MessageChannel;
let link: HostLink;

beforeEach(() => {
  channel = new MessageChannel();
  link = new HostLink(channel.port1, {
    'sessions.count': () => [],
    'peer.remove': () => {
      throw new FluxError('not-found', 'no such peer', { issues: [{ path: 'peer', message: 'unknown' }] });
    },
    'clients.list': () => Promise.reject(new Error('broken')),
    publish: () => (() => {}) as unknown as null,
    shutdown: () => null,
  });
});
afterEach(() => {
  link.close();
  channel.port2.close();
});

async function next(): Promise<ThreadFrame> {
  const [frame] = await once(channel.port2, 'message');
  return frame as ThreadFrame;
}

/** Lines that the worker logged while commands were answered. */
const logged: LogFields[] = [];

async function nextResult(): Promise<ThreadFrame> {
  for (;;) {
    const frame = await next();
    if (frame.kind !== 'event' || frame.body.event !== 'log') return frame;
    logged.push(frame.body.fields);
  }
}

function command(name: string): Promise<ThreadFrame> {
  channel.port2.postMessage({ kind: 'command', id: 5, name, params: {} });
  return nextResult();
}

test('answers commands, failed and unknown ones too', async () => {
  expect(await command('sessions.count')).toEqual({ kind: 'result', id: 5, ok: true, result: [] });
  const error = { kind: 'not-found', message: 'no such peer', issues: [{ path: 'peer', message: 'unknown' }] };
  expect(await command('peer.remove')).toEqual({ kind: 'result', id: 5, ok: false, error });
  expect(await command('clients.list')).toMatchObject({ ok: false, error: { kind: 'internal', message: 'broken' } });
  expect(await command('endpoint.open')).toMatchObject({ ok: false, error: { message: expect.stringContaining('endpoint.open') } });
});

test('logs the stack of an internal error once, with the command, and of no other error', async () => {
  logged.length = 0;
  await command('peer.remove');
  await command('clients.list');
  await command('sessions.count');
  expect(logged).toEqual([{ command: 'clients.list', reason: expect.stringMatching(/^Error: broken\n +at /) }]);
});

test('answers with an error when the result cannot be copied', async () => {
  expect(await command('publish')).toMatchObject({ ok: false, error: { kind: 'internal' } });
});

test('asks, and rejects at the deadline or with the answer', async () => {
  const [answer, frame] = [link.ask('access.verify', JOB, 1_000), await next()];
  expect(frame).toMatchObject({ kind: 'question', name: 'access.verify' });
  channel.port2.postMessage({ kind: 'result', id: (frame as { id: number }).id, ok: true, result: true });
  expect(await answer).toBe(true);
  await expect(link.ask('access.verify', JOB, 20)).rejects.toMatchObject({ kind: 'timeout' });
});

test('bounds the questions in flight', async () => {
  const asked = Array.from({ length: 4097 }, () => link.ask('access.verify', JOB, 60_000));
  await expect(asked[4096]).rejects.toMatchObject({ kind: 'unavailable' });
  link.close();
  const results = await Promise.allSettled(asked);
  expect(results.every(({ status }) => status === 'rejected')).toBe(true);
});

test('logs as events, and says closed after shutdown before it closes the port', async () => {
  link.logger.warn('careful', { port: 1 });
  expect(await next()).toEqual({ kind: 'event', body: { event: 'log', level: 'warn', message: 'careful', fields: { port: 1 } } });
  const frames: ThreadFrame[] = [];
  channel.port2.on('message', (frame: ThreadFrame) => frames.push(frame));
  channel.port2.postMessage({ kind: 'command', id: 5, name: 'shutdown', params: { timeoutMs: 1 } });
  await once(channel.port2, 'close');
  expect(frames).toEqual([
    { kind: 'result', id: 5, ok: true, result: null },
    { kind: 'event', body: { event: 'closed' } },
  ]);
});
