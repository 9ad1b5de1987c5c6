/** The log's sinks: a target that is slow, full or gone, and a file that is moved, truncated or deleted under the process. */

import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, describe, expect, test } from 'vitest';
import { LineSink, type LogTarget, PENDING_BYTES_MAX, RETRY_MS } from '../../../src/control/log/line-sink.ts';
import { type OpenLog, openLogger } from '../../../src/control/log/log.ts';
import { streamTerminal } from '../../kit/stream-terminal.ts';
import { quiet, sleep, until } from '../../kit/until.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

/** A target that takes, refuses or is behind as the test says. */
class Field implements LogTarget {
  taken = '';
  /** bytes of one write; 0: its reader is behind */
  atOnce = Number.POSITIVE_INFINITY;
  error: string | null = null;
  isAsync = false;
  closed = 0;

  write(bytes: Buffer): number | Promise<number> {
    if (this.error !== null) {
      if (this.isAsync) return Promise.reject(new Error(this.error));
      throw new Error(this.error);
    }
    const count = Math.min(bytes.length, this.atOnce);
    this.taken += bytes.toString('utf8', 0, count);
    return this.isAsync ? Promise.resolve(count) : count;
  }

  close(): void {
    this.closed++;
  }
}

function open(target: LogTarget): { sink: LineSink; told: string[] } {
  const told: string[] = [];
  const sink = new LineSink(target, {
    missing: (lost, reason) => `[${lost} missing: ${reason}]\n`,
    onFailed: (reason) => told.push(`failed: ${reason}`),
    onRecovered: (lost) => told.push(`recovered, ${lost} lost`),
  });
  cleanups.push(() => sink.close(10));
  return { sink, told };
}

describe.each([false, true])('a sink whose target answers later: %s', (isAsync) => {
  test('keeps what a failed target does not take, tells once, and writes it in order when it can', async () => {
    const target = Object.assign(new Field(), { isAsync });
    const { sink, told } = open(target);
    target.error = 'ENOSPC: no space left';
    for (let n = 0; n < 5; n++) sink.write(`line ${n}\n`);
    await until('the failure is reported', () => told.length === 1);
    expect(told).toEqual(['failed: ENOSPC: no space left']);
    await quiet(RETRY_MS + 100, 'a failed repetition is reported', () => told.length > 1);
    target.error = null;
    await until('it recovers', () => told.length === 2, 2_000);
    sink.write('line 5\n');
    await until('all is written', () => target.taken === 'line 0\nline 1\nline 2\nline 3\nline 4\nline 5\n');
    expect(told[1]).toBe('recovered, 0 lost');
    expect(sink.lost).toBe(0);
  });

  test('holds no more than its bound, counts what it loses, and says in the log where lines are missing', async () => {
    const target = Object.assign(new Field(), { isAsync, atOnce: 0 });
    const { sink, told } = open(target);
    const line = `${'x'.repeat(1023)}\n`;
    const before = process.memoryUsage().arrayBuffers;
    for (let n = 0; n < 5_000; n++) sink.write(line);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 * PENDING_BYTES_MAX);
    expect(sink.lost).toBeGreaterThan(3_800);
    expect(told).toEqual(['failed: its reader does not read']);
    const { lost } = sink;
    target.atOnce = 700;
    await until('it recovers', () => told.length === 2, 5_000);
    sink.write('last\n');
    await until('the last line is written', () => target.taken.endsWith('last\n'), 5_000);
    expect(told[1]).toBe(`recovered, ${lost} lost`);
    const lines = target.taken.trim().split('\n');
    expect(lines.filter((each) => each.startsWith('['))).toEqual([expect.stringMatching(new RegExp(`^\\[${lost} missing`))]);
    expect(lines.every((each) => each === line.trim() || each.startsWith('[') || each === 'last')).toBe(true);
    expect(lines.length).toBe(5_000 - lost + 2);
  });
});

test('does not begin another file with the rest of a line', async () => {
  const target = new Field();
  const { sink } = open(target);
  target.atOnce = 3;
  const write = target.write.bind(target);
  let writes = 0;
  target.write = (bytes) => {
    if (++writes === 2) throw new Error('EIO');
    return write(bytes);
  };
  sink.write('torn line\n');
  sink.write('whole line\n');
  expect(target.taken).toBe('tor');
  sink.restart();
  target.taken = '';
  await until('the rest is written', () => target.taken.endsWith('\n'), 3_000);
  expect(target.taken).toBe('whole line\n');
  expect(sink.lost).toBe(1);
});

test('gives up a target that takes nothing when it is closed', async () => {
  const { sink } = open(Object.assign(new Field(), { atOnce: 0 }));
  sink.write('never\n');
  const startedAt = performance.now();
  await sink.close(100);
  expect(performance.now() - startedAt).toBeLessThan(2_000);
});

describe('log file', () => {
  function openLog(maxSize = 1e6): { log: OpenLog; file: string; folder: string; terminal: PassThrough } {
    const folder = mkdtempSync(join(tmpdir(), 'fluxmq-log-'));
    const file = join(folder, 'deep', 'er', 'fluxmq.log');
    const terminal = new PassThrough();
    const log = openLogger({ level: 'info', file, maxSize, maxFiles: 2 }, streamTerminal(terminal));
    cleanups.push(async () => {
      await log.close();
      rmSync(folder, { recursive: true, force: true });
    });
    return { log, file, folder, terminal };
  }
  const has = (file: string, text: string) =>
    until(`${text} in ${file}`, () => existsSync(file) && readFileSync(file, 'utf8').includes(text), 3_000);

  test('is 0600 in folders of 0700, also when it was there with another mode', async () => {
    const { log, file, folder } = openLog();
    log.logger.info('one');
    await has(file, 'one');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, 'deep', 'er')).mode & 0o777).toBe(0o700);
    chmodSync(file, 0o644);
    log.reopen();
    log.logger.info('two');
    await until('its mode is put right', () => (statSync(file).mode & 0o777) === 0o600);
  });

  test('goes to a new file after a rename, with and without a signal, and after it or its folder was deleted', async () => {
    const { log, file, folder } = openLog();
    log.logger.info('one');
    await has(file, 'one');
    renameSync(file, `${file}.moved`);
    log.logger.info('two');
    await has(file, 'two');
    expect(readFileSync(`${file}.moved`, 'utf8')).not.toContain('two');
    renameSync(file, `${file}.again`);
    log.reopen();
    log.logger.info('three');
    await has(file, 'three');
    unlinkSync(file);
    log.logger.info('four');
    await has(file, 'four');
    rmSync(join(folder, 'deep'), { recursive: true });
    log.logger.info('five');
    await has(file, 'five');
    expect(log.linesLost).toEqual({ file: 0, terminal: 0 });
  });

  test('continues at the beginning after copytruncate', async () => {
    const { log, file } = openLog();
    for (let n = 0; n < 100; n++) log.logger.info(`before ${n}`);
    await has(file, 'before 99');
    truncateSync(file, 0);
    log.logger.info('after');
    await has(file, 'after');
    expect(readFileSync(file, 'utf8')).toMatch(/^\{"level":"info".*"msg":"after"\}\n$/);
  });

  test('counts what somebody else appended towards its size, and keeps writing where nothing can be renamed', async () => {
    const { log, file } = openLog(10_000);
    log.logger.info('one');
    await has(file, 'one');
    appendFileSync(file, 'x'.repeat(10_000));
    log.logger.info('two');
    await has(`${file}.1`, 'xxx');
    await has(file, 'two');
    // A folder stands where the older file is to go.
    rmSync(`${file}.1`);
    execFileSync('mkdir', ['-p', `${file}.1/full`]);
    appendFileSync(file, 'y'.repeat(10_000));
    log.logger.info('three');
    await until('it is written somewhere', () => existsSync(file) && readFileSync(file, 'utf8').includes('three'));
  });

  test('that is on a full disk is reported on the terminal, once, and neither holds nor ends the process', async () => {
    const terminal = new PassThrough();
    const log = openLogger({ level: 'info', file: '/dev/full', maxSize: 1e6, maxFiles: 1 }, streamTerminal(terminal));
    cleanups.push(() => log.close());
    let text = '';
    terminal.on('data', (chunk: Buffer) => {
      text += chunk;
    });
    for (let n = 0; n < 20_000; n++) log.logger.info(`line ${n}`);
    await until('the terminal shows it', () => text.includes('the log file cannot be written'));
    for (let n = 0; n < 10; n++) {
      log.logger.info('more');
      await sleep(100);
    }
    expect(text.split('the log file cannot be written').length).toBe(2);
    expect(log.linesLost.file).toBeGreaterThan(0);
    expect(log.linesLost.terminal).toBe(0);
  });
});
