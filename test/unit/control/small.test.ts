/** The small parts of the control plane: pauses, probes, the password pool, the log. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { BURST_MS, BurstFilter } from '../../../src/control/log/bursts.ts';
import { openLogger } from '../../../src/control/log/log.ts';
import { formatLine } from '../../../src/control/log/log-line.ts';
import { probeMqtt } from '../../../src/control/probe/mqtt-probe.ts';
import { probePort } from '../../../src/control/probe/port-probe.ts';
import { openAccessPool } from '../../../src/control/workers/access-pool.ts';
import { Backoff } from '../../../src/kernel/backoff.ts';
import type { VerifyJob } from '../../../src/thread/commands.ts';
import { freePort } from '../../kit/free-port.ts';
import { streamTerminal } from '../../kit/stream-terminal.ts';
import { recordingLogger } from './kit.ts';

const HOST = '127.0.0.1';
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

test('waits longer after each failure, up to 30 s, and starts anew after a quiet time', () => {
  const backoff = new Backoff();
  const pauses = Array.from({ length: 12 }, (_, index) => backoff.failed(index));
  expect(pauses.slice(0, 4)).toEqual([0, 100, 200, 400]);
  expect(pauses.at(-1)).toBe(30_000);
  expect(backoff.failed(200_000)).toBe(0);
});

test('names the process that holds a port', async () => {
  const port = await freePort();
  const script = `require('node:net').createServer().listen({port:${port},host:'${HOST}',reusePort:true},()=>console.log('up'))`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  cleanups.push(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  await expect(probePort(HOST, port)).rejects.toMatchObject({
    kind: 'port-in-use',
    message: expect.stringMatching(new RegExp(`^Port ${port} is already in use by .+ \\(pid ${child.pid}\\)$`)),
  });
  await expect(probePort('0.0.0.0', port)).rejects.toMatchObject({ kind: 'port-in-use' });
});

describe('health probe', () => {
  const PLAIN = { enabled: false, clientAuth: 'none' } as const;
  async function serve(answers: Buffer[]): Promise<number> {
    const server: Server = createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', () => {
        const answer = answers.shift();
        if (answer !== undefined) socket.write(answer);
      });
    });
    server.listen(0, HOST);
    await once(server, 'listening');
    cleanups.push(() => server.close());
    return (server.address() as { port: number }).port;
  }
  const probe = (port: number, ms = 1_000) =>
    probeMqtt({ host: HOST, port, useWebsocket: false, path: '/mqtt', sslConfig: PLAIN }, 'probe-', ms);

  test.each([
    ['an answer', [Buffer.of(0x20, 2, 0, 0), Buffer.of(0xd0, 0)], true, null],
    ['a wish for a login', [Buffer.of(0x20, 2, 0, 5)], true, null],
    ['a refusal', [Buffer.of(0x20, 2, 0, 3)], false, 'CONNECT refused: server unavailable'],
    ['something else', [Buffer.from('HTTP/1.1')], false, 'the answer to CONNECT is not a CONNACK'],
  ])('understands %s', async (_name, answers, healthy, reason) => {
    expect(await probe(await serve(answers))).toMatchObject({ healthy, reason });
  });

  test('does not wait for ever, and tells a closed port', async () => {
    expect(await probe(await serve([]), 60)).toEqual({ healthy: false, reason: 'no answer within 60 ms', latencyMs: null });
    expect((await probe(await freePort())).reason).toContain('ECONNREFUSED');
    const closed = await probeMqtt(
      { host: HOST, port: await freePort(), useWebsocket: true, path: '/mqtt', sslConfig: PLAIN },
      'probe-',
      1_000,
    );
    expect(closed).toMatchObject({ healthy: false, latencyMs: null });
    expect(closed.reason).toContain('ECONNREFUSED');
  });
});

const TASK = new URL('./fake-access-task.js', import.meta.url);

test('checks passwords in its own threads, with a bounded queue and a deadline', async () => {
  const { logger } = recordingLogger();
  const open = (timeoutMs: number) => {
    const pool = openAccessPool({ url: TASK, askUrl: TASK, threads: 1, timeoutMs, logger });
    cleanups.push(() => pool.close());
    return pool;
  };
  const job = (password: string): VerifyJob => ({
    encrypt: 'plain',
    stored: '',
    salt: '',
    saltMode: 'disable',
    password: Buffer.from(password),
  });
  const patient = open(20_000);
  expect(await patient.verify(job('secret'))).toBe(true);
  expect(await patient.verify(job('wrong'))).toBe(false);
  const hasty = open(600);
  const results = await Promise.allSettled(Array.from({ length: 1_200 }, () => hasty.verify(job('slow'))));
  const kinds = results.map((result) => (result.status === 'rejected' ? (result.reason as { kind: string }).kind : 'ok'));
  expect(kinds).toContain('unavailable');
  expect(kinds).toContain('timeout');
});

describe('log', () => {
  const dir = () => {
    const path = mkdtempSync(join(tmpdir(), 'fluxmq-log-'));
    cleanups.push(() => rmSync(path, { recursive: true, force: true }));
    return path;
  };

  test('writes JSON lines to the file, readable ones to the terminal, and rotates', async () => {
    const folder = dir();
    const terminal = new PassThrough();
    const settings = { level: 'info', file: join(folder, 'sub', 'fluxmq.log'), maxSize: 2_000, maxFiles: 2 } as const;
    const log = openLogger(settings, streamTerminal(terminal));
    log.logger.debug('not written');
    log.logger.info('Endpoint 1883 listens', { port: 1883 });
    for (let n = 0; n < 100; n++) {
      log.logger.info(`line ${n}`);
      if (n % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await log.close();
    expect(readdirSync(join(folder, 'sub')).filter((name) => name.startsWith('fluxmq.log')).length).toBe(3);
    const last = JSON.parse(
      readFileSync(join(folder, 'sub', 'fluxmq.log'), 'utf8')
        .trim()
        .split('\n')
        .at(-1) ?? '{}',
    ) as object;
    expect(last).toMatchObject({ level: 'info', msg: 'line 99', time: expect.stringMatching(/^\d{4}-/) });
    expect(String(terminal.read())).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} INFO {2}Endpoint 1883 listens port=1883\n/);
  });

  test('refuses to start with a file that cannot be written', async () => {
    const file = join(dir(), 'file');
    writeFileSync(file, '');
    const settings = { level: 'info', file: join(file, 'x.log'), maxSize: 1e6, maxFiles: 1 } as const;
    expect(() => openLogger(settings, streamTerminal(new PassThrough()))).toThrow();
  });

  test('does not let a value forge a line or move the cursor', () => {
    const line = formatLine(JSON.stringify({ level: 'warn', time: '2026-01-01T00:00:00.000Z', msg: 'a\nb', id: 'x\u001b[2J\ny' }), false);
    expect([...line.trimEnd()].every((character) => character >= ' ')).toBe(true);
    expect(line).toContain('a\\u000ab id="x\\u001b[2J\\ny"');
  });

  test('writes a burst of one failure once, and then its count', () => {
    vi.useFakeTimers();
    cleanups.push(() => vi.useRealTimers());
    const written: string[] = [];
    const filter = new BurstFilter((level, message, fields) => written.push(`${level} ${message} ${JSON.stringify(fields)}`));
    for (let n = 0; n < 50; n++) filter.write('warn', 'Connection limit reached', { n });
    filter.write('warn', 'another', {});
    filter.write('info', 'news', {});
    filter.write('info', 'news', {});
    vi.advanceTimersByTime(BURST_MS);
    filter.write('warn', 'Connection limit reached', { n: 50 });
    expect(written).toEqual([
      'warn Connection limit reached {"n":0}',
      'warn another {}',
      'info news {}',
      'info news {}',
      'warn Connection limit reached {"repeated":49,"withinMs":5000}',
      'warn Connection limit reached {"n":50}',
    ]);
    filter.flush();
  });
});
