/** A broker as the benchmark sees it: its presence, its start for a scenario, and the settings that belong to its figures. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import net from 'node:net';
import { delimiter, join } from 'node:path';
import type { BrokerNeeds, Load } from '../scenario.ts';

/** A command that starts a broker. */
export interface Command {
  command: string;
  args: string[];
}

export interface Peer {
  name: string;
  /** the version that would run; null = not installed */
  version(): string | null;
  /** settings that a reader needs to judge its figures */
  settings: { tcpNoDelay: string; persistence: string; other: string };
  /** reason why it cannot run a scenario; null = it can */
  refuses(needs: BrokerNeeds, load: Load): string | null;
  /** writes its files into `dir` and returns its command */
  command(dir: string, port: number, needs: BrokerNeeds, adminPort: number): Command;
  /** reads figures of the broker's own messaging threads, from brokers that report them */
  inside?(adminPort: number): Promise<Inside>;
}

/** Figures of the broker's messaging threads since its start. */
export interface Inside {
  /** longest time without a poll of the sockets, milliseconds; may be too high, never too low */
  blockMs: number;
  /** number of such times over 50 ms */
  blocks: number;
  /** messages that passed from one of these threads to another */
  crossed: number;
}

/** A program on the PATH or in /usr/sbin; null when there is none. */
export function findProgram(name: string): string | null {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path)) ?? null;
}

/** Makes a certificate for itself in `dir`. */
export function makeCertificate(dir: string): { cert: string; key: string } {
  const [cert, key] = [join(dir, 'cert.pem'), join(dir, 'key.pem')];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
  const { status, stderr } = spawnSync('openssl', ['req', '-x509', ...curve, '-nodes', '-subj', '/CN=bench', '-keyout', key, '-out', cert]);
  if (status !== 0) throw new Error(`openssl made no certificate: ${String(stderr)}`);
  return { cert, key };
}

/** The first version number in a program's output. */
export function versionOf(program: string, ...args: string[]): string | null {
  const { stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8', timeout: 5000 });
  if (error !== undefined) return null;
  return /\d+\.\d+\.\d+/.exec(`${stdout}${stderr}`)?.[0] ?? 'unknown';
}

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Starts a program on one CPU and discards its output. */
export function launchOn(cpu: number | null, { command, args }: Command, dir: string): ChildProcess {
  const pinned = cpu === null ? { command, args } : { command: 'taskset', args: ['-c', String(cpu), command, ...args] };
  const child = spawn(pinned.command, pinned.args, { cwd: dir, stdio: ['ignore', 'ignore', 'pipe'] });
  child.stderr!.resume();
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

/** Ends a process: with SIGTERM first, after 10 s by force. */
export async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await ended;
  clearTimeout(timer);
}

/** Waits until the port accepts connections. @throws Error after the limit, or when the process ends */
export async function waitForPort(port: number, child: ChildProcess, limitMs = 20_000): Promise<void> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = net.connect(port, '127.0.0.1', () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => resolve(false));
    });
    if (isOpen) return;
    if (child.exitCode !== null) throw new Error(`the broker ended with ${child.exitCode}`);
    if (performance.now() > deadline) throw new Error('the broker does not listen');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
