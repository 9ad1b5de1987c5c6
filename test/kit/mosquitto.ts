/** Debian's mosquitto_sub, mosquitto_pub and mosquitto as child processes: an independent implementation of the protocol. */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openTcp } from './transport.ts';
import { until, within } from './until.ts';

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Starts a program that dies with this process, whatever ends it: vitest ends its processes by SIGTERM, which runs no exit handler. */
export function launch(command: string, args: string[], options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}): ChildProcess {
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', command, ...args], { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

/** A running mosquitto_sub. */
export interface Subscriber {
  /** lines printed so far, `%t %q %r %p` each */
  lines: string[];
  /** resolves with all lines once there are at least `count` */
  wait(count: number, timeoutMs?: number): Promise<string[]>;
  stop(): Promise<void>;
}

/** Runs mosquitto_sub; resolves when its subscription is acknowledged. `args` are its own options (-t, -q, -V, -i, …). */
export async function mosquittoSub(port: number, args: string[]): Promise<Subscriber> {
  // Without stdbuf, the lines would stay in the program's output buffer.
  const child = launch('stdbuf', ['-oL', 'mosquitto_sub', '-h', '127.0.0.1', '-p', String(port), '-d', '-F', 'MSG %t %q %r %p', ...args]);
  const lines: string[] = [];
  let pending = '';
  let isReady = false;
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    pending += text;
    const parts = pending.split('\n');
    pending = parts.pop()!;
    for (const line of parts) {
      if (line.startsWith('Subscribed (mid')) isReady = true;
      if (line.startsWith('MSG ')) lines.push(line.slice(4));
    }
  });
  child.stderr!.resume();
  await until('mosquitto_sub subscribed', () => isReady);
  return {
    lines,
    wait: async (count, timeoutMs = 5000) => {
      await until(`${count} lines of mosquitto_sub`, () => lines.length >= count, timeoutMs);
      return lines;
    },
    stop: async () => {
      const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
      child.kill('SIGTERM');
      await within('end of mosquitto_sub', 5000, ended);
    },
  };
}

/** Runs mosquitto_pub to its end and returns its exit code. */
export async function mosquittoPub(port: number, args: string[]): Promise<number | null> {
  const child = launch('mosquitto_pub', ['-h', '127.0.0.1', '-p', String(port), ...args]);
  child.stdout!.resume();
  child.stderr!.resume();
  return within('end of mosquitto_pub', 10_000, new Promise<number | null>((resolve) => child.once('exit', resolve)));
}

/**
 * Starts a mosquitto broker with these listeners: to check the tests themselves against another implementation. `more`: further lines of
 * its configuration.
 */
export async function startMosquitto(listeners: { port: number; useWebsocket: boolean }[], more: string[] = []): Promise<ChildProcess> {
  const dir = mkdtempSync(join(tmpdir(), 'kit-mosquitto-'));
  process.on('exit', () => rmSync(dir, { recursive: true, force: true }));
  const lines = ['allow_anonymous true', 'user root', 'max_queued_messages 1000', 'max_inflight_messages 100', 'sys_interval 1'];
  for (const { port, useWebsocket } of listeners) {
    lines.push(`listener ${port} 127.0.0.1`, `protocol ${useWebsocket ? 'websockets' : 'mqtt'}`, 'max_topic_alias 10');
  }
  lines.push(...more);
  writeFileSync(join(dir, 'mosquitto.conf'), `${lines.join('\n')}\n`);
  const child = launch('mosquitto', ['-c', join(dir, 'mosquitto.conf')]);
  child.stdout!.resume();
  child.stderr!.resume();
  for (const { port } of listeners) {
    await until(`mosquitto on ${port}`, async () => {
      (await openTcp(port)).destroy();
      return true;
    });
  }
  return child;
}
